"""What errors of connections stand for, and the pauses between attempts."""

from __future__ import annotations

import ssl

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dimec.client.failures import AttemptState, Failure, explain, pause_before


def state(*events: str) -> AttemptState:
    """How far an attempt came, after these events."""
    noted = AttemptState(traced=True)
    for event in events:
        noted(event, {})
    return noted


CONNECTED = "connection.connect_tcp.started"
SENT = "http11.send_request_body.started"
ANSWERED = "http11.receive_response_headers.complete"


@pytest.mark.parametrize(
    ("error", "events", "reason", "sent", "stale"),
    [
        (httpx2.ConnectError("refused"), (CONNECTED,), "unreachable", False, False),
        (httpx2.ConnectTimeout(""), (CONNECTED,), "timeout", False, False),
        (httpx2.PoolTimeout(""), (), "timeout", False, False),
        (httpx2.ReadTimeout(""), (CONNECTED, SENT), "timeout", True, False),
        (TimeoutError(), (CONNECTED,), "timeout", False, False),
        (TimeoutError(), (CONNECTED, SENT), "timeout", True, False),
        (httpx2.WriteError("reset"), (SENT,), "unreachable", True, True),
        (httpx2.ReadError("reset"), (SENT,), "unreachable", True, True),
        (httpx2.ReadError("reset"), (CONNECTED, SENT), "unreachable", True, False),
        (httpx2.ReadError("reset"), (SENT, ANSWERED), "unreachable", True, False),
        (httpx2.RemoteProtocolError("what"), (SENT,), "broken answer", True, True),
        (httpx2.RemoteProtocolError("what"), (CONNECTED, SENT), "broken answer", True, False),
        (ssl.SSLError("bad record"), (CONNECTED, SENT), "unreachable", True, False),
    ],
)
def test_errors_of_connections(
    error: Exception, events: tuple[str, ...], reason: str, sent: bool, stale: bool
) -> None:
    complaint = explain(error, state(*events), "http://host")
    assert (complaint.reason, complaint.sent, complaint.stale) == (reason, sent, stale)
    assert complaint.detail.startswith("http://host: ")


@pytest.mark.parametrize("error", [httpx2.PoolTimeout(""), TimeoutError()], ids=repr)
def test_waiting_for_a_free_connection_is_no_fault_of_the_tier(error: Exception) -> None:
    complaint = explain(error, state(), "http://host")
    assert (complaint.reason, complaint.sent, complaint.counts) == ("timeout", False, False)
    assert complaint.detail == "http://host: no free connection"


def test_a_transport_that_tells_nothing_may_have_sent_everything() -> None:
    silent = AttemptState(traced=False)
    assert explain(TimeoutError(), silent, "u").sent
    assert explain(httpx2.ReadError(""), silent, "u").sent
    assert not explain(httpx2.ReadError(""), silent, "u").stale
    assert not explain(httpx2.ConnectError(""), silent, "u").sent


def test_a_certificate_that_is_not_trusted_is_not_tried_again() -> None:
    error = httpx2.ConnectError("certificate")
    assert explain(error, state(CONNECTED), "u").retry
    error.__cause__ = OSError()
    error.__cause__.__context__ = ssl.SSLCertVerificationError("self-signed")
    complaint = explain(error, state(CONNECTED), "u")
    assert (complaint.reason, complaint.retry, complaint.sent) == ("unreachable", False, False)


# --- Pauses --------------------------------------------------------------------------------------


@given(st.integers(1, 60), st.floats(0, 1, exclude_max=True), st.none() | st.floats(0, 100))
def test_pauses_grow_up_to_a_second_and_honour_the_server(
    attempt: int, chance: float, after: float | None
) -> None:
    pause = pause_before(attempt, Failure("overloaded", "", after=after), chance)
    assert pause >= (after or 0)
    backoff = pause - (after or 0)
    assert 0.5 * min(0.05 * 2 ** (attempt - 1), 1) - 1e-9 <= backoff <= 1.0 + 1e-9


def test_pauses_are_spread() -> None:
    pauses = {pause_before(2, Failure("overloaded", ""), chance) for chance in (0, 0.5, 0.99)}
    assert len(pauses) == 3
