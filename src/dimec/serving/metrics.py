"""What a server counts, for Prometheus."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)

from dimec.__about__ import __version__
from dimec.bundle.manifest import TierManifest

RequestOutcome = Literal[
    "ok", "invalid", "unauthorised", "not_found", "overloaded", "deadline", "cancelled", "error"
]
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_ROWS = (1, 2, 4, 8, 16, 32, 64, 128)


@dataclass
class Totals:
    """Counts and seconds since the start, for the protocol's own statistics."""

    answered: int = 0
    failed: int = 0
    rows: int = 0
    runs: int = 0
    answered_seconds: float = 0.0
    failed_seconds: float = 0.0
    queue_seconds: float = 0.0
    tokenised: int = 0
    tokenise_seconds: float = 0.0
    run_seconds: float = 0.0
    last: float = 0.0  # Unix time of the last run


class Metrics:
    """The counters of one server, in a registry of its own.

    Attributes:
        totals: for the protocol's own statistics.
        connections: a gauge of the open connections.

    Args:
        manifest: of the tier, for the build's information.
        waiting: rows in the queue, asked for at every scrape.
        running: runs of the graph that go on, asked for at every scrape.
    """

    def __init__(
        self,
        manifest: TierManifest,
        waiting: Callable[[], float],
        running: Callable[[], float],
    ) -> None:
        self.totals = Totals()
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "dimec_requests",
            "Requests by outcome and HTTP status; 499: the client had gone.",
            ("outcome", "status"),
            registry=self._registry,
        )
        self._latency = Histogram(
            "dimec_infer_seconds",
            "From a request's headers to its answer, by outcome; inference only.",
            ("outcome",),
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._queued = Histogram(
            "dimec_queue_seconds",
            "How long a request waited for its first run.",
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._tokenised: Histogram | None = None
        if manifest.takes == "text":
            self._tokenised = Histogram(
                "dimec_tokenise_seconds",
                "From a request's checks to its tokens, with the wait for a thread.",
                buckets=_SECONDS,
                registry=self._registry,
            )
        self._rows = Histogram(
            "dimec_batch_rows", "Rows of a run.", buckets=_ROWS, registry=self._registry
        )
        self._run = Histogram(
            "dimec_run_seconds", "A run of the graph.", buckets=_SECONDS, registry=self._registry
        )
        Gauge("dimec_queue_rows", "Rows that wait.", registry=self._registry).set_function(waiting)
        Gauge("dimec_runs_active", "Runs that go on.", registry=self._registry).set_function(
            running
        )
        self.connections = Gauge("dimec_connections", "Open connections.", registry=self._registry)
        Info("dimec_build", "What is served.", registry=self._registry).info(
            {
                "version": __version__,
                "tier": manifest.tier,
                "model_version": manifest.version,
                "precision": manifest.precision,
            }
        )
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)
        # What labels() returns, since it looks it up by locks and joins.
        self._status: dict[tuple[RequestOutcome, int], Counter] = {}
        self._outcomes: dict[RequestOutcome, Histogram] = {}

    def count_request(self, outcome: RequestOutcome, status: int) -> None:
        """One more request has been answered, or given up."""
        key = (outcome, status)
        if key not in self._status:
            self._status[key] = self._requests.labels(outcome, str(status))
        self._status[key].inc()

    def observe_inference(self, outcome: RequestOutcome, seconds: float) -> None:
        """An inference took so long, whatever came of it."""
        if outcome not in self._outcomes:
            self._outcomes[outcome] = self._latency.labels(outcome)
        self._outcomes[outcome].observe(seconds)
        if outcome == "ok":
            self.totals.answered += 1
            self.totals.answered_seconds += seconds
        else:
            self.totals.failed += 1
            self.totals.failed_seconds += seconds

    def observe_queue(self, seconds: float) -> None:
        """A request waited so long for its first run."""
        self._queued.observe(seconds)
        self.totals.queue_seconds += seconds

    def observe_tokenising(self, seconds: float) -> None:
        """A request's texts were tokens after so long; of a tier that takes texts only."""
        assert self._tokenised is not None
        self._tokenised.observe(seconds)
        self.totals.tokenised += 1
        self.totals.tokenise_seconds += seconds

    def observe_run(self, rows: int, seconds: float) -> None:
        """The graph ran so many rows in so many seconds."""
        self._rows.observe(rows)
        self._run.observe(seconds)
        self.totals.rows += rows
        self.totals.runs += 1
        self.totals.run_seconds += seconds
        self.totals.last = time.time()

    def render(self) -> bytes:
        """Everything in Prometheus's text format."""
        return generate_latest(self._registry)
