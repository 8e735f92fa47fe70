"""Spans with the moments that were measured anyway: most are made after the fact.

A span made while something goes on would need a context that follows it through threads, tasks and
queues. Here whoever knows the moments says so once they are over, and only what is sent to another
process, whose spans are to be its children, is begun before it ends.

Moments are nanoseconds since 1970, as OTLP has them: see :class:`Clock`.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Literal, Self

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Link, Span, SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from dimec.__about__ import __version__
from dimec.base.errors import ConfigError, quoted

Value = str | bool | int | float | Sequence[str]
Kind = Literal["internal", "client", "server"]

_PROTOCOL = "http/protobuf"
_CLOSE_SECONDS = 2.0  # a collector that is not there holds nobody up for longer
_KINDS = {kind: SpanKind[kind.upper()] for kind in ("internal", "client", "server")}
_CONTEXT = TraceContextTextMapPropagator()
_NOTHING: Mapping[str, Value | None] = {}


class Clock:
    """Turns the seconds of a clock that only goes forward into moments.

    One for all spans of a process in a trace: however the system's time is set meanwhile, none of
    them begins before its parent.

    Args:
        now: the clock, such as ``time.perf_counter``.

    Example:
        >>> clock = Clock(time.perf_counter)
        >>> clock.at(2.5) - clock.at(1.0)
        1500000000
    """

    __slots__ = ("_behind", "_now")

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._behind = time.time_ns() - int(now() * 1e9)

    def at(self, seconds: float) -> int:
        """The moment of a reading of the clock."""
        return self._behind + int(seconds * 1e9)

    def now(self) -> int:
        """This moment."""
        return self.at(self._now())


class Spans:
    """Makes the spans of one service, and sends them to a collector.

    Args:
        provider: makes tracers.
        exporter: to be closed with the provider; None leaves both to whoever made them.
    """

    def __init__(
        self, provider: trace.TracerProvider, exporter: OTLPSpanExporter | None = None
    ) -> None:
        self._provider = provider
        self._exporter = exporter
        self._tracer = provider.get_tracer("dimec", __version__)

    @classmethod
    def open(cls, service: str, provider: object = True) -> Self:
        """Spans of a service.

        The standard variables of the environment say where they are sent, which, and whose:
        ``OTEL_EXPORTER_OTLP_ENDPOINT`` and its like, ``OTEL_TRACES_SAMPLER``,
        ``OTEL_SERVICE_NAME``, ``OTEL_RESOURCE_ATTRIBUTES``, ``OTEL_BSP_SCHEDULE_DELAY``,
        ``OTEL_SDK_DISABLED``.

        Args:
            service: its name, unless the environment gives another.
            provider: True for one of its own, by the environment; or the program's, which stays
                the program's: it is not closed.

        Raises:
            ConfigError: no provider, or the environment asks for an exporter that there is not.
        """
        if provider is True:
            check_environment(os.environ)
            exporter = OTLPSpanExporter()
            made = TracerProvider(resource=resource_of(service), shutdown_on_exit=False)
            if os.environ.get("OTEL_TRACES_EXPORTER", "otlp") != "none":
                made.add_span_processor(BatchSpanProcessor(exporter))
            return cls(made, exporter)
        if not isinstance(provider, trace.TracerProvider):
            raise ConfigError(
                f"otel: expected True or a TracerProvider of OpenTelemetry, got {quoted(provider)}"
            )
        return cls(provider)

    def start(
        self,
        name: str,
        start: int,
        *,
        kind: Kind = "internal",
        parent: Span | Mapping[str, str] | None = None,
        links: Sequence[Span] = (),
        attributes: Mapping[str, Value | None] = _NOTHING,
    ) -> Span:
        """Begin a span, to be ended by :func:`end`.

        Args:
            name: one of few.
            start: when it began.
            kind: as of OpenTelemetry: who asks is a client, who is asked a server.
            parent: a span of this process; headers of a request, in lower case, with
                ``traceparent`` and ``tracestate`` where it has them; None for the program's own
                span that is open now, if there is one.
            links: spans that it has to do with and is no part of.
            attributes: those that are None are left out.
        """
        context: Context | None = None
        if isinstance(parent, Span):
            context = trace.set_span_in_context(parent)
        elif parent is not None:
            context = _CONTEXT.extract(parent, context=Context())
        return self._tracer.start_span(
            name,
            context=context,
            kind=_KINDS[kind],
            attributes=_told(attributes),
            links=[Link(span.get_span_context()) for span in links],
            start_time=start,
        )

    def past(
        self,
        name: str,
        start: int,
        end: int,
        parent: Span,
        attributes: Mapping[str, Value | None] = _NOTHING,
    ) -> None:
        """A span inside of another that is over already."""
        self.start(name, start, parent=parent, attributes=attributes).end(end)

    def close(self) -> None:
        """Send what waits, for some seconds at most; the program's own provider goes on."""
        if self._exporter is None or not isinstance(self._provider, TracerProvider):
            return
        # The provider's own limit is half a minute, which it waits for a collector that is away.
        closing = threading.Thread(target=self._provider.shutdown, name="spans", daemon=True)
        closing.start()
        closing.join(_CLOSE_SECONDS)
        if closing.is_alive():
            self._exporter.shutdown()  # type: ignore[no-untyped-call]  # ends its pauses between attempts
            closing.join(0.5)


def end(
    span: Span, when: int, attributes: Mapping[str, Value | None] = _NOTHING, error: str = ""
) -> None:
    """End a span.

    Args:
        span: that was started.
        when: it ended.
        attributes: known by now; those that are None are left out.
        error: what went wrong, in one of few words; "" where nothing did.
    """
    span.set_attributes(_told(attributes))
    if error:
        span.set_attribute("error.type", error)
        span.set_status(Status(StatusCode.ERROR, error))
    span.end(when)


def traceparent_of(span: Span) -> str:
    """The W3C trace context that makes another process's span a child of this one.

    "" where there is none: OpenTelemetry is switched off.
    """
    context = span.get_span_context()
    if not context.is_valid:
        return ""
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"


def resource_of(service: str) -> Resource:
    """What all spans of this process have in common; the environment has the last word."""
    own: dict[str, str | int] = {"service.name": service, "process.pid": os.getpid()}
    own["service.version"] = __version__
    return Resource.create(own).merge(OTELResourceDetector().detect())


def check_environment(variables: Mapping[str, str]) -> None:
    """Refuse what the environment asks for in vain.

    Raises:
        ConfigError: says which variable, and what it may be.
    """
    if (exporter := variables.get("OTEL_TRACES_EXPORTER") or "otlp") not in ("otlp", "none"):
        raise ConfigError(
            f"OTEL_TRACES_EXPORTER: expected otlp or none, got {quoted(exporter)}; a collector "
            "passes spans on in any other form"
        )
    general = variables.get("OTEL_EXPORTER_OTLP_PROTOCOL") or _PROTOCOL
    protocol = variables.get("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL") or general
    if protocol != _PROTOCOL:
        raise ConfigError(
            f"OTEL_EXPORTER_OTLP_PROTOCOL: expected {_PROTOCOL}, got {quoted(protocol)}; a "
            "collector takes it at its port 4318"
        )


def _told(attributes: Mapping[str, Value | None]) -> dict[str, Value]:
    return {name: value for name, value in attributes.items() if value is not None}
