"""Calls over real sockets, to servers that go wrong in every way that servers do."""

from __future__ import annotations

import gzip
import json
import socket
from typing import Any

import numpy as np
import pytest

from dimec.client.breaker import CircuitBreaker
from support.wire import (
    INPUTS,
    ROWS,
    Action,
    Asked,
    Client,
    Connection,
    RawServer,
    answer,
    answering,
    endpoint,
    error,
    http,
    refused,
    saying,
    unused_port,
)


@pytest.fixture(params=["threaded", "asyncio"])
def kind(request: pytest.FixtureRequest) -> str:
    """Which of the twins."""
    return str(request.param)


# --- Sound servers -------------------------------------------------------------------------------


def test_connections_are_used_again(kind: str) -> None:
    with RawServer(answering()) as server, Client(kind, endpoint(server.url)) as client:
        for number in range(20):
            answer_ = client.infer(id=str(number))
            assert answer_.attempts == 1
            np.testing.assert_array_equal(answer_.probabilities, ROWS)
        assert client.ready()
        assert server.connections == 1


def test_bytes_are_counted_as_they_go_over_the_wire(kind: str) -> None:
    sent: list[int] = []
    received: list[int] = []

    def script(connection: Connection) -> None:
        while (asked := connection.read()) is not None:
            reply = answer(asked)
            sent.append(asked.size)
            received.append(len(reply))
            connection.send(reply)

    with RawServer(script) as server, Client(kind, endpoint(server.url)) as client:
        answers = [client.infer(id=str(number)) for number in range(3)]
    assert [each.bytes_sent for each in answers] == sent
    assert [each.bytes_received for each in answers] == received


def test_answers_in_pieces_and_without_a_length(kind: str) -> None:
    def pieces(connection: Connection, asked: Asked) -> None:
        for byte in answer(asked):
            connection.send(bytes([byte]))

    def until_closed(connection: Connection, asked: Asked) -> None:
        head, _, body = answer(asked).partition(b"\r\n\r\n")
        kept = [line for line in head.split(b"\r\n") if not line.startswith(b"Content-Length")]
        connection.send(b"\r\n".join([*kept, b"Connection: close", b"", body]))

    def chunked(connection: Connection, asked: Asked) -> None:
        head, _, body = answer(asked).partition(b"\r\n\r\n")
        kept = [line for line in head.split(b"\r\n") if not line.startswith(b"Content-Length")]
        connection.send(b"\r\n".join([*kept, b"Transfer-Encoding: chunked", b"", b""]))
        for byte in body:
            connection.send(b"1\r\n" + bytes([byte]) + b"\r\n")
        connection.send(b"0\r\n\r\n")

    for action in (pieces, until_closed, chunked):
        with RawServer(saying(action)) as server, Client(kind, endpoint(server.url)) as client:
            np.testing.assert_array_equal(client.infer().probabilities, ROWS)


def test_the_environment_has_no_say(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    dead = f"http://127.0.0.1:{unused_port()}"
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, dead)
        monkeypatch.setenv(name.lower(), dead)
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    with RawServer(answering()) as server, Client(kind, endpoint(server.url)) as client:
        assert client.infer().attempts == 1


# --- No connection, or one that breaks -----------------------------------------------------------


def test_nobody_listens(kind: str) -> None:
    with Client(kind, endpoint(f"http://127.0.0.1:{unused_port()}")) as client:
        complaint = refused(client)
    assert (complaint.reason, complaint.sent) == ("unreachable", False)


def test_a_name_that_does_not_exist(kind: str) -> None:
    with Client(kind, endpoint("http://no-such-host.invalid:80")) as client:
        complaint = refused(client)
    assert (complaint.reason, complaint.sent) == ("unreachable", False)


