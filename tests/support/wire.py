"""Servers of raw sockets that answer a tier's client in any way, right and wrong."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from types import TracebackType
from typing import Any, NamedTuple, Self

import httpx2
import numpy as np
import numpy.typing as npt
import pytest

from dimec.base.errors import TierError
from dimec.client.breaker import CircuitBreaker
from dimec.client.tier_client import REASONS, AsyncTierClient, Endpoint, TierAnswer, TierClient
from dimec.protocol import (
    BINARY_HEADER,
    InferResponse,
    decode_request,
    encode_error,
    encode_response,
)

INPUTS = {
    "input_ids": np.array([[101, 7592, 102], [101, 102, 0]]),
    "attention_mask": np.array([[1, 1, 1], [1, 1, 0]]),
}
ROWS = np.array([[0.25, 0.75], [0.5, 0.5]], np.float32)
VERSION = "12"
LONG = 60.0  # a deadline that no sound test reaches
SHORT = 0.3  # a deadline that is meant to pass


class Asked(NamedTuple):
    """An HTTP request as it came."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    size: int


class Connection:
    """One client's connection, from the server's side."""

    def __init__(self, sock: socket.socket, number: int) -> None:
        self.socket = sock
        self.number = number
        self._rest = b""

    def read(self) -> Asked | None:
        """The next request, or None once the client has gone."""
        data = self._rest
        while b"\r\n\r\n" not in data:
            if not (chunk := self._receive()):
                return None
            data += chunk
        head, _, body = data.partition(b"\r\n\r\n")
        start, *lines = head.decode("latin-1").split("\r\n")
        headers = {k.lower(): v for k, v in (line.split(": ", 1) for line in lines)}
        length = int(headers.get("content-length", 0))
        while len(body) < length:
            if not (chunk := self._receive()):
                return None
            body += chunk
        body, self._rest = body[:length], body[length:]
        method, path, _ = start.split(" ")
        return Asked(method, path, headers, body, len(head) + 4 + length)

    def _receive(self) -> bytes:
        try:
            return self.socket.recv(65_536)
        except OSError:
            return b""

    def send(self, data: bytes) -> bool:
        """Whether the client still takes bytes."""
        try:
            self.socket.sendall(data)
        except OSError:
            return False
        return True

    def reset(self) -> None:
        """Close with a reset, so that the client's next read or write fails."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.socket.close()


Script = Callable[[Connection], object]
Action = Callable[[Connection, Asked], object]


def http(
    status: int, body: bytes, headers: Mapping[str, str] | None = None, *, length: int | None = None
) -> bytes:
    """An HTTP answer; ``length`` lies about the body's."""
    lines = [
        f"HTTP/1.1 {status} Because",
        f"Content-Length: {len(body) if length is None else length}",
    ]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def answer(
    asked: Asked,
    *,
    rows: npt.NDArray[Any] = ROWS,
    model: str = "edge",
    version: str = VERSION,
    id: str | None = None,
    output: str = "probabilities",
    binary: bool | None = None,
    digest: bool = True,
    headers: Mapping[str, str] | None = None,
) -> bytes:
    """The right answer to a request, with changes."""
    if asked.method == "GET":
        return http(200, b"")
    request = decode_request(asked.body, asked.headers.get(BINARY_HEADER.lower()))
    response = InferResponse(model, version, request.id if id is None else id, {output: rows})
    message = encode_response(response, binary=request.binary if binary is None else binary)
    own = {k: v for k, v in message.headers.items() if digest or k != "Content-Digest"}
    return http(200, message.body, {**own, **(headers or {})})


