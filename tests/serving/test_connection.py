"""Connections that are slow, endless, broken or gone. Another client is served all the while."""

from __future__ import annotations

import http.client
import random
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path

import pytest

from support.fuzzing import mutate, wired_request
from support.served import INFER, Server, ask, inputs_of, message, raw_request, read_raw

INPUTS = inputs_of([1, 2, 3])


@pytest.fixture(scope="module")
def server(tier: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with small limits of size and short ones of time."""
    log = tmp_path_factory.mktemp("hasty") / "log"
    limits = {"max_body": 16_384, "max_header": 4096, "header_seconds": 0.5, "body_seconds": 0.5}
    with Server(tier, log, **limits) as running:
        yield running
        assert running.stop() == 0
        assert not running.logged("event loop")
        assert not running.logged("library")


@pytest.fixture(autouse=True)
def _others_are_served(server: Server) -> Iterator[None]:
    connection = server.connect()
    yield
    assert ask(connection, "POST", INFER, *message(INPUTS)).status == 200
    connection.close()


def _drip(sock: socket.socket, data: bytes, seconds: float) -> bool:
    """Send a byte now and then; whether the server took all of them."""
    for byte in data:
        try:
            sock.sendall(bytes([byte]))
        except OSError:
            return False
        time.sleep(seconds)
    return True


def test_headers_that_drip_are_cut_off(server: Server) -> None:
    with server.socket() as sock:
        sock.sendall(b"POST /v2 HTTP/1.1\r\nX-Slow: ")
        _drip(sock, b"a" * 40, 0.02)
        (answer,) = read_raw(sock)
        assert answer.status == 408
        assert answer.error == "no headers within 0.5 s"


def test_a_connection_that_says_nothing_is_closed(server: Server) -> None:
    with server.socket() as sock:
        assert sock.recv(1) == b""


@pytest.mark.parametrize("between", [b"\r\n", b"\n"])
def test_empty_lines_do_not_keep_a_connection(server: Server, between: bytes) -> None:
    with server.socket() as sock:
        sock.sendall(raw_request("/v2/health/live", {}, b"", "GET"))
        answers = read_raw(sock)
        assert next(answers).status == 200
        _drip(sock, between * 50, 0.02)
        assert next(answers, None) is None


def test_a_body_that_drips_is_cut_off(server: Server) -> None:
    headers, body = message(INPUTS)
    request = raw_request(INFER, headers, body)
    with server.socket() as sock:
        sock.sendall(request[: -len(body)])
        _drip(sock, body[:60], 0.02)
        answer = next(read_raw(sock))
        assert answer.status == 408
        assert answer.error == "the body did not arrive within 0.5 s"


def test_a_body_that_nobody_wants_is_not_read_for_ever(server: Server) -> None:
    with server.socket() as sock:
        sock.sendall(b"POST /nowhere HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n")
        assert next(read_raw(sock)).status == 404
        begun = time.monotonic()
        while _drip(sock, b"x", 0.05):
            assert time.monotonic() < begun + 60


@pytest.mark.parametrize(
    "head",
    [
        b"GET /" + b"a" * 5000 + b" HTTP/1.1\r\n",
        b"GET /v2 HTTP/1.1\r\nX-Long: " + b"a" * 5000,
        b"GET /v2 HTTP/1.1\r\n" + b"".join(b"X-%d: many\r\n" % n for n in range(500)),
        b"GET /v2 HTTP/1.1\r\n" + b"a" * 5000,
    ],
)
@pytest.mark.parametrize("end", [b"\r\n\r\n", b""])
def test_headers_that_are_too_long_are_431(server: Server, head: bytes, end: bytes) -> None:
    with server.socket() as sock:
        sock.sendall(head + end)
        (answer,) = read_raw(sock)
        assert answer.status in (400, 431)  # 400: what has no colon is no header
        assert answer.headers["connection"] == "close"
        assert answer.error


@pytest.mark.parametrize("part", [b"1;" + b"x" * 200 + b"\r\na\r\n", b"1\r\na\r\n"])
def test_chunks_of_hardly_anything_are_cut_off(server: Server, part: bytes) -> None:
    with server.socket() as sock:
        sock.sendall(
            f"POST {INFER} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
        )
        for _ in range(100):
            try:
                sock.sendall(part * 100)
            except OSError:
                break
        answer = next(read_raw(sock))
        assert answer.status in (408, 413)


CHUNKED = f"POST {INFER} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n".encode()


@pytest.mark.parametrize("line", [b"ab:\r\n", b"a"])
@pytest.mark.parametrize("before", [b"1\r\na\r\n0\r\n", b"1;a="])
def test_trailers_and_extensions_are_no_way_around_the_limits(
    server: Server, before: bytes, line: bytes
) -> None:
    if before.endswith(b"="):
        line = line[:1]  # an extension has no lines
    with server.socket() as sock:
        sock.sendall(CHUNKED + b"\r\n" + before)
        for _ in range(10):
            time.sleep(0.01)
            with suppress(OSError):
                sock.sendall(line * 1000)
        answer = next(read_raw(sock))
        assert (answer.status, answer.headers["connection"]) == (431, "close")
        assert answer.error == "headers and trailers are longer than 4096 bytes"


def test_headers_and_trailers_share_one_limit(server: Server) -> None:
    body = b"1\r\na\r\n0\r\n"
    for size, statuses in ((1500, {400}), (2500, {431})):  # 400: "a" is no request
        line = b"X-Long: " + b"a" * size + b"\r\n"
        with server.socket() as sock:
            sock.sendall(CHUNKED + line + b"\r\n" + body + line + b"\r\n")
            assert {answer.status for answer in islice(read_raw(sock), 1)} == statuses


def test_a_trailer_is_no_header(server: Server) -> None:
    headers, body = message(INPUTS, id="7")
    head = CHUNKED + b"".join(f"{n}: {v}\r\n".encode() for n, v in headers.items()) + b"\r\n"
    trailers = b"X-Request-Id: trailer\r\nInference-Header-Content-Length: 1\r\nHost: y\r\n"
    with server.socket() as sock:
        request = head + b"%x\r\n%s\r\n0\r\n%s\r\n" % (len(body), body, trailers)
        sock.sendall(request + request)
        for answer in islice(read_raw(sock), 2):
            assert answer.decoded().id == "7"
            assert answer.headers["x-request-id"] == "7"


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x00\x01\x02\x03\xff\xfe",
        b"hello\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET /v2 HTTP/9.9\r\n\r\n",
        b"GET /v2 HTTP/1.1\r\nbroken header\r\n\r\n",
        b"GET /v2 HTTP/1.1\r\nContent-Length: x\r\n\r\n",
        b"POST /v2 HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"POST /v2 HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"POST /v2 HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"POST /v2 HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n",
        b"CONNECT example.org:443 HTTP/1.1\r\n\r\n",
        b"GET http://[::1 HTTP/1.1\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # TLS to a port without
    ],
)
def test_bytes_that_are_no_request_are_400(server: Server, garbage: bytes) -> None:
    with server.socket() as sock:
        sock.sendall(garbage)
        (answer,) = read_raw(sock)
        assert answer.status == 400
        assert answer.headers["connection"] == "close"
        assert answer.error


@pytest.mark.parametrize("path", ["/%ff%fe", "/%", "/v2?%ff", "*", "/v2;x", "//v2"])
def test_strange_paths_are_404_or_400(server: Server, path: str) -> None:
    with server.socket() as sock:
        sock.sendall(raw_request(path, {}, b"", "GET"))
        assert next(read_raw(sock)).status in (200, 400, 404)


@pytest.mark.parametrize("protocol", ["h2c", "websocket", "TLS/1.0"])
@pytest.mark.parametrize("chunked", [False, True])
def test_an_offer_to_upgrade_is_not_taken_up(server: Server, protocol: str, chunked: bool) -> None:
    offer = {"Connection": "Upgrade, HTTP2-Settings", "Upgrade": protocol, "HTTP2-Settings": "AA"}
    headers, body = message(INPUTS)
    infer = raw_request(INFER, {**headers, **offer}, body)
    if chunked:
        length = f"Content-Length: {len(body)}".encode()
        infer = infer.replace(length, b"Transfer-Encoding: chunked")
        infer = infer[: -len(body)] + b"%x\r\n%s\r\n0\r\nab: c\r\n\r\n" % (len(body), body)
    asked = raw_request("/v2", offer, b"", "GET")
    whole = infer + asked + infer + asked
    for step in (len(whole), 7):
        with server.socket() as sock:
            for start in range(0, len(whole), step):
                sock.sendall(whole[start : start + step])
            answers = list(islice(read_raw(sock), 4))
        assert [answer.status for answer in answers] == [200] * 4
        assert answers[2].decoded().outputs["probabilities"].shape == (1, 2)


@pytest.mark.parametrize(
    ("head", "told"),
    [
        ("GET /v2 HTTP/1.1\r\n", "got none"),
        ("GET /v2 HTTP/1.1\r\nHost: a\r\nhost: a\r\n", "got 2 of them"),
        ("GET /v2 HTTP/1.0\r\nHost: a\r\nHost: b\r\n", "got 2 of them"),
        ("CONNECT / HTTP/1.1\r\nHost: a\r\n", "no proxy"),
    ],
)
def test_a_request_names_one_host(server: Server, head: str, told: str) -> None:
    with server.socket() as sock:
        sock.sendall(f"{head}\r\n".encode())
        (answer,) = read_raw(sock)
        assert (answer.status, answer.headers["connection"]) == (400, "close")
        assert told in answer.error
    with server.socket() as sock:
        sock.sendall(b"GET /v2 HTTP/1.0\r\n\r\n")
        assert [answer.status for answer in read_raw(sock)] == [200]


def test_every_way_to_frame_a_request(server: Server) -> None:
    rng = random.Random(2)
    headers, body = message(INPUTS)
    seen: set[int] = set()
    for _ in range(150):
        requests = [wired_request(INFER, headers, body, rng, 4096) for _ in range(3)]
        sound = next((n for n, each in enumerate(requests) if each.status != 200), 3)
        with server.socket() as sock:
            statuses: list[int] = []
            with suppress(OSError):
                sock.sendall(b"".join(each.data for each in requests))
                statuses += [answer.status for answer in islice(read_raw(sock), 3)]
        # What is refused behind other requests may end the connection before it is told.
        told = [each.status for each in requests[: sound + 1]]
        assert statuses == (told if sound in (0, 3) else told[: len(statuses)])
        seen |= set(statuses)
    assert seen == {200, 400, 431}


def test_garbage_behind_a_request_does_not_take_its_answer(server: Server) -> None:
    with server.socket() as sock:
        sock.sendall(raw_request(INFER, *message(INPUTS)) + b"\x00garbage\r\n\r\n")
        answers = list(read_raw(sock))
        assert answers[0].status == 200
        assert [answer.status for answer in answers[1:]] in ([], [400])


def test_a_broken_chunk_ends_its_request_at_once(server: Server) -> None:
    with server.socket() as sock:
        sock.sendall(
            f"POST {INFER} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n".encode()
        )
        (answer,) = read_raw(sock)
        assert answer.status == 400


def test_a_half_closed_connection_is_closed(server: Server) -> None:
    with server.socket() as sock:
        sock.sendall(raw_request(INFER, *message(INPUTS))[:-5])
        sock.shutdown(socket.SHUT_WR)
        assert list(read_raw(sock)) == []


def test_clients_that_vanish_leave_nothing_behind(server: Server) -> None:
    open_before = server.metric("dimec_connections")
    for cut in range(0, 200, 10):
        with server.socket() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # reset
            sock.sendall(raw_request(INFER, *message(INPUTS))[:cut])
    while server.metric("dimec_connections") > open_before:
        time.sleep(0.01)


def test_a_client_that_does_not_read_its_answers_is_let_go(server: Server) -> None:
    request = raw_request("/metrics", {}, b"", "GET")
    with server.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        assert not _flood(sock, request * 50, pause=0.02)


def test_a_flood_of_requests_is_not_kept_in_memory(server: Server) -> None:
    before = server.metric("process_resident_memory_bytes")
    with server.socket() as sock:
        assert not _flood(sock, raw_request("/v2", {}, b"", "GET") * 1000)
    assert server.metric("process_resident_memory_bytes") < before + 30e6


@pytest.mark.parametrize("number", [60, 200])
def test_requests_far_ahead_of_their_answers(server: Server, number: int) -> None:
    request = raw_request(INFER, *message(INPUTS))
    with server.socket() as sock:
        sock.sendall(request * number)
        answers = read_raw(sock)
        assert {next(answers).status for _ in range(60)} == {200}


def test_a_broken_request_behind_sound_ones_does_not_take_their_answers(server: Server) -> None:
    request = raw_request(INFER, *message(INPUTS))
    broken = f"POST {INFER} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"
    for sound in (1, 2, 5):
        with server.socket() as sock:
            sock.sendall(request * sound + broken.encode())
            assert [answer.status for answer in read_raw(sock)][:sound] == [200] * sound


def _flood(sock: socket.socket, data: bytes, pause: float = 0) -> bool:
    """Send without end and without reading; False once the server takes no more."""
    for _ in range(1_000_000):
        try:
            sock.sendall(data)
        except OSError:
            return False
        time.sleep(pause)
    return True


def test_random_breakage_is_never_a_500_and_never_a_hang(server: Server) -> None:
    rng = random.Random(0)
    sound = [
        raw_request(INFER, *message(INPUTS, id="7")),
        raw_request(INFER, *message(INPUTS, binary=False)),
        raw_request("/v2/models/edge", {"Accept": "*/*"}, b"", "GET"),
        f"POST {INFER} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        "5\r\nhello\r\n0\r\n\r\n".encode(),
    ]
    statuses: set[int] = set()
    for _ in range(400):
        with server.socket() as sock:
            sock.sendall(mutate(rng.choice(sound), rng, sound))
            sock.shutdown(socket.SHUT_WR)
            statuses |= {answer.status for answer in _whatever_comes(sock)}
    assert statuses <= {200, 400, 404, 405, 413, 415, 431}
    assert {200, 400} <= statuses


def _whatever_comes(sock: socket.socket) -> Iterator[http.client.HTTPResponse]:
    """Answers until the connection ends in one way or another."""
    while True:
        response = http.client.HTTPResponse(sock)
        try:
            response.begin()
            response.read()
        except (OSError, http.client.HTTPException, ValueError):
            return
        yield response
