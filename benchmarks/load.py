"""Clients against an HTTP server, in one small process, with raw sockets: a closed or an open loop.

In a closed loop each client has one connection and sends its next request as soon as the answer to
the last one is there. In an open loop requests are sent when they are due, whatever became of the
others. Requests are bytes made beforehand and answers are looked at afterwards, so that what the
generator itself costs is little, and the same for every server.
"""

from __future__ import annotations

import selectors
import socket
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

_CHUNK = 1 << 16
_STALLED = 30.0  # seconds without a single byte from any connection


class LoadError(RuntimeError):
    """A server closed a connection, fell silent, or answered with an error."""


@dataclass(frozen=True)
class Answered:
    """One answer: which request it belongs to, how long it took, and what came.

    ``head`` and ``body`` are the raw HTTP response.
    """

    request: int
    seconds: float
    head: bytes
    body: bytes


@dataclass
class _Connection:
    socket: socket.socket
    request: int = -1
    begun: float = 0.0
    received: bytearray = field(default_factory=bytearray)


def post(url: str, headers: dict[str, str], body: bytes) -> bytes:
    """The bytes of an HTTP/1.1 POST."""
    parts = urlsplit(url)
    lines = [f"POST {parts.path} HTTP/1.1", f"Host: {parts.netloc}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    lines += [f"Content-Length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode("ascii") + body


def closed_loop(url: str, requests: Sequence[bytes], clients: int) -> tuple[list[Answered], float]:
    """Send every request once, over ``clients`` connections at a time.

    Returns:
        The answers in the order in which they came, and the wall time of the whole in seconds.

    Raises:
        LoadError: a request was not answered with status 200.
    """
    parts = urlsplit(url)
    address = (parts.hostname or "127.0.0.1", parts.port or 80)
    waiting = iter(range(len(requests)))
    answers: list[Answered] = []
    with selectors.DefaultSelector() as selector:
        connections = [_Connection(_connect(address)) for _ in range(min(clients, len(requests)))]
        try:
            for connection in connections:
                selector.register(connection.socket, selectors.EVENT_READ, connection)
            start = time.perf_counter()
            for connection in connections:
                _send(connection, next(waiting), requests)
            while len(answers) < len(requests):
                ready = selector.select(_STALLED)
                if not ready:
                    raise LoadError(f"{url} sent nothing for {_STALLED:g} s")
                for key, _ in ready:
                    if (answer := _receive(key.data, url)) is None:
                        continue
                    answers.append(answer)
                    if (following := next(waiting, None)) is not None:
                        _send(key.data, following, requests)
            return answers, time.perf_counter() - start
        finally:
            for connection in connections:
                connection.socket.close()


def open_loop(
    url: str, requests: Sequence[bytes], moments: Sequence[float], connections: int
) -> list[Answered]:
    """Send each request when it is due, or once a connection is idle, where that is later.

    Args:
        url: of the server.
        requests: N.
        moments: N seconds from the begin, ascending.
        connections: so many; no more can be under way.

    Returns:
        The answers in the order in which they came. Their seconds count from when they were due, so
        that a generator that is late, or out of connections, makes nobody look faster.

    Raises:
        LoadError: a request was not answered with status 200.
    """
    parts = urlsplit(url)
    address = (parts.hostname or "127.0.0.1", parts.port or 80)
    answers: list[Answered] = []
    # By turns, so that none is idle for so long that the server closes it.
    idle = deque(_Connection(_connect(address)) for _ in range(connections))
    every = list(idle)
    with selectors.DefaultSelector() as selector:
        try:
            for connection in every:
                selector.register(connection.socket, selectors.EVENT_READ, connection)
            start, following = time.perf_counter(), 0
            while len(answers) < len(requests):
                late = time.perf_counter() - start
                while idle and following < len(requests) and moments[following] <= late:
                    connection = idle.popleft()
                    _send(connection, following, requests)
                    connection.begun = start + moments[following]
                    following += 1
                ahead = bool(idle) and following < len(requests)
                wait = max(0.0, moments[following] - late) if ahead else _STALLED
                ready = selector.select(wait)
                if not ready and not ahead:
                    raise LoadError(f"{url} sent nothing for {_STALLED:g} s")
                for key, _ in ready:
                    if (answer := _receive(key.data, url)) is not None:
                        answers.append(answer)
                        idle.append(key.data)
            return answers
        finally:
            for connection in every:
                connection.socket.close()


def _connect(address: tuple[str, int]) -> socket.socket:
    connection = socket.create_connection(address, timeout=_STALLED)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def _send(connection: _Connection, request: int, requests: Sequence[bytes]) -> None:
    connection.request, connection.received = request, bytearray()
    connection.begun = time.perf_counter()
    connection.socket.sendall(requests[request])


def _receive(connection: _Connection, url: str) -> Answered | None:
    """The answer, if the bytes that just came complete it."""
    came = connection.socket.recv(_CHUNK)
    if not came:
        raise LoadError(f"{url} closed a connection after {len(connection.received)} bytes")
    connection.received += came
    head, found, body = bytes(connection.received).partition(b"\r\n\r\n")
    if not found or len(body) < _content_length(head, url):
        return None
    seconds = time.perf_counter() - connection.begun
    if not head.startswith(b"HTTP/1.1 200"):
        raise LoadError(f"{url} answered {head.splitlines()[0]!r}: {body[:200]!r}")
    return Answered(connection.request, seconds, head, body)


def _content_length(head: bytes, url: str) -> int:
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return int(line.partition(b":")[2])
    raise LoadError(f"{url} gave an answer without a Content-Length")
