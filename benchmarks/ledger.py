"""All standard rows of the ledger with bootstrap intervals, against resampling row by row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.harness import in_fresh_process, say, seconds
from benchmarks.results import BYTES, RATIO, Figure, Result
from benchmarks.routing import stream
from dimec.base.arrays import FloatArray
from dimec.evaluation.bootstrap import bootstrap_means
from dimec.evaluation.evaluate import evaluate
from dimec.evaluation.ledger import LedgerRow
from dimec.evaluation.replay import replay_all, standard_policies
from dimec.policies import Policy
from dimec.routing import CentroidRouter
from dimec.tiers.deployment import Deployment
from dimec.traces.trace import Trace

TIME_GOAL, MEMORY_GOAL = 20.0, 2 * 2**30
EXITS = (4, 6, 12)
_FITTED_ON = 5000  # rows


@dataclass(frozen=True)
class Sizes:
    """Of the trace and the bootstrap.

    ``slow_draws`` is the number of draws that are made row by row.
    """

    samples: int = 100_000
    width: int = 768
    draws: int = 1000
    slow_draws: int = 25
    repeats: int = 3


def run(sizes: Sizes, seed: int) -> Result:
    """Each repeat in a process of its own, for its peak memory; the bootstraps in another one."""
    trace = {"samples": sizes.samples, "width": sizes.width, "seed": seed}
    whole = []
    for repeat in range(sizes.repeats):
        whole.append(in_fresh_process(measure_ledger, **trace, draws=sizes.draws))
        say(f"ledger: {repeat + 1} of {sizes.repeats}, {whole[-1].value['seconds']:.2f} s")
    counts = {"draws": sizes.draws, "slow_draws": sizes.slow_draws, "repeats": sizes.repeats}
    runs: dict[str, Any] = in_fresh_process(measure_bootstraps, **trace, **counts).value
    slow = [value * sizes.draws / sizes.slow_draws for value in runs["row by row"]]
    pairs = zip(slow, runs["by different rows"], strict=True)
    times = [measured.value["seconds"] for measured in whole]
    peaks = [measured.peak_rss for measured in whole]
    rows = whole[0].value["rows"]
    figures = (
        Figure.of(f"evaluate, {rows} rows", times, goal=TIME_GOAL),
        Figure.of("peak memory of the process", peaks, BYTES, MEMORY_GOAL),
        Figure.of("bootstrap alone", runs["by different rows"]),
        Figure.of("bootstrap row by row", slow),
        Figure.of("row by row / bootstrap", [a / b for a, b in pairs], RATIO),
    )
    notes = (
        f"row by row was timed at {sizes.slow_draws} draws and scaled to {sizes.draws}",
        "the peak includes the trace itself, embeddings of float32",
    )
    return Result(figures, notes, {"evaluate": times, "peak": peaks, "bootstrap": runs})


def measure_ledger(samples: int, width: int, seed: int, draws: int) -> dict[str, Any]:
    """Seconds of one evaluation of all standard policies, and its number of rows."""
    trace, policies = _scene(samples, width, seed)
    deployment = Deployment.paper(EXITS)
    rows: list[LedgerRow] = []
    taken = seconds(lambda: rows.extend(evaluate(trace, policies, deployment, draws=draws).rows))
    return {"seconds": taken, "rows": len(rows)}


def measure_bootstraps(
    samples: int, width: int, seed: int, draws: int, slow_draws: int, repeats: int
) -> dict[str, list[float]]:
    """Seconds of dimec's bootstrap with ``draws`` and of the plain one with ``slow_draws``."""
    values = _columns(*_scene(samples, width, seed))
    times: dict[str, list[float]] = {"by different rows": [], "row by row": []}
    for _ in range(repeats):
        times["by different rows"].append(seconds(lambda: bootstrap_means(values, draws, seed)))
        times["row by row"].append(seconds(lambda: row_by_row(values, slow_draws, seed)))
    return times


def row_by_row(values: FloatArray, draws: int, seed: int) -> FloatArray:
    """(draws, V) means of ``values`` (N, V) over N rows drawn with replacement, one by one."""
    rng = np.random.default_rng(seed)
    n = len(values)
    return np.stack([values[rng.integers(0, n, n)].mean(axis=0) for _ in range(draws)])


def _scene(samples: int, width: int, seed: int) -> tuple[Trace, list[Policy]]:
    """A trace whose exits get better with depth, and the policies of a report."""
    embeddings, pools = stream(samples, width, seed)
    rng = np.random.default_rng([seed, 1])
    labels = rng.integers(0, 2, samples)
    right = rng.uniform(size=(samples, 3)) < (0.75, 0.8, 0.85)
    confidence = rng.uniform(0.5, 1.0, (samples, 3))
    gold = np.where(right, confidence, 1 - confidence)
    ones = np.where(labels[:, None] == 1, gold, 1 - gold)
    trace = Trace(
        embeddings=embeddings,
        probabilities=np.stack([1 - ones, ones], axis=-1).astype(np.float32),
        labels=labels,
        exits=EXITS,
        tiers=EXITS,
        guids=tuple(f"row-{i}" for i in range(samples)),
        label_names=("negative", "positive"),
        task="synthetic",
        split="test",
        metric="matthews",
        model="0" * 64,
        lengths=rng.integers(3, 60, samples),
    )
    some = slice(0, min(samples, _FITTED_ON))
    router = CentroidRouter().fit(embeddings[some], pools[some])
    routers = {"dimec-fixed": router, "dimec-adaptive": router.copy(adaptive=True)}
    return trace, standard_policies(routers)


def _columns(trace: Trace, policies: list[Policy]) -> FloatArray:
    """(N, 2P) right answers, then costs, of the policies and of the routers' random twins."""
    replays = replay_all(trace, policies, Deployment.paper(EXITS))
    return np.stack([*(one.right for one in replays), *(one.cost for one in replays)], axis=1)
