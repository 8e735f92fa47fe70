"""The course of a call: what the breaker is told, and what is learnt of a server."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import httpx2
import numpy as np
import pytest

from dimec.client.breaker import CircuitBreaker
from dimec.client.tier_client import AsyncTierClient, Endpoint
from dimec.protocol import BINARY_HEADER, InferResponse, decode_request, encode_response
from support.memory_tier import ENDPOINT, Handler, Tier, bad, right
from support.wire import INPUTS, ROWS, VERSION, refused


@pytest.fixture(params=["threaded", "asyncio"])
def kind(request: pytest.FixtureRequest) -> str:
    """Which of the twins."""
    return str(request.param)


# --- The breaker ---------------------------------------------------------------------------------


def test_failures_open_the_circuit_and_nothing_is_sent(kind: str) -> None:
    tier = Tier(right, *[bad(500)] * 3)
    with tier.client(kind, breaker=CircuitBreaker(failures=3, cooldown=1000)) as client:
        client.infer()
        assert [refused(client).reason for _ in range(3)] == ["server error"] * 3
        complaint = refused(client)
    assert (complaint.reason, complaint.sent) == ("circuit open", False)
    assert len(tier.asked) == 4


def test_a_probe_makes_one_attempt(kind: str) -> None:
    now = [0.0]
    breaker = CircuitBreaker(failures=1, cooldown=5, clock=lambda: now[0])
    tier = Tier(*[httpx2.ConnectError("refused")] * 4)
    with tier.client(kind, breaker=breaker) as client:
        refused(client)
        assert len(tier.asked) == 3
        now[0] = 5
        assert refused(client).reason == "unreachable"
        assert len(tier.asked) == 4
        assert refused(client).reason == "circuit open"
        now[0] = 10
        client.infer()
    assert breaker.state == "closed"


@pytest.mark.parametrize(
    ("answers", "state"),
    [
        ([bad(413)], "closed"),
        ([bad(422), bad(422)], "closed"),
        ([bad(401)], "open"),
        ([bad(404)], "open"),
        ([bad(307)], "open"),
        ([bad(504)], "open"),
        ([bad(503)] * 3, "open"),
        ([httpx2.Response(200, content=b"{}")] * 3, "open"),
    ],
    ids=str,
)
def test_what_speaks_against_a_tier(kind: str, answers: list[Any], state: str) -> None:
    with Tier(*answers).client(kind, breaker=CircuitBreaker(failures=1)) as client:
        refused(client)
        assert client.breaker.state == state


def test_a_call_that_is_cancelled_says_nothing_and_frees_the_probe() -> None:
    now = [0.0]
    breaker = CircuitBreaker(failures=1, cooldown=5, clock=lambda: now[0])

    async def run() -> None:
        started = asyncio.Event()

        async def handle(request: httpx2.Request) -> httpx2.Response:
            started.set()
            await asyncio.sleep(1000)
            raise AssertionError

        client = AsyncTierClient(ENDPOINT, breaker=breaker, transport=httpx2.MockTransport(handle))
        for expected in ("closed", "half-open"):
            started.clear()
            call = asyncio.create_task(client.infer(INPUTS, id="1"))
            await started.wait()
            call.cancel()
            with suppress(asyncio.CancelledError):
                await call
            assert call.cancelled()
            assert breaker.state == expected
            permit = breaker.acquire()
            assert permit is not None
            breaker.fail(permit)
            now[0] += 5

    asyncio.run(run())


def test_a_call_that_is_interrupted_frees_the_probe() -> None:
    now = [0.0]
    breaker = CircuitBreaker(failures=1, cooldown=5, clock=lambda: now[0])

    def interrupt(request: httpx2.Request) -> httpx2.Response:
        raise KeyboardInterrupt

    with Tier(bad(500), bad(500), interrupt).client("threaded", breaker=breaker) as client:
        refused(client)
        now[0] = 5
        with pytest.raises(KeyboardInterrupt):
            client.infer()
        assert breaker.state == "half-open"
        client.infer()


# --- JSON in place of tensors --------------------------------------------------------------------


def knows_json_only(status: int) -> Handler:
    """A server that answers ``status`` to raw tensors."""

    def handle(request: httpx2.Request) -> httpx2.Response:
        return bad(status) if BINARY_HEADER in request.headers else right(request)

    return handle


@pytest.mark.parametrize("status", [400, 415, 422, 500, 501])
def test_a_server_without_tensors_is_asked_in_json_for_good(kind: str, status: int) -> None:
    tier = Tier(*[knows_json_only(status)] * 9)
    endpoint = Endpoint("edge", "http://tier.test", VERSION, 2, timeout=30.0, retries=0)
    with tier.client(kind, endpoint, breaker=CircuitBreaker(failures=1)) as client:
        assert [client.infer().attempts for _ in range(3)] == [2, 1, 1]
    assert [BINARY_HEADER in request.headers for request in tier.asked] == [True] + [False] * 3


def test_a_server_that_answers_tensors_in_json_takes_them(kind: str) -> None:
    def handle(request: httpx2.Request) -> httpx2.Response:
        asked = decode_request(request.content, request.headers[BINARY_HEADER])
        response = InferResponse("edge", VERSION, asked.id, {"probabilities": ROWS})
        return httpx2.Response(200, content=encode_response(response, binary=False).body)

    with Tier(handle, handle).client(kind) as client:
        np.testing.assert_array_equal(client.infer().probabilities, ROWS)
        assert client.infer().attempts == 1


def test_one_refusal_is_not_taken_for_lack_of_tensors_later(kind: str) -> None:
    tier = Tier(right, bad(400), right)
    with tier.client(kind) as client:
        client.infer()
        assert refused(client).detail == "HTTP 400: because"
        client.infer()
    assert all(BINARY_HEADER in request.headers for request in tier.asked)


def test_a_server_that_refuses_json_as_well_is_asked_with_tensors_again(kind: str) -> None:
    tier = Tier(bad(400), bad(400), right)
    with tier.client(kind) as client:
        refused(client)
        client.infer()
    asked = [BINARY_HEADER in request.headers for request in tier.asked]
    assert asked == [True, False, True]


def test_a_dimec_server_is_known_to_take_tensors(kind: str) -> None:
    tier = Tier(bad(500, Server="dimec/1.0"))
    with tier.client(kind) as client:
        assert refused(client).reason == "server error"
    assert len(tier.asked) == 1


# --- Digests -------------------------------------------------------------------------------------


def without_digest(request: httpx2.Request) -> httpx2.Response:
    """The right answer, as a server that knows no digests gives it."""
    response = right(request)
    del response.headers["content-digest"]
    return response


def test_a_server_without_digests_works(kind: str) -> None:
    with Tier(*[without_digest] * 3).client(kind) as client:
        assert [client.infer().attempts for _ in range(3)] == [1, 1, 1]


def test_once_a_server_has_sent_a_digest_it_must(kind: str) -> None:
    with Tier(right, *[without_digest] * 3).client(kind) as client:
        client.infer()
        complaint = refused(client)
    assert complaint.reason == "broken answer"
    assert "lacks the Content-Digest" in complaint.detail


def test_a_dimec_server_must_from_its_first_answer_on(kind: str) -> None:
    def handle(request: httpx2.Request) -> httpx2.Response:
        response = without_digest(request)
        response.headers["server"] = "dimec/1.0"
        return response

    with Tier(*[handle] * 3).client(kind) as client:
        assert refused(client).reason == "broken answer"


@pytest.fixture(autouse=True)
def _pauses_are_short(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the pauses are is tested where they are worked out."""
    monkeypatch.setattr("dimec.client.failures._FIRST_PAUSE", 1e-4)