@pytest.mark.parametrize(
    ("action", "reasons"),
    [
        (lambda connection, asked: connection.reset(), {"unreachable", "broken answer"}),
        (lambda connection, asked: None, {"broken answer"}),
        (lambda connection, asked: connection.send(b"HTTP/1.1 200 O"), {"broken answer"}),
        (lambda connection, asked: connection.send(answer(asked)[:90]), {"broken answer"}),
        (lambda connection, asked: connection.send(answer(asked)[:-1]), {"broken answer"}),
        (lambda connection, asked: connection.send(b"\x00\xff garbage\r\n\r\n"), {"broken answer"}),
        (lambda connection, asked: connection.send(b"SSH-2.0-x\r\n" * 99), {"broken answer"}),
        (lambda connection, asked: connection.send(b"x" * 200_000), {"broken answer"}),
        (
            lambda connection, asked: connection.send(
                b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 50_000
            ),
            {"broken answer"},
        ),
        (
            lambda connection, asked: connection.send(http(200, b"abc", length=5)),
            {"broken answer"},
        ),
        (
            lambda connection, asked: connection.send(http(200, answer(asked), length=5)),
            {"broken answer"},
        ),
        (
            lambda connection, asked: connection.send(http(200, b"", length=-1)),
            {"broken answer"},
        ),
    ],
    ids=[
        *("reset", "closes", "mid-headers", "mid-headers-2", "mid-body", "garbage", "another"),
        *("endless-line", "endless-headers", "too-short", "too-long", "negative-length"),
    ],
)
def test_connections_that_break(kind: str, action: Any, reasons: set[str]) -> None:
    with RawServer(saying(action)) as server:
        with Client(kind, endpoint(server.url)) as client:
            complaint = refused(client)
            assert complaint.reason in reasons
            assert complaint.sent
            assert client.breaker.state == "closed"
        assert server.connections == 1


@pytest.mark.parametrize("how", ["close", "reset", "garbage", "half"])
def test_a_connection_that_breaks_once_is_made_anew(kind: str, how: str) -> None:
    def breaks(connection: Connection, asked: Asked) -> None:
        if how == "reset":
            connection.reset()
        elif how != "close":
            connection.send(b"HTTP/1.1 2" if how == "half" else b"\x00\xff\r\n\r\n")

    with RawServer(saying(breaks)) as server:
        with Client(kind, endpoint(server.url, retries=1)) as client:
            assert client.infer().attempts == 2
        assert server.connections == 2


def test_a_server_that_was_started_anew_costs_no_retry(kind: str) -> None:
    server = RawServer(answering())
    with Client(kind, endpoint(server.url)) as client:
        client.infer()
        server.close()
        with RawServer(answering(), port=server.port):
            assert client.infer().attempts == 1


@pytest.mark.parametrize(
    "how",
    [lambda connection, asked: None, lambda connection, asked: connection.reset()],
    ids=["closes", "resets"],
)
def test_an_old_connection_that_the_server_drops_just_now_is_replaced(
    kind: str, how: Action
) -> None:
    # The connection looks sound until the second request is on it: the server closes only then.
    with RawServer(saying(None, how)) as server:
        with Client(kind, endpoint(server.url)) as client:
            client.infer()
            assert client.infer().attempts == 2
        assert server.connections == 2


# --- Answers that are not what they should be ----------------------------------------------------


@pytest.mark.parametrize("place", ["tensor", "name", "digest"])
def test_a_byte_that_was_altered_on_its_way_is_noticed(kind: str, place: str) -> None:
    def altered(connection: Connection, asked: Asked) -> None:
        data = bytearray(answer(asked))
        at = {"tensor": len(data) - 2, "name": data.index(b"probab"), "digest": data.index(b"=:")}
        data[at[place] + (2 if place == "digest" else 0)] ^= 1
        connection.send(bytes(data))

    with RawServer(saying(altered)) as server, Client(kind, endpoint(server.url)) as client:
        complaint = refused(client)
    assert complaint.reason == "broken answer"
    assert "altered on its way" in complaint.detail


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"version": "13"}, "wrong version"),
        ({"model": "cloud"}, "broken answer"),
        ({"id": "another"}, "broken answer"),
        ({"output": "logits"}, "broken answer"),
        ({"rows": ROWS[:1]}, "broken answer"),
        ({"rows": ROWS.astype(np.float64)}, "broken answer"),
        ({"rows": ROWS * 2}, "broken answer"),
        ({"rows": np.full_like(ROWS, np.nan)}, "broken answer"),
        ({"headers": {"Content-Encoding": "gzip"}}, "broken answer"),
    ],
    ids=str,
)
def test_wrong_answers(kind: str, changes: dict[str, Any], reason: str) -> None:
    with RawServer(answering(**changes)) as server, Client(kind, endpoint(server.url)) as client:
        complaint = refused(client)
    assert (complaint.reason, complaint.sent) == (reason, True)


