"""The tier server as an ASGI application, for uvicorn or any other server of that kind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from math import ceil
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException

from dimec.bundle.folders import TierBundle
from dimec.bundle.manifest import TierManifest
from dimec.serving.auth import BearerAuth
from dimec.serving.batching import Batcher
from dimec.serving.board import Board, Fact, Seat
from dimec.serving.cors import Cors
from dimec.serving.entries import RunLimits
from dimec.serving.exchange import (
    CLIENT_GONE,
    HttpExchange,
    HttpResponse,
    Receive,
    Scope,
    Send,
    error_response,
    outcome_of,
)
from dimec.serving.infer import STOPPING, Inference, overloaded
from dimec.serving.logs import JsonLog, error_fields
from dimec.serving.metrics import Families, Metrics, RequestOutcome
from dimec.serving.model import Pace, TierModel
from dimec.serving.pinning import Pin
from dimec.serving.routes import Endpoints, refuse
from dimec.serving.settings import LogLevel, ServerSettings
from dimec.serving.spans import RequestSpans
from dimec.serving.tokenising import Tokeniser

if TYPE_CHECKING:
    from dimec.telemetry.spans import Spans

_OPEN = ("/v2/health/live", "/v2/health/ready")
_UNAUTHORISED = error_response(
    401,
    "expected the header 'Authorization: Bearer TOKEN' with this server's token",
    headers=[(b"www-authenticate", b"Bearer")],
)


@dataclass(frozen=True)
class Place:
    """What a process has among those of a server; by default there is no other.

    Attributes:
        seat: on their board.
        families: what it counts, from one bundle to the next; None counts each bundle's anew.
        replica: its name among servers that share an address and no board; it labels what it
            counts.
        pin: its core, where each of them has one.
        spans: what makes those for OpenTelemetry; None where the settings want none, or the
            application is to make its own.
    """

    seat: Seat = field(default_factory=lambda: Board.alone().seat(0))
    families: Families | None = None
    replica: str = ""
    pin: Pin | None = None
    spans: Spans | None = None


class TierApp(Starlette):
    """One tier behind the Open Inference Protocol v2.

    Inference takes a short way of its own; everything else is routed by Starlette. Every answer
    carries ``Server``, ``X-Request-Id`` and ``Content-Digest``, and every request leaves one line
    in the log.

    Attributes:
        changed_on_disk: whether the bundle's files are no longer what is served.
        busy: requests that have no whole answer yet.
        draining: set once it stops; each answer then ends its connection.
        leaving: set where only this process stops, and others of its server go on: it answers what
            still comes to it, where else readiness and new inferences are 503 by then.
        metrics: its counters.
        inference: what answers inferences.
        log: where its lines go.
        pace: how fast its graph is here.
    """

    def __init__(
        self,
        bundle: TierBundle,
        settings: ServerSettings,
        log: JsonLog,
        place: Place | None = None,
        pace: Pace | None = None,
    ) -> None:
        place = place or Place()
        self._manifest = manifest = bundle.manifest
        self._settings = settings
        token = settings.token
        self._auth = BearerAuth(None if token is None else token.get_secret_value())
        self._cors = Cors(settings.cors_origins) if settings.cors_origins else None
        self.log = log
        self.draining = self.leaving = self.changed_on_disk = False
        self.busy = 0
        model = _model_of(bundle, settings, log, place, pace)
        self.pace = model.pace
        self._batcher = Batcher(
            model,
            workers=ceil(model.threads / place.seat.board.workers),
            limits=RunLimits(settings.max_batch, model.pace.overhead),
            queue=settings.queue,
            padding=manifest.padding,
            observe=lambda rows, seconds: self.metrics.observe_run(rows, seconds),
            seat=place.seat,
            begin=None if place.pin is None else place.pin.stay,
        )
        self.metrics = Metrics(
            manifest,
            lambda: self._batcher.elsewhere_waiting + self._batcher.waiting,
            lambda: self._batcher.elsewhere_running + self._batcher.running,
            place.seat,
            place.families,
            place.replica,
        )
        self._tokeniser = (
            Tokeniser(bundle, self._batcher, model.threads) if manifest.takes == "text" else None
        )
        self.inference = Inference(manifest, self._batcher, settings, self._tokeniser)
        self._own_spans = None if place.spans is not None else spans_of(manifest, settings)
        spans = place.spans or self._own_spans
        self._spans = None if spans is None else RequestSpans(spans, manifest)
        self.inference.keep_course = spans is not None
        root = f"/v2/models/{manifest.tier}"
        self._infer_paths = {f"{root}/infer", f"{root}/versions/{manifest.version}/infer"}
        self._infer_urls = {path.encode("ascii") for path in self._infer_paths}
        super().__init__(
            routes=Endpoints(
                manifest,
                settings,
                self.metrics,
                ready=lambda: not self._refuses,
                changed=lambda: self.changed_on_disk or bool(place.seat.board.fact(Fact.CHANGED)),
            ).routes(),
            exception_handlers={HTTPException: refuse, Exception: refuse},
            lifespan=_closing,
        )
        self.router.redirect_slashes = False

    def close(self) -> None:
        """Answer 503 to whatever waits or is still being read, and stop the threads."""
        self.inference.stop()
        self._batcher.close()
        if self._tokeniser is not None:
            self._tokeniser.close()

    def close_spans(self) -> None:
        """Send the spans that wait, where the application makes its own; may take seconds."""
        if self._own_spans is not None:
            self._own_spans.close()

    def record_refusal(self, status: int) -> None:
        """Count and log a connection that was refused before there was a request."""
        outcome = outcome_of(status)
        self.metrics.count_request(outcome, status)
        self.log("info", "connection refused", status=status, outcome=outcome)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await super().__call__(scope, receive, send)
            return
        if self._cors is not None:
            send = self._cors.sender(scope, send)
        exchange = HttpExchange(scope, send)
        status: int = CLIENT_GONE
        outcome: RequestOutcome = "cancelled"
        self.busy += 1
        try:
            status, outcome = await self._serve(exchange, scope, receive, send)
        finally:
            self.busy -= 1
            self.record(exchange, status, outcome)

    async def _serve(
        self, exchange: HttpExchange, scope: Scope, receive: Receive, send: Send
    ) -> tuple[int, RequestOutcome]:
        """Answer a request; returns what is logged and counted of it."""
        path = exchange.path
        preflight = None if self._cors is None else self._cors.preflight(scope)
        if preflight is not None:
            response = preflight
        elif path not in _OPEN and not self._auth.allows(exchange.headers.get(b"authorization")):
            response = _UNAUTHORISED
        elif self._is_inference(exchange):
            response = await self._inference(exchange, receive)
        else:
            return await self._routed(exchange, scope, receive, send)
        if response.outcome != "cancelled":
            exchange.closing |= self.draining
            await exchange.respond(response)
        return response.status, response.outcome

    def _is_inference(self, exchange: HttpExchange) -> bool:
        return exchange.path in self._infer_paths and exchange.method == "POST"

    async def _inference(self, exchange: HttpExchange, receive: Receive) -> HttpResponse:
        if self._refuses:
            response = overloaded(STOPPING, 1)
        else:
            response = await self.inference(exchange, receive)
        self.measure(exchange, response)
        return response

    @property
    def _refuses(self) -> bool:
        return self.draining and not self.leaving

    def takes_directly(self, method: bytes, url: bytes) -> bool:
        """Whether a request may go the short way of :mod:`dimec.serving.direct`."""
        return self._cors is None and url in self._infer_urls and method == b"POST"

    def refusal(self, exchange: HttpExchange) -> HttpResponse | None:
        """The answer to an inference that comes in vain; None to one that does not."""
        if not self._auth.allows(exchange.headers.get(b"authorization")):
            return _UNAUTHORISED
        return overloaded(STOPPING, 1) if self._refuses else None

    def measure(self, exchange: HttpExchange, response: HttpResponse) -> None:
        """Count what an inference took."""
        if response is _UNAUTHORISED:
            return
        self.metrics.observe_inference(response.outcome, exchange.seconds())
        if exchange.queue_seconds is not None:
            self.metrics.observe_queue(exchange.queue_seconds)
        if exchange.tokenise_seconds is not None:
            self.metrics.observe_tokenising(exchange.tokenise_seconds)

    async def _routed(
        self, exchange: HttpExchange, scope: Scope, receive: Receive, send: Send
    ) -> tuple[int, RequestOutcome]:
        status = 500

        async def send_with_headers(message: Any) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                exchange.closing |= self.draining
                message["headers"] = [*exchange.common_headers(), *message["headers"]]
            await send(message)

        try:
            await super().__call__(scope, receive, send_with_headers)
        except Exception as error:  # Starlette has answered 500 by now
            exchange.error = error_fields(error)
        return status, outcome_of(status)

    def record(self, exchange: HttpExchange, status: int, outcome: RequestOutcome) -> None:
        """Count and log a request that has been answered, or given up."""
        self.metrics.count_request(outcome, status)
        if self._spans is not None and self._is_inference(exchange):
            self._spans.record(exchange, status, outcome)
        level: LogLevel = "error" if outcome == "error" else "info"
        if not self.log.enabled(level):
            return
        queue, tokenising = exchange.queue_seconds, exchange.tokenise_seconds
        self.log(
            level,
            "request",
            request_id=exchange.request_id,
            trace_id=exchange.trace,
            method=exchange.method,
            path=exchange.path[:200],
            status=status,
            outcome=outcome,
            ms=round(1000 * exchange.seconds(), 3),
            queue_ms=None if queue is None else round(1000 * queue, 3),
            **({} if tokenising is None else {"tokenise_ms": round(1000 * tokenising, 3)}),
            rows=exchange.rows,
            batch_rows=exchange.batch_rows,
            **exchange.error,
        )


def _model_of(
    bundle: TierBundle, settings: ServerSettings, log: JsonLog, place: Place, pace: Pace | None
) -> TierModel:
    """The tier's graph, whose threads go where they like; measured where nobody has yet."""
    with nullcontext() if place.pin is None else place.pin.free():
        model = TierModel(bundle, settings.threads, pace)
    if pace is None:
        log("info", "graph measured", **model.pace.to_json())
    return model


