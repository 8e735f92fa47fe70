"""Calls over real sockets that end in time, whatever the other side does to keep them going."""

from __future__ import annotations

import itertools
import socket
import threading
import time
from typing import Any

import numpy as np
import pytest

from dimec.protocol import BINARY_HEADER, decode_request
from support.wire import (
    LONG,
    SHORT,
    Client,
    Connection,
    RawServer,
    Script,
    answer,
    endpoint,
    error,
    refused,
)


@pytest.fixture(params=["threaded", "asyncio"])
def kind(request: pytest.FixtureRequest) -> str:
    """Which of the twins."""
    return str(request.param)


def drip(data: bytes, pause: float = 0.02) -> Script:
    """Send bytes one at a time, then the last one again for ever, until the client leaves.

    A byte comes far more often than any single read may take, so that only a deadline for the
    whole call ends it.
    """

    def script(connection: Connection) -> None:
        connection.read()
        for byte in itertools.chain(data, itertools.repeat(data[-1])):
            if not connection.send(bytes([byte])):
                return
            time.sleep(pause)

    return script


@pytest.mark.parametrize(
    "script",
    [
        lambda connection: (connection.read(), connection.read()),
        drip(b"H"),
        drip(b"HTTP/1.1 200 OK\r\nServer: x"),
        drip(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nServer: x"),
        drip(b"HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n{", 0.002),
        drip(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n \r\n0", 0.002),
    ],
    ids=["never-answers", "status", "headers", "informational", "body", "chunked"],
)
def test_a_server_that_never_comes_to_an_end(kind: str, script: Script) -> None:
    with RawServer(script) as server:
        with Client(kind, endpoint(server.url, retries=5)) as client:
            complaint = refused(client, timeout=SHORT)
            assert (complaint.reason, complaint.sent) == ("timeout", True)
        assert server.connections == 1


def test_a_server_that_accepts_and_does_not_read(kind: str) -> None:
    # More than the buffers of the system between the two take.
    big = {"input_ids": np.zeros((64, 16_384), np.int64)}
    gone = threading.Event()
    with RawServer(lambda connection: gone.wait(LONG)) as server:
        with Client(kind, endpoint(server.url)) as client:
            complaint = refused(client, inputs=big, timeout=SHORT)
        gone.set()
    assert (complaint.reason, complaint.sent) == ("timeout", True)


def test_nobody_accepts(kind: str) -> None:
    # A listener whose queue is full: the system lets further connections wait.
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        address = listener.getsockname()
        fillers = [socket.socket() for _ in range(8)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(address)
        with Client(kind, endpoint(f"http://127.0.0.1:{address[1]}")) as client:
            complaint = refused(client, timeout=SHORT)
        for filler in fillers:
            filler.close()
    assert (complaint.reason, complaint.sent) == ("timeout", False)


def test_a_name_server_that_does_not_answer(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    real, gone = socket.getaddrinfo, threading.Event()

    def slow(
        host: Any, port: Any, family: int = 0, type: int = 0, proto: int = 0, flags: int = 0
    ) -> Any:
        if host not in ("slow.test", b"slow.test"):
            return real(host, port, family, type, proto, flags)
        if flags & socket.AI_NUMERICHOST:
            raise socket.gaierror(socket.EAI_NONAME, "not a number")
        gone.wait(LONG)
        raise socket.gaierror(socket.EAI_AGAIN, "no answer")

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    client = Client(kind, endpoint("http://slow.test"))
    complaint = refused(client, timeout=SHORT)
    assert (complaint.reason, complaint.sent) == ("timeout", False)
    gone.set()  # the resolver's thread is left behind until then
    client.close()


def test_retries_and_pauses_are_inside_the_deadline(kind: str) -> None:
    requests = itertools.count()

    def overloaded(connection: Connection) -> None:
        while connection.read() is not None:
            next(requests)
            connection.send(error(503, "full", Retry_After="0"))

    # With a million retries only the deadline can end this.
    with (
        RawServer(overloaded) as server,
        Client(kind, endpoint(server.url, retries=10**6)) as client,
    ):
        complaint = refused(client, timeout=SHORT)
    # It falls on a pause, or on a try whose answer then comes too late.
    assert complaint.reason in {"overloaded", "timeout"}
    assert complaint.sent
    assert next(requests) > 1


def test_the_deadline_is_told_to_the_server(kind: str) -> None:
    told: list[float | None] = []

    def script(connection: Connection) -> None:
        while (asked := connection.read()) is not None:
            told.append(decode_request(asked.body, asked.headers[BINARY_HEADER.lower()]).timeout)
            late = error(503, "full", Retry_After="0")
            connection.send(late if len(told) == 1 else answer(asked))

    with RawServer(script) as server, Client(kind, endpoint(server.url, retries=1)) as client:
        client.infer(timeout=30.0)
    first, second = told
    assert first is not None
    assert second is not None
    assert 30 >= first > second > 0
