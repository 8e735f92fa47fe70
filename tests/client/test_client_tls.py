"""Encrypted connections: whom the client trusts, and that nothing leaves before it does."""

from __future__ import annotations

import os
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import trustme

from dimec.client.tier_client import Endpoint
from support.wire import (
    LONG,
    ROWS,
    SHORT,
    Asked,
    Client,
    Connection,
    RawServer,
    answer,
    answering,
    endpoint,
    http,
    refused,
    saying,
)


class Authority(NamedTuple):
    """A certificate authority, and the file with its certificate."""

    ca: trustme.CA
    path: Path

    def context(self, *names: str, **options: Any) -> ssl.SSLContext:
        """A server's context with a certificate for these names."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.ca.issue_cert(*names, **options).configure_cert(context)
        return context


def authority(folder: Path) -> Authority:
    """A new authority."""
    ca = trustme.CA()
    path = folder / "ca.pem"
    ca.cert_pem.write_to_path(str(path))
    return Authority(ca, path)


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """The authority that the client is told to trust."""
    return authority(tmp_path_factory.mktemp("ours"))


@pytest.fixture(params=["threaded", "asyncio"])
def kind(request: pytest.FixtureRequest) -> str:
    """Which of the twins."""
    return str(request.param)


def test_an_own_authority_is_trusted_and_connections_are_kept(kind: str, ours: Authority) -> None:
    with (
        RawServer(answering(), context=ours.context("localhost")) as server,
        Client(kind, endpoint(server.url, ca=ours.path, token="t0ken")) as client,
    ):
        for _ in range(5):
            np.testing.assert_array_equal(client.infer().probabilities, ROWS)
        assert client.ready()
        assert server.connections == 1


@pytest.fixture(params=["system's", "another's", "wrong name", "address", "expired", "insecure"])
def distrusted(
    request: pytest.FixtureRequest, ours: Authority, tmp_path: Path
) -> Iterator[tuple[RawServer, Endpoint]]:
    """A server whose certificate must not do, and an endpoint for it."""
    case = request.param
    ca: Path | None = ours.path
    context = ours.context("localhost")
    if case == "system's":
        ca = None
    elif case == "another's":
        ca = authority(tmp_path).path
    elif case == "wrong name":
        context = ours.context("other.test")
    elif case == "expired":
        context = ours.context("localhost", not_after=datetime.now(UTC) - timedelta(days=1))
    with RawServer(answering(), context=context) as server:
        url = server.url.replace("localhost", "127.0.0.1") if case == "address" else server.url
        ca = None if case == "insecure" else ca
        yield (
            server,
            endpoint(url, ca=ca, token="t0ken", insecure=case == "insecure", retries=3),
        )


def test_certificates_that_are_not_trusted(
    kind: str, distrusted: tuple[RawServer, Endpoint]
) -> None:
    server, place = distrusted
    with Client(kind, place) as client:
        complaint = refused(client)
        assert not client.ready()
    assert (complaint.reason, complaint.sent) == ("unreachable", False)
    assert "certificate" in complaint.detail
    # It was not tried again: one connection for each of the two calls.
    assert server.connections == 2


def test_a_server_that_does_not_encrypt(kind: str, ours: Authority) -> None:
    def confused(connection: Connection) -> None:
        connection.socket.recv(10_000)
        connection.send(http(400, b"this is no HTTP"))

    with RawServer(confused) as server:
        url = server.url.replace("http://127.0.0.1", "https://localhost")
        with Client(kind, endpoint(url, ca=ours.path, retries=1)) as client:
            complaint = refused(client)
    assert (complaint.reason, complaint.sent) == ("unreachable", False)


def test_a_server_that_encrypts_asked_in_the_clear(kind: str, ours: Authority) -> None:
    with (
        RawServer(answering(), context=ours.context("localhost")) as server,
        Client(kind, endpoint(server.url.replace("https", "http"), retries=1)) as client,
    ):
        complaint = refused(client)
    assert complaint.reason in {"broken answer", "unreachable"}


@pytest.mark.parametrize("drips", [True, False])
def test_a_handshake_that_never_ends(kind: str, ours: Authority, drips: bool) -> None:
    gone = threading.Event()

    def script(connection: Connection) -> None:
        # The beginning of a long handshake message, a byte at a time.
        for byte in b"\x16\x03\x03\x40\x00\x02\x00\x3f\xfc" + bytes(10_000):
            if not drips:
                gone.wait(LONG)
            if not connection.send(bytes([byte])):
                return
            time.sleep(0.02)

    with RawServer(script) as server:
        url = server.url.replace("http://127.0.0.1", "https://localhost")
        with Client(kind, endpoint(url, ca=ours.path, retries=3)) as client:
            complaint = refused(client, timeout=SHORT)
        gone.set()
    assert (complaint.reason, complaint.sent) == ("timeout", False)


@pytest.mark.parametrize("how", ["cut off", "garbage", "bad record"])
def test_encryption_that_breaks_within_an_answer(kind: str, ours: Authority, how: str) -> None:
    def breaks(connection: Connection, asked: Asked) -> None:
        connection.send(answer(asked)[:-4])
        # Behind the back of the encryption.
        with socket.socket(fileno=os.dup(connection.socket.fileno())) as bare:
            if how == "garbage":
                bare.sendall(b"no record of TLS at all\r\n")
            elif how == "bad record":
                bare.sendall(b"\x17\x03\x03\x00\x20" + bytes(32))

    with (
        RawServer(saying(breaks, breaks), context=ours.context("localhost")) as server,
        Client(kind, endpoint(server.url, ca=ours.path, retries=1)) as client,
    ):
        complaint = refused(client)
        assert complaint.reason in {"broken answer", "unreachable"}
        assert complaint.sent
        np.testing.assert_array_equal(client.infer().probabilities, ROWS)
        assert server.connections == 3