def spans_of(manifest: TierManifest, settings: ServerSettings) -> Spans | None:
    """What makes the spans of a process that serves a tier; None where the settings want none.

    Raises:
        ConfigError: the environment asks for what there is not.
        MissingExtraError: a package of ``dimec[otel]`` is not installed.
    """
    if not settings.otel:
        return None
    from dimec.telemetry.spans import Spans

    return Spans.open(f"dimec-{manifest.tier}")


@asynccontextmanager
async def _closing(app: TierApp) -> AsyncIterator[None]:
    yield
    app.close()
    await asyncio.to_thread(app.close_spans)


def create_app(
    bundle: TierBundle,
    settings: ServerSettings,
    log: JsonLog | None = None,
    place: Place | None = None,
    pace: Pace | None = None,
) -> TierApp:
    """The application of one tier, with its graph loaded.

    Args:
        bundle: of any tier but the first.
        settings: limits and the token; address and TLS are the server's matter.
        log: where its lines go; standard error by default.
        place: among the processes of a server; by default there is no other.
        pace: of the graph, where another process has measured it.

    Raises:
        ConfigError: the first tier's bundle, or a token that no header can carry.
        ArtefactError: the graph, or a tokenizer of the tier's own, cannot be used.
    """
    return TierApp(bundle, settings, log or JsonLog(settings.log_level), place, pace)
