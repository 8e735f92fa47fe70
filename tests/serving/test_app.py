"""Who may ask, what is logged of it, and what overload, deadlines and vanished clients come to."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from support.served import (
    INFER,
    SLOW,
    Background,
    Server,
    ask,
    expected,
    inputs_of,
    message,
    raw_request,
    read_raw,
)

TOKEN = "7c1f0e-this-is-secret"
TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
INPUTS = inputs_of([1, 2, 3])


@pytest.fixture(scope="module")
def guarded(tier: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that wants a token."""
    with Server(tier, tmp_path_factory.mktemp("guarded") / "log", token=TOKEN) as running:
        yield running
        assert running.stop() == 0
        assert TOKEN not in running.said()


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v2"),
        ("GET", "/metrics"),
        ("GET", "/v2/models/edge"),
        ("GET", "/v2/models/edge/ready"),
        ("POST", INFER),
        ("POST", "/v2/repository/index"),
        ("GET", "/nowhere"),
        ("GET", "/v2/health/live/"),
        ("DELETE", "/v2"),
    ],
)
def test_without_the_token_nothing_is_told(guarded: Server, method: str, path: str) -> None:
    with guarded.socket() as sock:
        for value in (None, "", f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}", f"Basic {TOKEN}", "é"):
            headers = {} if value is None else {"Authorization": value}
            sock.sendall(raw_request(path, headers, b"", method))
            answer = next(read_raw(sock))
            assert answer.status == 401
            assert answer.headers["www-authenticate"] == "Bearer"
            assert answer.error.startswith("expected the header 'Authorization: Bearer TOKEN'")


def test_with_the_token_everything_is_there(guarded: Server) -> None:
    bearer = {"Authorization": f"Bearer {TOKEN}"}
    headers, body = message(INPUTS)
    answer = guarded.ask("POST", INFER, {**headers, **bearer}, body)
    np.testing.assert_allclose(
        answer.decoded().outputs["probabilities"], expected(INPUTS), atol=1e-6
    )
    text = guarded.ask("GET", "/metrics", bearer).body.decode()
    assert 'dimec_requests_total{outcome="unauthorised",status="401"}' in text
    assert guarded.ask("GET", "/v2/models/edge", bearer).status == 200


def test_health_is_open(guarded: Server) -> None:
    assert guarded.get("/v2/health/live").status == 200
    assert guarded.get("/v2/health/ready").status == 200


def test_a_body_is_not_read_before_the_token_is_shown(guarded: Server) -> None:
    with guarded.socket() as sock:
        sock.sendall(f"POST {INFER} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n".encode())
        assert next(read_raw(sock)).status == 401


def test_ids_and_trace_contexts_come_back_and_are_logged(server: Server) -> None:
    headers, body = message(INPUTS, id="of-the-body")
    own = {"X-Request-Id": "of-the-header", "traceparent": TRACE}
    answer = server.ask("POST", INFER, {**headers, **own}, body)
    assert answer.headers["x-request-id"] == "of-the-header"
    assert answer.headers["traceparent"] == TRACE
    assert answer.decoded().id == "of-the-body"
    line = server.wait_logged(request_id="of-the-header")
    assert line["trace_id"] == "4bf92f3577b34da6a3ce929d0e0e4736"
    assert (line["method"], line["path"], line["status"]) == ("POST", INFER, 200)
    assert (line["outcome"], line["rows"], line["batch_rows"]) == ("ok", 1, 1)
    assert 0 <= line["queue_ms"] <= line["ms"]
    assert server.ask("POST", INFER, headers, body).headers["x-request-id"] == "of-the-body"


@pytest.mark.parametrize("given", ["two words", "x" * 129, "line\tbreak", "\x80"])
def test_ids_that_are_not_plain_are_replaced(server: Server, given: str) -> None:
    with server.socket() as sock:
        own = {"X-Request-Id": given, "traceparent": TRACE.upper()}
        sock.sendall(raw_request("/v2", own, b"", "GET"))
        answer = next(read_raw(sock))
    assert len(answer.headers["x-request-id"]) == 32
    assert "traceparent" not in answer.headers
    line = server.wait_logged(request_id=answer.headers["x-request-id"])
    assert "trace_id" not in line