@pytest.mark.parametrize(
    ("say", "reason"),
    [
        (error(404, "unknown version"), "wrong version"),
        (error(401, "who are you?", WWW_Authenticate="Bearer"), "refused"),
        (error(504, "too late"), "timeout"),
        (error(503, "full", Retry_After="100"), "overloaded"),
        (http(302, b"", {"Location": "http://127.0.0.1:1/"}), "refused"),
        (http(200, b"<html>welcome</html>"), "broken answer"),
        (http(204, b""), "broken answer"),
    ],
    ids=["404", "401", "504", "503", "302", "html", "204"],
)
def test_statuses(kind: str, say: bytes, reason: str) -> None:
    with RawServer(saying(say)) as server, Client(kind, endpoint(server.url)) as client:
        complaint = refused(client)
        assert (complaint.reason, complaint.sent) == (reason, True)
        # The connection is sound all the same.
        assert client.infer().attempts == 1
        assert server.connections == 1


def test_a_bomb_is_not_unpacked(kind: str) -> None:
    bomb = gzip.compress(b"\0" * 10_000_000)
    say = http(200, bomb, {"Content-Encoding": "gzip"})
    with RawServer(saying(say)) as server, Client(kind, endpoint(server.url)) as client:
        complaint = refused(client)
    assert complaint.reason == "broken answer"
    assert "encoded as 'gzip'" in complaint.detail


@pytest.mark.parametrize("declared", [True, False])
def test_an_answer_without_end_is_cut_off(kind: str, declared: bool) -> None:
    length = b"Content-Length: 99999999999999\r\n" if declared else b""

    def script(connection: Connection) -> None:
        connection.read()
        connection.send(b"HTTP/1.1 200 OK\r\n" + length + b"\r\n")
        while connection.send(b"x" * 10_000):
            pass

    with RawServer(script) as server, Client(kind, endpoint(server.url)) as client:
        complaint = refused(client)
    assert complaint.reason == "broken answer"
    assert "longer than 65664 bytes" in complaint.detail


def test_a_server_that_takes_the_whole_body_for_json(kind: str) -> None:
    kinds: list[bool] = []

    def script(connection: Connection) -> None:
        while (asked := connection.read()) is not None:
            kinds.append("inference-header-content-length" in asked.headers)
            try:
                json.loads(asked.body)
            except ValueError:
                connection.send(error(400, "invalid JSON"))
            else:
                connection.send(answer(asked, digest=False))

    with RawServer(script) as server, Client(kind, endpoint(server.url)) as client:
        assert [client.infer().attempts for _ in range(3)] == [2, 1, 1]
        assert server.connections == 1
    assert kinds == [True, False, False, False]


def test_an_early_refusal_of_a_body_that_is_still_sent(kind: str) -> None:
    big = {"input_ids": np.zeros((64, 16_384), np.int64)}

    def script(connection: Connection) -> None:
        connection.socket.recv(1000)
        connection.send(error(413, "too large", Connection="close"))
        connection.socket.shutdown(socket.SHUT_WR)
        while connection.socket.recv(1 << 20):
            pass

    with RawServer(script) as server, Client(kind, endpoint(server.url)) as client:
        complaint = refused(client, inputs=big)
    assert (complaint.reason, complaint.sent) == ("refused", True)


# --- A dead tier costs nothing -------------------------------------------------------------------


def test_the_circuit_opens_and_closes_over_real_connections(kind: str) -> None:
    now = [0.0]
    breaker = CircuitBreaker(failures=3, cooldown=5, clock=lambda: now[0])
    port = unused_port()
    with Client(kind, endpoint(f"http://127.0.0.1:{port}"), breaker=breaker) as client:
        reasons = [refused(client).reason for _ in range(4)]
        assert reasons == ["unreachable"] * 3 + ["circuit open"]
        with RawServer(answering(), port=port) as server:
            assert refused(client).reason == "circuit open"
            assert server.connections == 0
            now[0] = 5
            assert client.infer(INPUTS).attempts == 1
            assert breaker.state == "closed"
