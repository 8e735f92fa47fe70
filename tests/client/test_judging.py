"""What is made of replies, one by one, without any connection."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dimec.client.endpoint import REASONS, Endpoint
from dimec.client.failures import COUNTED, Failure
from dimec.client.judging import Fixed, Question, Reply, ask, judge, wire_id
from dimec.protocol import (
    BINARY_HEADER,
    InferResponse,
    content_digest,
    decode_request,
    encode_error,
    encode_response,
)
from support.fuzzing import broken_messages, sound_messages

ENDPOINT = Endpoint("edge", "http://127.0.0.1:1", "12", 2, token="t0ken")
IDS = np.array([[101, 102], [101, 0]])
QUESTION = Question(ENDPOINT, {"input_ids": IDS}, "7", None, rows=2)
ROWS = np.array([[0.25, 0.75], [0.5, 0.5]], np.float32)


def floats(rows: list[list[float]]) -> npt.NDArray[np.float32]:
    """Rows as float32."""
    return np.array(rows, np.float32)


def reply(
    rows: Any = ROWS, *, model: str = "edge", version: str = "12", id: str = "7", **headers: str
) -> Reply:
    """The right reply, with changes."""
    response = InferResponse(model, version, id, {"probabilities": rows})
    message = encode_response(response, binary=True)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    sent = {name.lower(): value for name, value in message.headers.items()}
    return Reply(200, {**sent, **named}, message.body)


def failure(given: Reply, *, digest_required: bool = False) -> Failure:
    """The failure that a reply stands for."""
    with pytest.raises(Failure) as caught:
        judge(QUESTION, given, digest_required=digest_required)
    assert caught.value.reason in REASONS
    assert caught.value.sent
    return caught.value


# --- Asking --------------------------------------------------------------------------------------


@pytest.mark.parametrize("binary", [True, False])
def test_what_is_asked(binary: bool) -> None:
    attempt = ask(QUESTION, Fixed.of(ENDPOINT), 0.25, binary=binary)
    assert str(attempt.url) == "http://127.0.0.1:1/v2/models/edge/versions/12/infer"
    assert attempt.headers["Authorization"] == "Bearer t0ken"
    assert attempt.headers["Accept-Encoding"] == "identity"
    assert attempt.headers["X-Request-Id"] == "7"
    assert attempt.headers["Content-Digest"] == content_digest(attempt.body)
    assert "Traceparent" not in attempt.headers
    request = decode_request(attempt.body, attempt.headers.get(BINARY_HEADER))
    assert (request.id, request.outputs, request.binary) == ("7", ("probabilities",), binary)
    assert request.timeout == 0.25
    assert request.inputs["input_ids"].tolist() == IDS.tolist()


@pytest.mark.parametrize(
    ("trace", "passed"),
    [
        ("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", True),
        ("00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01", False),
        ("", False),
        ("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\nX: y", False),
    ],
)
def test_a_trace_is_passed_on_where_it_is_one(trace: str, passed: bool) -> None:
    question = Question(ENDPOINT, {"input_ids": IDS}, "7", trace, rows=2)
    headers = ask(question, Fixed.of(ENDPOINT), 1.0, binary=True).headers
    assert (headers.get("Traceparent") == trace) is passed


def test_inputs_that_the_protocol_cannot_carry() -> None:
    question = Question(ENDPOINT, {"input_ids": np.array([["text"]])}, "7", None, rows=1)
    with pytest.raises(Failure, match="refused: the protocol cannot carry") as caught:
        ask(question, Fixed.of(ENDPOINT), 1.0, binary=True)
    assert not caught.value.sent
    assert not caught.value.counts


@given(st.text())
def test_ids_fit_into_a_header(id_: str) -> None:
    sent = wire_id(id_)
    assert sent.isascii()
    assert sent.isprintable()
    assert 0 < len(sent) <= 128
    assert " " not in sent
    assert wire_id(id_) == sent
    assert wire_id(id_ + "x") != sent


def test_plain_ids_stay_as_they_are() -> None:
    assert wire_id("job-1/7") == "job-1/7"
    assert wire_id("a\r\nb").startswith("sha256-")
    assert wire_id("\ud800").startswith("sha256-")


# --- Answers -------------------------------------------------------------------------------------


def test_the_right_answer() -> None:
    for required in (True, False):
        np.testing.assert_array_equal(judge(QUESTION, reply(), digest_required=required), ROWS)


def test_an_answer_as_json_and_without_a_digest() -> None:
    body = (
        b'{"model_name":"edge","model_version":"12","id":"7","outputs":[{"name":"probabilities",'
        b'"datatype":"FP32","shape":[2,2],"data":[[0.25,0.75],[0.5,0.5]]}]}'
    )
    answer = judge(QUESTION, Reply(200, {}, body), digest_required=False)
    np.testing.assert_array_equal(answer, ROWS)
    assert answer.dtype == np.float32
    complaint = failure(Reply(200, {}, body), digest_required=True)
    assert str(complaint) == "broken answer: it lacks the Content-Digest that this server sends"
    unknown = Reply(200, {"content-digest": "sha-257=:AAAA:"}, body)
    assert failure(unknown, digest_required=True).reason == "broken answer"


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (reply(ROWS[:1]), r"expected probabilities of float32 \(2, 2\), got float32 \(1, 2\)"),
        (reply(np.full((2, 3), 1 / 3, np.float32)), r"got float32 \(2, 3\)"),
        (reply(ROWS.reshape(4)), r"got float32 \(4,\)"),
        (reply(ROWS[:, :, None]), r"got float32 \(2, 2, 1\)"),
        (reply(ROWS.astype(np.float64)), r"got float64 \(2, 2\)"),
        (reply(ROWS.astype(np.float16)), r"got float16 \(2, 2\)"),
        (reply((ROWS > 0.3).astype(np.int64)), r"got int64 \(2, 2\)"),
        (reply(ROWS * floats([[1], [np.nan]])), "not finite and of sum 1"),
        (reply(ROWS + floats([[np.inf, 0], [0, 0]])), "not finite and of sum 1"),
        (reply(floats([[-0.5, 1.5], [0.5, 0.5]])), "not finite and of sum 1"),
        (reply(floats([[0.25, 0.75], [0.5, 0.502]])), "not finite and of sum 1"),
        (reply(ROWS * 0), "not finite and of sum 1"),
        (reply(model="cloud"), "expected the model 'edge', got 'cloud'"),
        (reply(id="8"), "it is the answer to '8', not to '7'"),
        (reply(id=""), "it is the answer to '', not to '7'"),
        (reply(content_encoding="gzip"), "it is encoded as 'gzip', which was not asked"),
        (reply(content_digest="sha-256=:AAAA:"), "altered on its way"),
        (Reply(200, {}, b""), "the body is not JSON"),
        (Reply(200, {}, b'{"model_name":"edge","model_version":"12","id":"7"}'), "no output 'prob"),
        (Reply(200, {}, b"<html>"), "the body is not JSON"),
        (Reply(204, {}, b""), "HTTP 204"),
    ],
)
def test_broken_answers(given: Reply, says: str) -> None:
    complaint = failure(given)
    assert complaint.reason == "broken answer"
    assert complaint.retry
    assert complaint.counts
    assert re.search(says, complaint.detail)


@pytest.mark.parametrize("version", ["13", "", "012"])
def test_an_answer_of_another_version(version: str) -> None:
    complaint = failure(reply(version=version))
    assert str(complaint) == f"wrong version: expected 12, got {version or 'none'}"
    assert not complaint.retry
    assert complaint.counts


def test_rows_may_miss_one_by_a_rounding() -> None:
    near = floats([[0.2504, 0.75], [0.5, 0.4996]])
    np.testing.assert_array_equal(judge(QUESTION, reply(near), digest_required=True), near)


@pytest.mark.parametrize(
    ("status", "reason", "counts", "retry"),
    [
        (301, "refused", True, False),
        (307, "refused", True, False),
        (400, "refused", False, False),
        (401, "refused", True, False),
        (403, "refused", True, False),
        (404, "wrong version", True, False),
        (405, "refused", True, False),
        (408, "timeout", True, False),
        (413, "refused", False, False),
        (415, "refused", False, False),
        (429, "overloaded", True, True),
        (500, "server error", True, False),
        (502, "server error", True, False),
        (503, "overloaded", True, True),
        (504, "timeout", True, False),
    ],
)
def test_statuses(status: int, reason: str, counts: bool, retry: bool) -> None:
    complaint = failure(Reply(status, {}, encode_error("because\nof this")))
    assert (complaint.reason, complaint.counts, complaint.retry) == (reason, counts, retry)
    assert complaint.detail.startswith(f"HTTP {status}: because of this")
    assert complaint.counts is (reason in COUNTED) or reason == "refused"


@pytest.mark.parametrize(
    "body", [b"Invalid HTTP request received.", b"", encode_error("Content-Digest does not match")]
)
def test_a_request_that_was_altered_on_its_way_is_sent_again(body: bytes) -> None:
    complaint = failure(Reply(400, {}, body))
    assert complaint.reason == "broken answer"
    assert complaint.retry
    assert "the request was altered on its way (HTTP 400" in complaint.detail


def test_a_redirection_says_where_to() -> None:
    complaint = failure(Reply(302, {"location": "http://elsewhere/"}, b""))
    assert complaint.detail == "HTTP 302 sends elsewhere ('http://elsewhere/')"


def test_details_are_one_short_line() -> None:
    complaint = failure(Reply(500, {}, encode_error("x\r\n" * 10_000)))
    assert len(complaint.detail) <= 320
    assert complaint.detail.isprintable()


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("0", 0), ("7", 7), (" 2 ", 2), ("-1", None), ("1.5", None), ("soon", None), ("", None)],
)
def test_retry_after(value: str, seconds: float | None) -> None:
    assert failure(Reply(503, {"retry-after": value}, b"")).after == seconds


def test_retry_after_as_a_date() -> None:
    now = datetime.now(UTC)
    late, early = (
        failure(Reply(503, {"retry-after": format_datetime(when, usegmt=True)}, b"")).after
        for when in (now + timedelta(seconds=100), now - timedelta(seconds=100))
    )
    assert late is not None
    assert 0 < late <= 100
    assert early == 0


def test_any_bytes_are_an_answer_or_a_failure() -> None:
    _, responses = sound_messages()
    for body, length in islice(broken_messages(3, responses), 500):
        headers = {} if length is None else {BINARY_HEADER.lower(): length}
        assert failure(Reply(200, headers, body), digest_required=True).reason == "broken answer"
        try:
            judge(QUESTION, Reply(200, headers, body), digest_required=False)
        except Failure:
            continue