def test_nothing_of_a_text_is_logged(server: Server) -> None:
    marked = inputs_of([777, 778, 779])
    for inputs in (marked, inputs_of([77_777_777])):
        for binary in (True, False):
            server.infer(inputs, binary=binary, id="look-here")
    body = b'{"inputs": [{"name": "SECRET-TEXT", "datatype": "BYTES", "data": ["SECRET-TEXT"]}]}'
    assert server.ask("POST", INFER, {"X-Request-Id": "last-look"}, body).status == 400
    server.wait_logged(request_id="last-look")
    kept = {"request_id", "trace_id", "time", "ms", "queue_ms"}
    for line in server.logged():
        rest = json.dumps({name: value for name, value in line.items() if name not in kept})
        assert "SECRET-TEXT" not in rest
        assert "77" not in rest


def test_a_path_cannot_forge_a_line(server: Server) -> None:
    path = "/%0a%7B%22event%22%3A%22forged%22%7D"
    assert server.get(path).status == 404
    line = server.wait_logged(path='/\n{"event":"forged"}')
    assert line["event"] == "request"
    assert not server.logged("forged")


class Busy:
    """A server on one thread with a queue for two rows, made busy for a second or so."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.slow = Background(server.infer, inputs_of([SLOW + 200]))
        server.wait_for("dimec_runs_active", 1)
        self.rows_before = server.metric("dimec_batch_rows_sum")

    def end(self) -> float:
        """Wait until the slow request is answered; the rows that ran since it began."""
        assert self.slow.result().status == 200
        self.server.wait_for("dimec_requests_total", 1, outcome="ok")
        while self.server.metric("dimec_runs_active"):
            pass
        return self.server.metric("dimec_batch_rows_sum") - self.rows_before


@pytest.fixture(scope="module")
def narrow(tier: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tier, tmp_path_factory.mktemp("narrow") / "log", max_batch=2, queue=2) as running:
        yield running
        assert running.stop() == 0


def test_overload_deadlines_and_vanished_clients(narrow: Server) -> None:
    busy = Busy(narrow)
    # A deadline that passes while the request waits.
    late = narrow.infer(INPUTS, timeout=0.02)
    assert late.status == 504
    assert late.error == "the deadline has passed before there was an answer"
    # A client that goes away while its request waits.
    with narrow.socket() as sock:
        sock.sendall(raw_request(INFER, *message(inputs_of([1], [2]))))
        narrow.wait_for("dimec_queue_rows", 2)
        # The queue is full.
        refused = narrow.infer(INPUTS)
        assert refused.status == 503
        assert refused.error.startswith("the queue is full")
        assert 1 <= int(refused.headers["retry-after"]) <= 60
    narrow.wait_for("dimec_requests_total", 1, outcome="cancelled")
    assert narrow.metric("dimec_queue_rows") == 0
    # There is room again, and what stays is answered.
    patient = Background(narrow.infer, INPUTS, timeout=600.0)
    narrow.wait_for("dimec_queue_rows", 1)
    assert narrow.metric("dimec_runs_active") == 1, "the slow request was too quick"
    assert busy.end() == 2  # the slow one's row and the patient one's: the others never ran
    np.testing.assert_allclose(
        patient.result().decoded().outputs["probabilities"], expected(INPUTS), atol=1e-6
    )
    for outcome, status in (("deadline", "504"), ("overloaded", "503"), ("cancelled", "499")):
        labels = {"outcome": outcome, "status": status}
        assert narrow.metric("dimec_requests_total", **labels) == 1
        assert narrow.metric("dimec_infer_seconds_count", outcome=outcome) == 1
        narrow.wait_logged(outcome=outcome, status=int(status))


def test_health_is_answered_while_the_graph_is_busy(narrow: Server) -> None:
    busy = Busy(narrow)
    assert narrow.get("/v2/health/ready").status == 200
    assert narrow.metric("dimec_runs_active") == 1
    busy.end()


def test_counts_add_up(server: Server) -> None:
    before = {key: server.metric("dimec_requests_total", outcome=key) for key in ("ok", "invalid")}
    rows = server.metric("dimec_batch_rows_sum")
    connection = server.connect()
    for _ in range(5):
        assert ask(connection, "POST", INFER, *message(inputs_of([1], [2]))).status == 200
        assert ask(connection, "POST", INFER, {}, b"{}").status == 400
    connection.close()
    assert server.metric("dimec_requests_total", outcome="invalid") == before["invalid"] + 5
    # The scrapes themselves count too: two before, one since.
    assert server.metric("dimec_requests_total", outcome="ok") == before["ok"] + 5 + 4
    assert server.metric("dimec_batch_rows_sum") == rows + 10
