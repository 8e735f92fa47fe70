"""Connections are counted from their first byte, with TLS and without, and refused ones too."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest

from dimec.serving.doors import Doors, Welcome
from dimec.serving.settings import ServerSettings
from support.served import Server, ask, raw_request, read_raw

TOLD = 32  # connections beyond the limit that get an answer


def test_so_many_come_in_so_many_are_told_and_the_rest_is_not_let_in() -> None:
    refused: list[int] = []
    doors = Doors(ServerSettings.of(max_connections=3), refused.append)
    assert [doors.admit(n) for n in range(3)] == [Welcome.COME_IN] * 3
    assert doors.admit(1) is Welcome.COME_IN  # counted once
    told = [doors.admit(n) for n in range(3, 3 + TOLD)]
    assert told == [Welcome.ONLY_TO_BE_TOLD] * TOLD
    assert doors.admit("late") is Welcome.NOT_AT_ALL
    assert refused == [503]
    doors.leave("late")
    assert doors.admit("late") is Welcome.NOT_AT_ALL
    doors.leave(0)
    assert doors.admit("late") is Welcome.COME_IN
    doors.leave(3)
    assert doors.admit("other") is Welcome.ONLY_TO_BE_TOLD


@pytest.fixture(params=[False, True], ids=["plain", "tls"])
def small(
    request: pytest.FixtureRequest, tier: Path, tmp_path: Path, tls_files: dict[str, Path]
) -> Iterator[tuple[Server, ssl.SSLContext | None]]:
    """A server of three connections, and what its clients need for TLS."""
    settings: dict[str, Any] = {"max_connections": 3, "header_seconds": 3}
    context = None
    if request.param:
        settings |= {"tls_cert": str(tls_files["cert"]), "tls_key": str(tls_files["key"])}
        context = ssl.create_default_context(cafile=tls_files["ca"])
    with Server(tier, tmp_path / "log", **settings) as server:
        yield server, context
        assert server.stop() == 0
        assert not server.logged("event loop")


def test_silent_ones_are_counted_and_let_go(
    small: tuple[Server, ssl.SSLContext | None],
) -> None:
    server, context = small
    with ExitStack() as stack:
        silent = [stack.enter_context(server.socket()) for _ in range(3 + TOLD + 20)]
        for sock in silent[-20:]:
            assert _rest(sock) == b""  # shut at once
        for sock in silent[:3]:
            assert _rest(sock) == b""  # let go after their time, which leaves room
        while True:
            connection = server.connect(context)
            with suppress(OSError):
                if ask(connection, "GET", "/v2").status == 200:
                    break
            connection.close()
            time.sleep(0.05)
        connection.close()


def test_one_too_many_is_told(small: tuple[Server, ssl.SSLContext | None]) -> None:
    server, context = small
    kept = [server.connect(context) for _ in range(3)]
    for connection in kept:
        assert ask(connection, "GET", "/v2").status == 200
    with ExitStack() as stack:
        sock = stack.enter_context(server.socket())
        if context is not None:
            sock = stack.enter_context(context.wrap_socket(sock, server_hostname="localhost"))
        (answer,) = read_raw(sock)
        assert answer.status == 503
        assert answer.error.startswith("too many connections")
    for connection in kept:
        connection.close()


def test_a_request_that_comes_with_the_handshake_is_answered(
    small: tuple[Server, ssl.SSLContext | None],
) -> None:
    server, context = small
    if context is None:
        return
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context.wrap_bio(incoming, outgoing, server_hostname="localhost")
    with server.socket() as sock:
        while True:
            try:
                client.do_handshake()
                break
            except ssl.SSLWantReadError:
                sock.sendall(outgoing.read())
                incoming.write(sock.recv(65536))
        client.write(raw_request("/v2", {"Connection": "close"}, b"", "GET"))
        sock.sendall(outgoing.read())  # the end of the handshake and the request at once
        got = b""
        while not got:
            incoming.write(sock.recv(65536))
            with suppress(ssl.SSLWantReadError):
                got = client.read(65536)
        assert got.startswith(b"HTTP/1.1 200")


def _rest(sock: socket.socket) -> bytes:
    """What comes until the server closes."""
    data = b""
    with suppress(ConnectionResetError):
        while part := sock.recv(4096):
            data += part
    return data
