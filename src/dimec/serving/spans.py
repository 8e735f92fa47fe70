"""A request's spans on a server, made once it has its answer of moments that were measured anyway.

``dimec.infer`` is a child of the client's span that the request names (``traceparent``), and has
``dimec.tokenise``, ``dimec.queue`` and ``dimec.run`` in it as far as the request came. A request
that no server counts as an inference, such as a scrape, has none.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dimec.serving.entries import Entry

if TYPE_CHECKING:
    from opentelemetry.trace import Span

    from dimec.bundle.manifest import TierManifest
    from dimec.serving.exchange import HttpExchange
    from dimec.serving.metrics import RequestOutcome
    from dimec.telemetry.spans import Clock, Spans, Value


@dataclass(frozen=True, slots=True)
class Course:
    """When a request was where, in seconds of the monotonic clock.

    Attributes:
        submitted: it was checked, and its texts, if it has any, given to the tokenizer.
        queued: it was tokens; None where it never was.
        begun: its first run began; None where none did.
        over: it had its answer, or was given up.
    """

    submitted: float
    queued: float | None
    begun: float | None
    over: float

    @classmethod
    def of(cls, entry: Entry) -> Course:
        """Of an entry that has just got its answer."""
        return cls(entry.submitted, entry.queued, entry.begun, time.monotonic())


class RequestSpans:
    """Makes the spans of a tier's requests.

    Args:
        spans: of this process.
        manifest: of the tier.
    """

    def __init__(self, spans: Spans, manifest: TierManifest) -> None:
        self._spans = spans
        self._texts = manifest.takes == "text"
        self._always: dict[str, Value | None] = {
            "http.request.method": "POST",
            "dimec.tier": manifest.tier,
            "dimec.model_version": manifest.version,
        }

    def record(self, exchange: HttpExchange, status: int, outcome: RequestOutcome) -> None:
        """Make the spans of a request that was answered, or given up, just now."""
        from dimec.telemetry.spans import Clock, end

        clock = Clock(time.monotonic)
        headers = {
            name: value.decode("latin-1")
            for name in ("traceparent", "tracestate")
            if (value := exchange.headers.get(name.encode("ascii"))) is not None
        }
        span = self._spans.start(
            "dimec.infer",
            clock.at(exchange.begun),
            kind="server",
            parent=headers,
            attributes=self._always | self._told(exchange, status, outcome),
        )
        if exchange.course is not None:
            self._stretches(exchange, exchange.course, clock, span)
        # Of HTTP's errors those are the server's that begin with 5.
        end(span, clock.now(), error=outcome if status >= 500 else "")

    def _stretches(self, exchange: HttpExchange, course: Course, clock: Clock, span: Span) -> None:
        """The parts of a request's way; the last one ends where it was given up."""
        parts: list[tuple[str, float, float | None]] = []
        if self._texts:
            parts.append(("dimec.tokenise", course.submitted, course.queued))
        if course.queued is not None:
            parts.append(("dimec.queue", course.queued, course.begun))
        if course.begun is not None:
            parts.append(("dimec.run", course.begun, course.over))
        rows: dict[str, Value | None] = {
            "dimec.rows": exchange.rows,
            "dimec.batch_rows": exchange.batch_rows,
        }
        for name, start, stop in parts:
            told = rows if name == "dimec.run" else {}
            until = course.over if stop is None else stop
            self._spans.past(name, clock.at(start), clock.at(until), span, told)

    @staticmethod
    def _told(
        exchange: HttpExchange, status: int, outcome: RequestOutcome
    ) -> dict[str, Value | None]:
        return {
            "http.response.status_code": status,
            "dimec.request_id": exchange.request_id or None,
            "dimec.outcome": outcome,
            "dimec.rows": exchange.rows,
            "dimec.batch_rows": exchange.batch_rows,
        }
