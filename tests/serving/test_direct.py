"""Inferences take a short way; what is answered is the same as on the usual one."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from dimec.bundle.manifest import MANIFEST
from support.served import (
    FAILING,
    INFER,
    Server,
    ask,
    inputs_of,
    make_tier,
    message,
    raw_request,
    read_raw,
)

INPUTS = inputs_of([1, 2, 3])
LIMITS = {"max_batch": 2, "queue": 2, "max_body": 4096, "body_seconds": 0.3}


@pytest.fixture(scope="module")
def usual(tier: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that browsers may ask, so that its inferences are as all other requests."""
    log = tmp_path_factory.mktemp("usual") / "log"
    with Server(tier, log, cors_origins=["https://app.example"], **LIMITS) as running:
        yield running
        assert running.stop() == 0
        assert not running.logged("event loop")


@pytest.fixture(scope="module")
def direct(tier: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    log = tmp_path_factory.mktemp("direct") / "log"
    with Server(tier, log, **LIMITS) as running:
        yield running
        assert running.stop() == 0
        assert not running.logged("event loop")


def said(server: Server, body: bytes, headers: dict[str, str]) -> tuple[int, bytes, set[str]]:
    connection = server.connect()
    try:
        answer = ask(connection, "POST", INFER, headers, body)
        return answer.status, answer.body, set(answer.headers)
    finally:
        connection.close()


@pytest.mark.parametrize(
    "case",
    ["sound", "json", "failing", "no JSON", "digest", "encoded", "large", "rows", "late", "id"],
)
def test_both_ways_answer_alike(usual: Server, direct: Server, case: str) -> None:
    headers, body = message(INPUTS)
    match case:
        case "json":
            headers, body = message(INPUTS, binary=False)
        case "failing":
            headers, body = message(inputs_of([FAILING]))
        case "no JSON":
            body = b"{"
            headers = {}
        case "digest":
            headers["Content-Digest"] = "sha-256=:AAAA:"
        case "encoded":
            headers["Content-Encoding"] = "gzip"
        case "large":
            body += bytes(5000)
        case "rows":
            headers, body = message(inputs_of([1], [2], [3]))
        case "late":
            headers, body = message(INPUTS, timeout=1e-6)
        case "id":
            headers |= {"X-Request-Id": "mine", "traceparent": f"00-{'a' * 32}-{'b' * 16}-01"}
    first, second = said(usual, body, headers), said(direct, body, headers)
    assert first == second
    assert (first[0] == 200) == (case in ("sound", "json", "id"))


def test_a_body_that_does_not_come_is_waited_for_as_long(usual: Server, direct: Server) -> None:
    request = raw_request(INFER, *message(INPUTS))
    for server in (usual, direct):
        with server.socket() as sock:
            sock.sendall(request[:-5])
            (answer,) = read_raw(sock)
            assert answer.status == 408
            assert answer.error == "the body did not arrive within 0.3 s"


def test_a_client_is_told_to_go_on(usual: Server, direct: Server) -> None:
    headers, body = message(INPUTS)
    for server in (usual, direct):
        with server.socket() as sock:
            sock.sendall(
                raw_request(INFER, {**headers, "Expect": "100-continue"}, body)[: -len(body)]
            )
            assert sock.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
            sock.sendall(body)
            assert next(read_raw(sock)).status == 200


def test_a_request_whose_bundle_is_gone_by_its_turn_is_told_so(tmp_path: Path) -> None:
    tier = make_tier(tmp_path / "edge")
    with Server(tier, tmp_path / "log") as server, server.socket() as sock:
        slow, quick = message(inputs_of([1999])), message(INPUTS)  # a second or more
        old = INFER.replace("/infer", "/versions/41/infer")
        ahead = [raw_request(INFER, *slow), raw_request(INFER, *slow), raw_request(old, *quick)]
        sock.sendall(b"".join(ahead))
        server.wait_for("dimec_runs_active", 1)
        manifest = (tier / MANIFEST).read_text("utf-8")
        (tier / MANIFEST).write_text(manifest.replace('"41"', '"43"'), "utf-8")
        server.signal(signal.SIGHUP)
        server.wait_logged("bundle taken", version="43")
        answers = read_raw(sock)
        first, second, third = (next(answers) for _ in range(3))
        assert (first.status, second.status, third.status) == (200, 200, 404)
        assert third.error == "unknown version; this server has 'edge' 43"
        assert server.stop() == 0
