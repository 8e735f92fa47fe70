"""Attempts that failed: why, whether the tier is to blame, and whether to try again."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from typing import Any

import httpx2

from dimec.base.errors import shown

# Reasons that speak against the tier, or against this device's way to it, whatever the input: they
# count for the circuit breaker. A request that is refused for what it holds does not.
COUNTED = frozenset(
    {"unreachable", "timeout", "overloaded", "server error", "broken answer", "wrong version"}
)
# Reasons for which another attempt may do better. Inference changes nothing on a server, so that
# asking twice is safe even where the first request arrived.
_RETRIED = frozenset({"unreachable", "overloaded", "broken answer"})

_FIRST_PAUSE = 0.05
_LONGEST_PAUSE = 1.0


class Failure(Exception):
    """An attempt that gave no usable answer.

    Attributes:
        reason: one of :data:`dimec.client.endpoint.REASONS`.
        detail: what happened, on one line.
        sent: whether bytes of the input may have left the device.
        counts: whether it speaks against the tier.
        retry: whether another attempt may do better.
        after: seconds that the server asks to be left alone; None where it does not say.
        stale: an old connection turned out to be closed: no fault of the tier's.
        not_understood: it may be the binary tensors that the server did not take.
    """

    def __init__(
        self,
        reason: str,
        detail: str,
        *,
        sent: bool = True,
        counts: bool | None = None,
        retry: bool | None = None,
        after: float | None = None,
        stale: bool = False,
        not_understood: bool = False,
    ) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = shown(" ".join(detail.split()))
        self.sent = sent
        self.counts = reason in COUNTED if counts is None else counts
        self.retry = reason in _RETRIED if retry is None else retry
        self.after = after
        self.stale = stale
        self.not_understood = not_understood


class AttemptState:
    """How far an attempt came, as the connection pool tells it: its ``trace`` callback.

    Attributes:
        connecting: a new connection was opened for it.
        sent: bytes of the input may have left.
        answered: the headers of an answer were read.
    """

    __slots__ = ("answered", "connecting", "sent", "traced")

    def __init__(self, *, traced: bool) -> None:
        # A transport that tells nothing may have sent everything.
        self.traced = traced
        self.connecting = self.answered = False
        self.sent = not traced

    def __call__(self, name: str, info: Mapping[str, Any]) -> None:
        """Note an event."""
        match name:
            case "connection.connect_tcp.started":
                self.connecting = True
            case "http11.send_request_body.started":
                self.sent = True
            case "http11.receive_response_headers.complete":
                self.answered = True

    async def note(self, name: str, info: Mapping[str, Any]) -> None:
        """The same, for asynchronous pools."""
        self(name, info)

    @property
    def waiting(self) -> bool:
        """Whether it had no connection yet, and none was being opened."""
        return self.traced and not self.connecting and not self.sent

    @property
    def stale(self) -> bool:
        """Whether an old connection was used and no answer came: the server has closed it."""
        return self.traced and not self.connecting and not self.answered


def explain(error: Exception, state: AttemptState, url: str) -> Failure:
    """The failure that an error of the transport stands for."""
    detail = f"{url}: {error or type(error).__name__}"
    match error:
        case httpx2.PoolTimeout() | TimeoutError() if state.waiting:
            # Too many calls of this process's own: no fault of the tier's.
            return Failure("timeout", f"{url}: no free connection", sent=False, counts=False)
        case httpx2.ConnectTimeout():
            return Failure("timeout", f"{url}: no connection in time", sent=False)
        case httpx2.TimeoutException() | TimeoutError():
            return Failure("timeout", f"{url}: no answer in time", sent=state.sent)
        case httpx2.ConnectError():
            return Failure("unreachable", detail, sent=False, retry=not _is_certificate(error))
        case httpx2.RemoteProtocolError():
            return Failure("broken answer", detail, sent=state.sent, stale=state.stale)
    return Failure("unreachable", detail, sent=state.sent, stale=state.stale)


def _is_certificate(error: BaseException | None) -> bool:
    """Whether an error goes back to a certificate that is not trusted; that does not change."""
    seen = 0
    while error is not None and seen < 10:
        if isinstance(error, ssl.SSLCertVerificationError):
            return True
        error, seen = error.__cause__ or error.__context__, seen + 1
    return False


def pause_before(attempts: int, failure: Failure, chance: float) -> float:
    """Seconds to wait before another attempt.

    Doubles with every attempt and is spread, so that devices that failed together do not come
    back together; never shorter than the server asks for.

    Args:
        attempts: how many were made.
        failure: the last one's.
        chance: uniform in [0, 1).
    """
    backoff = min(_FIRST_PAUSE * 2.0 ** (attempts - 1), _LONGEST_PAUSE) * (0.5 + chance / 2)
    return backoff if failure.after is None else failure.after + backoff
