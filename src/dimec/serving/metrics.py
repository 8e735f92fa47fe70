"""What a server counts, for Prometheus and for the protocol's own statistics."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from dimec.__about__ import __version__
from dimec.bundle.manifest import TierManifest
from dimec.serving.board import SHARED_FOLDER, Board, Cell, Fact, Seat

RequestOutcome = Literal[
    "ok", "invalid", "unauthorised", "not_found", "overloaded", "deadline", "cancelled", "error"
]
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_ROWS = (1, 2, 4, 8, 16, 32, 64, 128)
# What is not added up over processes.
_SMALLEST = ("process_start_time_seconds", "process_max_fds")


@dataclass
class Totals:
    """Counts and seconds since the start, for the protocol's own statistics."""

    answered: float
    failed: float
    rows: float
    runs: float
    answered_seconds: float
    failed_seconds: float
    queue_seconds: float
    tokenised: float
    tokenise_seconds: float
    run_seconds: float
    last: float  # Unix time of the last run


class Families:
    """The counters and histograms of one process, which outlive the bundle that it serves."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self.requests = Counter(
            "dimec_requests",
            "Requests by outcome and HTTP status; 499: the client had gone.",
            ("outcome", "status"),
            registry=registry,
        )
        self.latency = Histogram(
            "dimec_infer_seconds",
            "From a request's headers to its answer, by outcome; inference only.",
            ("outcome",),
            buckets=_SECONDS,
            registry=registry,
        )
        self.queued = self._seconds(
            "dimec_queue_seconds", "How long a request waited for its first run."
        )
        self.rows = Histogram(
            "dimec_batch_rows", "Rows of a run.", buckets=_ROWS, registry=registry
        )
        self.run = self._seconds("dimec_run_seconds", "A run of the graph.")

    @cached_property
    def tokenised(self) -> Histogram:
        """Of a tier that takes texts only."""
        return self._seconds(
            "dimec_tokenise_seconds",
            "From a request's checks to its tokens, with the wait for a thread.",
        )

    def _seconds(self, name: str, text: str) -> Histogram:
        return Histogram(name, text, buckets=_SECONDS, registry=self.registry)


class Metrics:
    """What one server counts, whether it is one process or several.

    Attributes:
        connections: says how many are open.

    Args:
        manifest: of the tier, for the build's information.
        waiting: rows in the queue, asked for at every scrape.
        running: runs of the graph that go on, asked for at every scrape.
        seat: of this process on the server's board; one of its own by default.
        families: those of this process, where it has some already.
        replica: a label of everything, where several servers share an address; "" for none.
    """

    def __init__(
        self,
        manifest: TierManifest,
        waiting: Callable[[], float],
        running: Callable[[], float],
        seat: Seat | None = None,
        families: Families | None = None,
        replica: str = "",
    ) -> None:
        self._replica = replica
        self._seat = seat or Board.alone().seat(0)
        self._families = families or Families()
        if manifest.takes == "text":
            _ = self._families.tokenised  # told from the start on
        self.connections: Callable[[], float] = lambda: 0.0
        self._now = CollectorRegistry()
        self._now.register(_Now(manifest, self._seat.board, waiting, running, self._connected))
        self._now.register(_Processes(self._seat.board.pids))
        PlatformCollector(registry=self._now)
        # What labels() returns, since it looks it up by locks and joins.
        self._status: dict[tuple[RequestOutcome, int], Counter] = {}
        self._outcomes: dict[RequestOutcome, Histogram] = {}

    def _connected(self) -> float:
        return self.connections()

    @property
    def totals(self) -> Totals:
        """Of all processes of the server together."""
        board = self._seat.board
        return Totals(
            last=board.latest(Cell.LAST),
            **{
                name: board.whole(Cell[name.upper()])
                for name in Totals.__dataclass_fields__
                if name != "last"
            },
        )

    def count_request(self, outcome: RequestOutcome, status: int) -> None:
        """One more request has been answered, or given up."""
        key = (outcome, status)
        if key not in self._status:
            self._status[key] = self._families.requests.labels(outcome, str(status))
        self._status[key].inc()

    def observe_inference(self, outcome: RequestOutcome, seconds: float) -> None:
        """An inference took so long, whatever came of it."""
        if outcome not in self._outcomes:
            self._outcomes[outcome] = self._families.latency.labels(outcome)
        self._outcomes[outcome].observe(seconds)
        if outcome == "ok":
            self._seat.add(Cell.ANSWERED, 1)
            self._seat.add(Cell.ANSWERED_SECONDS, seconds)
        else:
            self._seat.add(Cell.FAILED, 1)
            self._seat.add(Cell.FAILED_SECONDS, seconds)

    def observe_queue(self, seconds: float) -> None:
        """A request waited so long for its first run."""
        self._families.queued.observe(seconds)
        self._seat.add(Cell.QUEUE_SECONDS, seconds)

    def observe_tokenising(self, seconds: float) -> None:
        """A request's texts were tokens after so long; of a tier that takes texts only."""
        self._families.tokenised.observe(seconds)
        self._seat.add(Cell.TOKENISED, 1)
        self._seat.add(Cell.TOKENISE_SECONDS, seconds)

    def observe_run(self, rows: int, seconds: float) -> None:
        """The graph ran so many rows in so many seconds."""
        self._families.rows.observe(rows)
        self._families.run.observe(seconds)
        self._seat.add(Cell.ROWS, rows)
        self._seat.add(Cell.RUNS, 1)
        self._seat.add(Cell.RUN_SECONDS, seconds)
        self._seat.put(Cell.LAST, time.time())

    def render(self) -> bytes:
        """Everything, of all processes together, in Prometheus's text format."""
        counted = self._families.registry
        if folder := os.environ.get(SHARED_FOLDER):
            counted = CollectorRegistry()
            MultiProcessCollector(counted, folder)  # type: ignore[no-untyped-call]
        both: list[Collector] = [counted, self._now]
        if self._replica:
            both = [_Labelled(one, {"replica": self._replica}) for one in both]
        return b"".join(generate_latest(one) for one in both)


