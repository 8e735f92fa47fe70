"""Routing a stream of embeddings by the nearest centre: all at once, and one at a time."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.harness import in_fresh_process, seconds
from benchmarks.results import BYTES, Figure, Result
from dimec.routing import CentroidRouter

GOAL = 2.0
_FITTED_ON = 5000  # rows
_SINGLE_CALLS = 5000


@dataclass(frozen=True)
class Sizes:
    """``samples``: embeddings in the stream; ``width``: of one; ``repeats``: of each stream."""

    samples: int = 100_000
    width: int = 768
    repeats: int = 5


def run(sizes: Sizes, seed: int) -> Result:
    """Route the same stream with an adaptive and a fixed router in turn."""
    measured = in_fresh_process(measure, **asdict(sizes), seed=seed)
    runs: dict[str, Any] = measured.value
    single = runs.pop("route_one")
    figures = (
        Figure.of("adaptive, whole stream", runs["adaptive"], goal=GOAL),
        Figure.of("fixed, whole stream", runs["fixed"]),
        Figure("route_one, median", single["p50"], "s", single["low"], single["high"]),
        Figure("route_one, 99th percentile", single["p99"], "s", single["low"], single["high"]),
        Figure.of("peak memory of the process", [measured.peak_rss], BYTES),
    )
    notes = (
        "float32 embeddings, as a trace holds them; the lowest and the highest of route_one are "
        f"of {single['calls']} single calls",
    )
    return Result(figures, notes, {"seconds": runs, "route_one": single})


def measure(samples: int, width: int, repeats: int, seed: int) -> dict[str, Any]:
    """Seconds of each stream, and of single calls."""
    embeddings, pools = stream(samples, width, seed)
    some = slice(0, min(samples, _FITTED_ON))
    fixed = CentroidRouter().fit(embeddings[some], pools[some])
    times: dict[str, Any] = {"adaptive": [], "fixed": []}
    for _ in range(repeats):
        for name in ("adaptive", "fixed"):
            # An adaptive router learns: each stream begins with the fitted state.
            router = fixed.copy(adaptive=name == "adaptive")
            times[name].append(seconds(lambda router=router: router.route(embeddings)))  # type: ignore[misc]
    times["route_one"] = _single_calls(fixed, embeddings[:_SINGLE_CALLS])
    return times


def stream(
    samples: int, width: int, seed: int
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """Embeddings (N, D) in three overlapping clouds, and the cloud of each (N,)."""
    rng = np.random.default_rng(seed)
    pools = rng.choice(3, samples, p=(0.6, 0.2, 0.2)).astype(np.int64)
    pools[: min(samples, 3)] = range(min(samples, 3))  # none of them empty
    centres = rng.normal(0, 0.1, (3, width)).astype(np.float32)
    embeddings = rng.standard_normal((samples, width), dtype=np.float32)
    embeddings += centres[pools]
    return embeddings, pools


def _single_calls(router: CentroidRouter, rows: npt.NDArray[np.float32]) -> dict[str, float]:
    nanoseconds = []
    for row in rows:
        start = time.perf_counter_ns()
        router.route_one(row)
        nanoseconds.append(time.perf_counter_ns() - start)
    taken = np.array(nanoseconds) * 1e-9
    p50, p99 = np.quantile(taken, (0.5, 0.99)).tolist()
    low, high = float(taken.min()), float(taken.max())
    return {"calls": len(taken), "p50": p50, "p99": p99, "low": low, "high": high}
