"""Every registered system's replay of one trace on one core; some against a plain loop.

Times are the processor's, not the clock's: on one core they are the same on a quiet machine, and
on a busy one, whose other work would stretch either side at random, only they can be compared.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np

from benchmarks.harness import in_fresh_process
from benchmarks.policy_loops import LOOPS, Decisions, Prices
from benchmarks.results import BYTES, RATIO, Figure, Result
from benchmarks.routing import stream
from dimec.base.arrays import FloatArray
from dimec.cartography import DataMap
from dimec.evaluation.replay import replay
from dimec.policies import FitInputs, Outcome, Policy, systems
from dimec.tiers.deployment import Deployment
from dimec.traces.trace import Trace

ALL_GOAL, ONLINE_GOAL = 60.0, 10.0
LAYERS, TIERS, LAM, EPOCHS = 12, (4, 6, 12), 0.01, 5


@dataclass(frozen=True)
class Sizes:
    """``samples`` of the trace, ``fitted_on`` of the validation split, ``width`` of embeddings."""

    samples: int = 40_000
    fitted_on: int = 4_000
    width: int = 768
    repeats: int = 3


def run(sizes: Sizes, seed: int) -> Result:
    """All in one process, bound to one core; systems and loops by turns."""
    measured = in_fresh_process(measure, **asdict(sizes), seed=seed)
    runs: dict[str, Any] = measured.value
    replays, decisions, loops = runs["replay"], runs["decide"], runs["plain loop"]
    online = [replays[name] for name in runs["learn online"]]
    whole = [sum(one) for one in zip(*replays.values(), strict=True)]
    slowest = [max(one) for one in zip(*online, strict=True)]
    figures = [
        Figure.of(f"all {len(replays)} systems", whole, goal=ALL_GOAL),
        Figure.of("slowest that learns online", slowest, goal=ONLINE_GOAL),
        Figure.of(f"fitting them all on {sizes.fitted_on:,} samples", runs["fit"]),
        Figure.of("peak memory of the process", [measured.peak_rss], BYTES),
    ]
    for name, taken in replays.items():
        figures.append(Figure.of(f"{name}: replay", taken))
        if name in loops:
            ratios = [a / b for a, b in zip(loops[name], decisions[name], strict=True)]
            figures.append(Figure.of(f"{name}: decide", decisions[name]))
            figures.append(Figure.of(f"{name}: plain loop", loops[name]))
            figures.append(Figure.of(f"{name}: plain loop / decide", ratios, RATIO))
    notes = (
        f"{sizes.samples:,} samples, {LAYERS} exits, two classes, embeddings of {sizes.width}; "
        "one core" + ("" if runs["bound"] else " was not enforced: this system cannot bind one"),
        "processor time; a replay ends with what the ledger needs, votes and shares included; "
        "'decide' and the plain loop end with the exit and the cost of each sample",
        "a plain loop turns the trace into lists at once and calls no numpy after that; each "
        "decides and charges as its policy does, which is checked",
    )
    return Result(tuple(figures), notes, runs)


def measure(samples: int, fitted_on: int, width: int, repeats: int, seed: int) -> dict[str, Any]:
    """Processor seconds of every system's replay, of the plain loops, and of fitting them all."""
    bound = _bind_to_one_core()
    deployment = Deployment.paper(TIERS)
    validation, data_map = make_trace(fitted_on, width, seed, "validation")
    trace, _ = make_trace(samples, width, seed, "test")
    inputs = FitInputs(validation, deployment, LAM, data_map=data_map)
    policies: list[Policy] = []
    fit = busy(lambda: policies.extend(one.fit(inputs).policy for one in systems().values()))
    replays: dict[str, list[float]] = {policy.name: [] for policy in policies}
    decisions: dict[str, list[float]] = {name: [] for name in LOOPS if name in replays}
    loops: dict[str, list[float]] = {name: [] for name in decisions}
    for policy in policies:
        if policy.name in loops:
            check(policy, trace, deployment)
    for _ in range(repeats):
        for policy in policies:
            name = policy.name
            replays[name].append(busy(partial(replay, policy, trace, deployment)))
            if name in loops:
                decisions[name].append(busy(partial(decide, policy, trace, deployment)))
                loops[name].append(busy(partial(decide_slowly, policy, trace, deployment)))
    return {
        "replay": replays,
        "decide": decisions,
        "plain loop": loops,
        "fit": [fit],
        "learn online": [policy.name for policy in policies if policy.learns_online],
        "bound": bound,
    }


def busy(function: Callable[[], object]) -> float:
    """Seconds that the processor worked on one call."""
    start = time.process_time()
    function()
    return time.process_time() - start


def decide(policy: Policy, trace: Trace, deployment: Deployment) -> tuple[Outcome, FloatArray]:
    """What the policy does, and what it costs."""
    outcome = policy.replay(trace, deployment)
    return outcome, deployment.price(outcome.usage)


def decide_slowly(policy: Policy, trace: Trace, deployment: Deployment) -> Decisions:
    """The same by the plain loop."""
    prices = Prices.of(deployment, trace.exits)
    return LOOPS[policy.name](policy, trace.probabilities.tolist(), prices)


def check(policy: Policy, trace: Trace, deployment: Deployment) -> None:
    """Raise AssertionError unless the plain loop decides and charges as the policy does."""
    outcome, cost = decide(policy, trace, deployment)
    columns, costs = decide_slowly(policy, trace, deployment)
    same = np.array_equal(outcome.answers.argmax(axis=1), columns)
    if not same or not np.allclose(cost, costs, rtol=1e-12, atol=0):
        raise AssertionError(f"{policy.name} and its plain loop decide differently")


def make_trace(samples: int, width: int, seed: int, split: str) -> tuple[Trace, DataMap]:
    """A trace whose exits get better and surer with depth, and a data map of its samples.

    A sample's ease and the class are its own; each layer adds to what the one before it found.
    """
    rng = np.random.default_rng([seed, len(split)])
    ease = rng.normal(1.0, 1.0, samples)
    depth = np.arange(1, LAYERS + 1)
    wandering = rng.normal(0, 0.6, (samples, LAYERS)).cumsum(axis=1)
    margins = 0.45 * ease[:, None] * depth + wandering
    labels = rng.integers(0, 2, samples)
    gold = _sigmoid(margins)
    ones = np.where(labels[:, None] == 1, gold, 1 - gold)
    trace = Trace(
        embeddings=stream(samples, width, seed)[0],
        probabilities=np.stack([1 - ones, ones], axis=-1).astype(np.float32),
        labels=labels,
        exits=tuple(range(1, LAYERS + 1)),
        tiers=TIERS,
        guids=tuple(f"{split}-{i}" for i in range(samples)),
        label_names=("negative", "positive"),
        task="synthetic",
        split=split,
        metric="accuracy",
        model="0" * 64,
        lengths=rng.integers(3, 60, samples),
    )
    learning = rng.normal(0, 0.8, (EPOCHS, samples)) + margins[:, TIERS[0] - 1]
    return trace, DataMap.from_probabilities(_sigmoid(learning))


def _sigmoid(x: FloatArray) -> FloatArray:
    result: FloatArray = 1 / (1 + np.exp(-np.clip(x, -30, 30)))
    return result


def _bind_to_one_core() -> bool:
    """Keep this process to one of its cores; False where the system cannot (macOS, Windows)."""
    if not hasattr(os, "sched_setaffinity"):
        return False
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    return True
