"""The routing decision, text in to tier out, beside the inference that it stands in front of.

Each text is decided on and then run through the mobile's layers, as it would be on a device: an
inference between two decisions leaves little of what the next one needs in the processor's caches.
The same decisions in a row, without any inference, are timed as well. The whole model's inference
is timed on its own.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.bundles import read_texts, scene
from benchmarks.encoders import TwoEncoders, larger_note, two_encoders
from benchmarks.harness import in_fresh_process, say, seconds
from benchmarks.results import SHARE, Figure, Result

WITH_TOKENS_GOAL, WITHOUT_GOAL = 0.03, 0.01
QUANTILES = {"p50": 0.5, "p99": 0.99}
_STEPS = ("tokenise", "embed", "route")
_WARM_UP = 50  # texts that are not counted


Sizes = TwoEncoders


def run(sizes: Sizes, seed: int) -> Result:
    """Time both encoders, each in a process of its own."""
    trained = scene(sizes.run, seed)
    runs: dict[str, Any] = {}
    with two_encoders(trained, sizes, seed) as encoders:
        for name, (bundle, texts) in encoders.items():
            say(f"decision: {name}")
            arguments = {"bundle": bundle, "texts": texts, "repeats": sizes.repeats}
            runs[name] = in_fresh_process(measure, **arguments).value
    figures = [figure for name, passes in runs.items() for figure in _figures(name, passes)]
    notes = (
        trained.note,
        larger_note(sizes),
        "one thread; each text is decided on, then run through the m layers; 'in a row': only "
        "decided on, so that caches stay warm",
        "the m-layer inference is the mobile's own, embedding included; shares are ratios of the "
        "medians of one pass",
    )
    return Result(tuple(figures), notes, runs)


def _figures(name: str, passes: dict[str, Any]) -> list[Figure]:
    between, in_a_row = passes["with inference"], passes["in a row"]
    layers = [one["m-layer inference"]["p50"] for one in between]
    figures = [
        Figure.of(f"{name}: {part}, {quantile}", [one[part][quantile] for one in between])
        for part in (*_STEPS, "decision", "m-layer inference", "full inference")
        for quantile in QUANTILES
    ]
    alone = [one["decision"]["p50"] for one in in_a_row]
    figures.append(Figure.of(f"{name}: decision in a row, p50", alone))
    for mode, found in (("", between), (" in a row", in_a_row)):
        for part, text, goal in (
            ("decision", "with tokenisation", WITH_TOKENS_GOAL),
            ("embed and route", "without", WITHOUT_GOAL),
        ):
            shares = [one[part]["p50"] / m for one, m in zip(found, layers, strict=True)]
            title = f"{name}: decision{mode} / m-layer inference, {text}"
            figures.append(Figure.of(title, shares, SHARE, goal))
    full = [one["decision"]["p50"] / one["full inference"]["p50"] for one in between]
    figures.append(Figure.of(f"{name}: decision / full inference, with tokenisation", full, SHARE))
    return figures


def measure(bundle: str, texts: int, repeats: int) -> dict[str, Any]:
    """Quantiles of the seconds of every part, for each pass over the texts."""
    from dimec.bundle.graphs import Graph
    from dimec.mobile import Mobile
    from dimec.policies.kinds import StoredPolicy
    from dimec.policies.routed import RouterPolicy

    chosen = read_texts(bundle, texts)
    cloud = Graph(Path(bundle) / "cloud" / "model.onnx")
    with Mobile.open(Path(bundle) / "mobile", state=":memory:") as mobile:
        core = mobile.engine.core
        policy = StoredPolicy.load(mobile.engine.bundle.path).policy
        assert isinstance(policy, RouterPolicy)  # as the scene's runs are fitted
        router = policy.router
        found: dict[str, Any] = {"with inference": [], "in a row": []}
        for repeat in range(repeats + 1):
            # The first round warms up, and is not counted.
            some = chosen if repeat else chosen[:_WARM_UP]
            for mode, passes in found.items():
                inference = mode == "with inference"
                parts: dict[str, Any] = _steps(core, router, some, inference)
                parts["decision"] = _decisions(mobile, some, inference)
                if inference:
                    parts["full inference"] = _full(core, cloud, some)
                if repeat:
                    passes.append({name: _of_texts(values) for name, values in parts.items()})
    return found


def _decisions(mobile: Any, texts: Sequence[str], inference: bool) -> list[float]:
    """Seconds of ``Mobile.decide``; with ``inference``, the m layers run after each."""
    taken, core = [], mobile.engine.core
    for text in texts:
        taken.append(seconds(partial(mobile.decide, text)))
        if inference:
            core.classify(core.embed(core.tokenise(text)))
    return taken


def _steps(
    core: Any, router: Any, texts: Sequence[str], inference: bool
) -> dict[str, npt.NDArray[np.float64]]:
    """Seconds of what a decision consists of, and of the m-layer inference."""
    rows, clock = [], time.perf_counter
    for text in texts:
        marks = [clock()]
        inputs = core.tokenise(text)
        marks.append(clock())
        embedded = core.embed(inputs)
        marks.append(clock())
        router.route_one(embedded.pooled)
        marks.append(clock())
        if inference:
            core.classify(embedded)
            marks.append(clock())
        rows.append(marks)
    steps = np.diff(rows, axis=1).T
    parts = dict(zip(_STEPS, steps, strict=False))
    parts["embed and route"] = steps[1] + steps[2]
    if inference:
        parts["m-layer inference"] = steps[1] + steps[3]
    return parts


def _full(core: Any, cloud: Any, texts: Sequence[str]) -> list[float]:
    """Seconds of the whole model's inference."""
    return [seconds(partial(cloud, **core.tokenise(text))) for text in texts]


def _of_texts(values: Any) -> dict[str, float]:
    return {label: float(np.quantile(values, q)) for label, q in QUANTILES.items()}