class _Labelled(Collector):
    """What another one collects, with further labels."""

    def __init__(self, inner: Collector, labels: dict[str, str]) -> None:
        self._inner, self._labels = inner, labels

    def collect(self) -> Iterator[Metric]:
        for family in self._inner.collect():
            family.samples = [
                sample._replace(labels={**sample.labels, **self._labels})
                for sample in family.samples
            ]
            yield family


class _Now(Collector):
    """What is so at the moment of a scrape."""

    def __init__(
        self,
        manifest: TierManifest,
        board: Board,
        waiting: Callable[[], float],
        running: Callable[[], float],
        connections: Callable[[], float],
    ) -> None:
        self._build = {
            "version": __version__,
            "tier": manifest.tier,
            "model_version": manifest.version,
            "precision": manifest.precision,
        }
        self._board = board
        self._gauges = (
            ("dimec_queue_rows", "Rows that wait.", waiting),
            ("dimec_runs_active", "Runs that go on.", running),
            ("dimec_connections", "Open connections.", connections),
        )

    def collect(self) -> Iterator[Metric]:
        for name, text, value in self._gauges:
            yield GaugeMetricFamily(name, text, value())
        yield InfoMetricFamily("dimec_build", "What is served.", self._build)
        if self._board.pids():
            ready = self._board.whole(Cell.READY)
            yield GaugeMetricFamily("dimec_workers", "Processes that answer.", ready)
            yield CounterMetricFamily(
                "dimec_worker_restarts",
                "Processes that took the place of one that had ended.",
                self._board.fact(Fact.RESTARTS),
            )


class _Processes(Collector):
    """The usual figures of a process, added up over those of the server.

    Memory that several have in common, such as mapped weights, counts for each.
    """

    def __init__(self, pids: Callable[[], list[int]]) -> None:
        self._pids = pids

    def collect(self) -> Iterator[Metric]:
        found: dict[str, Metric] = {}
        for pid in self._pids() or [os.getpid()]:
            for family in ProcessCollector(pid=lambda pid=pid: pid, registry=None).collect():  # type: ignore[misc]
                if family.name not in found:
                    found[family.name] = family
                    continue
                samples = found[family.name].samples
                pick = min if family.name in _SMALLEST else lambda pair: sum(pair)
                for n, sample in enumerate(family.samples):
                    samples[n] = samples[n]._replace(value=pick((samples[n].value, sample.value)))
        yield from found.values()