def error(status: int, text: str, **headers: str) -> bytes:
    """An answer in Triton's shape of errors; ``_`` in a header's name stands for ``-``."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return http(status, encode_error(text), named)


def answering(**changes: Any) -> Script:
    """A script that answers every request of a connection; changes as of :func:`answer`."""

    def script(connection: Connection) -> None:
        while (asked := connection.read()) is not None:
            connection.send(answer(asked, **changes))

    return script


def saying(*answers: bytes | Action | None) -> Script:
    """A script for all connections together: each request gets the next answer, then right ones.

    None is the right answer; behind an action the connection is closed.
    """
    left = list(answers)

    def script(connection: Connection) -> None:
        while (asked := connection.read()) is not None:
            say = left.pop(0) if left else None
            if callable(say):
                say(connection, asked)
                return
            connection.send(answer(asked) if say is None else say)

    return script


class RawServer:
    """A server on the loopback device whose every connection runs a script in a thread.

    Attributes:
        connections: how many were accepted.
    """

    def __init__(
        self, script: Script, *, context: ssl.SSLContext | None = None, port: int = 0
    ) -> None:
        self._script = script
        self._context = context
        self._listener = socket.create_server(("127.0.0.1", port))
        self.port: int = self._listener.getsockname()[1]
        self.connections = 0
        self._open: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    @property
    def url(self) -> str:
        """Its address."""
        scheme, host = ("http", "127.0.0.1") if self._context is None else ("https", "localhost")
        return f"{scheme}://{host}:{self.port}"

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._open.append(sock)
            thread = threading.Thread(
                target=self._serve, args=(sock, self.connections), daemon=True
            )
            self._threads.append(thread)
            thread.start()

    def _serve(self, sock: socket.socket, number: int) -> None:
        with suppress(OSError):
            if self._context is not None:
                sock = self._context.wrap_socket(sock, server_side=True)
                self._open.append(sock)
            self._script(Connection(sock, number))
        sock.close()

    def close(self) -> None:
        """Stop listening, close all connections, wait for the scripts to end."""
        # Closing alone does not wake a thread that waits in accept or recv.
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for sock in self._open:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()
        for thread in self._threads:
            thread.join(60)
            assert not thread.is_alive()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class Client:
    """A tier's client, threaded or asynchronous, behind one face."""

    def __init__(
        self,
        kind: str,
        endpoint: Endpoint,
        *,
        breaker: CircuitBreaker | None = None,
        transport: httpx2.MockTransport | None = None,
    ) -> None:
        self._threaded: TierClient | None = None
        if kind == "threaded":
            self._threaded = TierClient(endpoint, breaker=breaker, transport=transport)
            self.breaker = self._threaded.breaker
            return
        self._loop = asyncio.Runner()
        self._twin = AsyncTierClient(endpoint, breaker=breaker, transport=transport)
        self.breaker = self._twin.breaker

    def infer(self, inputs: Mapping[str, npt.NDArray[Any]] = INPUTS, **options: Any) -> TierAnswer:
        """Ask, and wait."""
        options = {"id": "7", **options}
        if self._threaded is not None:
            return self._threaded.infer(inputs, **options)
        return self._loop.run(self._twin.infer(inputs, **options))

    def ready(self) -> bool:
        """Whether the tier is."""
        if self._threaded is not None:
            return self._threaded.ready()
        return self._loop.run(self._twin.ready())

    def shut(self) -> None:
        """Close the client itself."""
        if self._threaded is not None:
            self._threaded.close()
        else:
            self._loop.run(self._twin.aclose())

    def close(self) -> None:
        """Close the client and what runs it."""
        self.shut()
        if self._threaded is None:
            self._loop.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def endpoint(url: str, **changes: Any) -> Endpoint:
    """An endpoint with much time and no retries, with changes."""
    return Endpoint("edge", url, VERSION, 2, **{"timeout": LONG, "retries": 0, **changes})


def refused(client: Client, **options: Any) -> TierError:
    """The error of a call."""
    with pytest.raises(TierError) as caught:
        client.infer(**options)
    assert caught.value.tier == "edge"
    assert caught.value.reason in REASONS
    assert str(caught.value).isprintable()
    return caught.value


def unused_port() -> int:
    """A port on which nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])
