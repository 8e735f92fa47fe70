"""A collector of OpenTelemetry's: takes spans over OTLP/HTTP, and has them to look at."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span as Sent
from opentelemetry.proto.trace.v1.trace_pb2 import Status

_SECONDS = 60.0


@dataclass(frozen=True)
class Collected:
    """A span as it arrived.

    Attributes:
        service, pid: of whoever made it.
        trace, id, parent: in hex; the parent's is "" where there is none.
        kind: such as ``SPAN_KIND_CLIENT``.
        links: (trace, id) of other spans.
        error: description of its error; None where it has none.
    """

    service: str
    pid: int
    name: str
    trace: str
    id: str
    parent: str
    kind: str
    start: int
    end: int
    attributes: dict[str, Any]
    links: tuple[tuple[str, str], ...]
    error: str | None

    def __getitem__(self, attribute: str) -> Any:
        return self.attributes[attribute]


class Trace:
    """The spans of one trace."""

    def __init__(self, spans: list[Collected]) -> None:
        self.spans = spans
        assert len({span.trace for span in spans}) == 1
        assert len({span.id for span in spans}) == len(spans)

    @property
    def root(self) -> Collected:
        (root,) = (span for span in self.spans if span.name == "dimec.predict")
        return root

    def named(self, name: str) -> list[Collected]:
        """In the order in which they began."""
        found = [span for span in self.spans if span.name == name]
        return sorted(found, key=lambda span: span.start)

    def below(self, parent: Collected) -> list[Collected]:
        """The children of a span, in the order in which they began."""
        found = [span for span in self.spans if span.parent == parent.id]
        return sorted(found, key=lambda span: span.start)


class Collector:
    """Listens on a port of its own; ends with the block.

    Attributes:
        spans: all that came.
        bodies: what came, as it was sent, unpacked.
    """

    def __init__(self) -> None:
        self.spans: list[Collected] = []
        self.bodies: list[bytes] = []
        self._came = threading.Condition()
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                assert self.path == "/v1/traces"
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                collector._take(body)
                answer = ExportTraceServiceResponse().SerializeToString()
                self.send_response(200)
                self.send_header("Content-Type", "application/x-protobuf")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *words: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    @property
    def environment(self) -> dict[str, str]:
        """What sends spans here, without much delay."""
        return {"OTEL_EXPORTER_OTLP_ENDPOINT": self.url, "OTEL_BSP_SCHEDULE_DELAY": "20"}

    def wait(self, enough: Callable[[list[Collected]], bool]) -> list[Collected]:
        """All spans, once there are enough of them."""
        with self._came:
            found = self._came.wait_for(lambda: enough(self.spans), _SECONDS)
            assert found, [(span.service, span.name, span.parent) for span in self.spans]
            return list(self.spans)

    def trace(self, id_: str, spans: int) -> Trace:
        """That of the prediction of an id, once so many spans of it are there."""

        def of(all_: list[Collected]) -> list[Collected]:
            traces = {s.trace for s in all_ if s.attributes.get("dimec.id") == id_}
            return [span for span in all_ if span.trace in traces]

        return Trace(of(self.wait(lambda all_: len(of(all_)) >= spans)))

    def _take(self, body: bytes) -> None:
        request = ExportTraceServiceRequest.FromString(body)
        with self._came:
            self.bodies.append(body)
            for resource in request.resource_spans:
                maker = _dict(resource.resource.attributes)
                for scope in resource.scope_spans:
                    assert scope.scope.name == "dimec"
                    self.spans += [_collected(span, maker) for span in scope.spans]
            self._came.notify_all()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _collected(span: Sent, maker: dict[str, Any]) -> Collected:
    failed = span.status.code == Status.STATUS_CODE_ERROR
    return Collected(
        service=maker["service.name"],
        pid=maker["process.pid"],
        name=span.name,
        trace=span.trace_id.hex(),
        id=span.span_id.hex(),
        parent=span.parent_span_id.hex(),
        kind=Sent.SpanKind.Name(span.kind),
        start=span.start_time_unix_nano,
        end=span.end_time_unix_nano,
        attributes=_dict(span.attributes),
        links=tuple((link.trace_id.hex(), link.span_id.hex()) for link in span.links),
        error=span.status.message if failed else None,
    )


def _dict(pairs: Any) -> dict[str, Any]:
    all_: list[KeyValue] = list(pairs)
    return {pair.key: _value(pair.value) for pair in all_}


def _value(value: AnyValue) -> Any:
    which = value.WhichOneof("value")
    assert which is not None
    if which == "array_value":
        return [_value(one) for one in value.array_value.values]
    return getattr(value, which)
