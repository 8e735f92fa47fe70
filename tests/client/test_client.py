"""Calls over a transport in memory: what is tried again, and what is not."""

from __future__ import annotations

import doctest
import math
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
import numpy as np
import pytest

from dimec.client import tier_client as module
from dimec.client.breaker import CircuitBreaker
from dimec.client.tier_client import Endpoint, TierClient
from dimec.protocol import BINARY_HEADER, decode_request
from support.memory_tier import ENDPOINT, Tier, bad, right
from support.wire import INPUTS, ROWS, VERSION, refused


@pytest.fixture(params=["threaded", "asyncio"])
def kind(request: pytest.FixtureRequest) -> str:
    """Which of the twins."""
    return str(request.param)


def test_an_answer(kind: str) -> None:
    tier = Tier()
    with tier.client(kind) as client:
        answer = client.infer(id="job-1", traceparent=f"00-{'a' * 32}-{'b' * 16}-01")
    np.testing.assert_array_equal(answer.probabilities, ROWS)
    assert answer.attempts == 1
    assert answer.seconds > 0
    (request,) = tier.asked
    asked = decode_request(request.content, request.headers[BINARY_HEADER])
    assert asked.id == request.headers["x-request-id"] == "job-1"
    assert request.headers["traceparent"].startswith("00-aaaa")
    assert asked.timeout is not None
    assert 0 < asked.timeout <= 30


@pytest.mark.parametrize(
    "first",
    [
        httpx2.ConnectError("refused"),
        httpx2.ReadError("reset"),
        httpx2.RemoteProtocolError("garbage"),
        bad(503),
        bad(429),
        bad(400, "Content-Digest does not match the body"),
        httpx2.Response(200, content=b"{}"),
        lambda request: right(request, **{"Content-Digest": "sha-256=:AAAA:"}),
    ],
    # By hand: the address of a function would differ from one test process to the next.
    ids=["connect", "read", "garbage", "503", "429", "digest of ours", "empty", "digest of theirs"],
)
def test_what_is_tried_again(kind: str, first: Any) -> None:
    tier = Tier(right, first)
    with tier.client(kind) as client:
        client.infer()
        assert client.infer().attempts == 2
        assert client.breaker.state == "closed"


@pytest.mark.parametrize(
    ("first", "reason", "sent"),
    [
        (bad(401), "refused", True),
        (bad(404), "wrong version", True),
        (bad(413), "refused", True),
        (bad(500), "server error", True),
        (bad(504), "timeout", True),
        (bad(302, Location="http://tier.test/"), "refused", True),
        (httpx2.ReadTimeout("late"), "timeout", True),
        (httpx2.ConnectTimeout("late"), "timeout", False),
    ],
    ids=str,
)
def test_what_is_not_tried_again(kind: str, first: Any, reason: str, sent: bool) -> None:
    tier = Tier(right, first)
    with tier.client(kind) as client:
        client.infer()
        complaint = refused(client)
    assert (complaint.reason, complaint.sent, len(tier.asked)) == (reason, sent, 2)


@pytest.mark.parametrize("retries", [0, 1, 3])
def test_no_more_than_the_retries(kind: str, retries: int) -> None:
    tier = Tier(*[httpx2.ConnectError("refused")] * 9)
    endpoint = Endpoint("edge", "http://tier.test", VERSION, 2, timeout=30.0, retries=retries)
    with tier.client(kind, endpoint) as client:
        complaint = refused(client)
    assert len(tier.asked) == retries + 1
    assert (complaint.reason, complaint.sent) == ("unreachable", False)


def test_one_attempt_that_was_sent_is_enough_to_pay(kind: str) -> None:
    tier = Tier(httpx2.ReadError("reset"), *[httpx2.ConnectError("refused")] * 2)
    with tier.client(kind) as client:
        complaint = refused(client)
    assert (complaint.reason, complaint.sent) == ("unreachable", True)


def test_a_server_that_wants_to_be_left_alone_for_longer_than_there_is(kind: str) -> None:
    tier = Tier(bad(503, "the queue is full", **{"Retry-After": "31"}))
    with tier.client(kind) as client:
        complaint = refused(client)
    assert complaint.reason == "overloaded"
    assert complaint.detail == "HTTP 503: the queue is full"
    assert len(tier.asked) == 1


@pytest.mark.parametrize("timeout", [0.0, -1.0, math.nan])
def test_no_time_at_all(kind: str, timeout: float) -> None:
    tier = Tier()
    breaker = CircuitBreaker(failures=1)
    with tier.client(kind, breaker=breaker) as client:
        complaint = refused(client, timeout=timeout)
        assert (complaint.reason, complaint.sent) == ("timeout", False)
        # The caller's haste is no fault of the tier's.
        assert breaker.state == "closed"
    assert tier.asked == []


def test_more_time_than_clocks_take(kind: str) -> None:
    with Tier().client(kind) as client:
        assert client.infer(timeout=math.inf).attempts == 1


def test_inputs_that_cannot_be_sent(kind: str) -> None:
    tier = Tier()
    breaker = CircuitBreaker(failures=1)
    with tier.client(kind, breaker=breaker) as client:
        complaint = refused(client, inputs={"input_ids": np.array([["text"]])})
        assert (complaint.reason, complaint.sent) == ("refused", False)
        assert breaker.state == "closed"
    assert tier.asked == []


# --- The rest ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "ready"),
    [
        (httpx2.Response(200), True),
        (httpx2.Response(503), False),
        (httpx2.Response(404), False),
        (httpx2.Response(302, headers={"Location": "http://tier.test/ready"}), False),
        (httpx2.ConnectError("refused"), False),
    ],
    ids=str,
)
def test_readiness(kind: str, answer: Any, ready: bool) -> None:
    tier = Tier(answer)
    with tier.client(kind, Endpoint("edge", "http://tier.test", VERSION, 2)) as client:
        assert client.ready() is ready
        assert client.breaker.state == "closed"
    (asked,) = tier.asked
    assert str(asked.url) == f"http://tier.test/v2/models/edge/versions/{VERSION}/ready"


def test_the_token_is_sent_and_never_shown(kind: str) -> None:
    token = "s3cret-token"
    tier = Tier(bad(401, "who are you?"))
    endpoint = Endpoint("edge", "http://127.0.0.1", VERSION, 2, token=token)
    with tier.client(kind, endpoint) as client:
        complaint = refused(client)
        assert token not in f"{complaint} {complaint!r} {client.__dict__}"
    assert tier.asked[0].headers["authorization"] == f"Bearer {token}"


def test_cookies_and_redirections_are_not_followed(kind: str) -> None:
    def tempting(request: httpx2.Request) -> httpx2.Response:
        return right(request, **{"Set-Cookie": "a=b", "Link": "<http://other.test>"})

    tier = Tier(tempting, right, bad(308, Location="http://other.test/"))
    with tier.client(kind) as client:
        client.infer()
        client.infer()
        assert "sends elsewhere" in refused(client).detail
    assert all("cookie" not in request.headers for request in tier.asked)
    assert {request.url.host for request in tier.asked} == {"tier.test"}


def test_a_closed_client_cannot_be_used(kind: str) -> None:
    with Tier().client(kind) as client:
        client.infer()
        client.shut()
        for use in (client.infer, client.ready):
            with pytest.raises(RuntimeError, match="the client was closed"):
                use()


def test_threads_share_a_client() -> None:
    tier = Tier()
    lock = threading.Lock()

    def handle(request: httpx2.Request) -> httpx2.Response:
        with lock:
            return tier(request)

    client = TierClient(ENDPOINT, transport=httpx2.MockTransport(handle))
    with client, ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda i: client.infer(INPUTS, id=str(i)), range(200)))
    assert all(answer.attempts == 1 for answer in answers)
    assert {request.headers["x-request-id"] for request in tier.asked} == set(map(str, range(200)))


def test_the_example_in_the_documentation() -> None:
    assert doctest.testmod(module).failed == 0


@pytest.fixture(autouse=True)
def _pauses_are_short(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the pauses are is tested where they are worked out."""
    monkeypatch.setattr("dimec.client.failures._FIRST_PAUSE", 1e-4)
