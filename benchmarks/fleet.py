"""A simulated fleet on one core: a million texts on ten thousand mobiles, and a tenth of both."""

from __future__ import annotations

import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.harness import in_fresh_process
from benchmarks.results import BYTES, RATIO, Figure, Result
from dimec.base.progress import NoProgress
from dimec.fleet.accounts import summary
from dimec.fleet.settings import FleetSettings, example
from dimec.fleet.simulate import simulate_worlds
from dimec.fleet.worlds import open_scenarios, open_worlds

GOAL, LINEAR = 10.0, 12.0
POLICIES = ("dimec-fixed-quantile", "dimec-adaptive-quantile", "cascade")


@dataclass(frozen=True)
class Sizes:
    """``mobiles``, and ``texts`` of each in a day on average."""

    mobiles: int = 10_000
    texts: int = 100
    repeats: int = 3


def run(sizes: Sizes, seed: int) -> Result:
    """All in one process, bound to one core; the policy is fitted before the clock starts."""
    measured = in_fresh_process(measure, **asdict(sizes), seed=seed)
    runs: dict[str, Any] = measured.value
    figures = []
    for name, taken in runs["whole"].items():
        figures.append(Figure.of(f"{name}: whole fleet", taken, goal=GOAL))
        ratios = [a / b for a, b in zip(taken, runs["tenth"][name], strict=True)]
        figures.append(Figure.of(f"{name}: over a tenth of it", ratios, RATIO, goal=LINEAR))
    figures.append(Figure.of("peak memory of the process", [measured.peak_rss], BYTES))
    notes = (
        f"{runs['inputs']:,} texts on {sizes.mobiles:,} mobiles; processor's seconds, from drawing "
        "the texts to the accounts",
    )
    return Result(tuple(figures), notes, runs)


def measure(mobiles: int, texts: int, repeats: int, seed: int) -> dict[str, Any]:
    """Seconds of each policy's fleet, whole and a tenth of it."""
    runs: dict[str, Any] = {"whole": {}, "tenth": {}, "inputs": 0}
    with tempfile.TemporaryDirectory() as folder:
        for name in POLICIES:
            opened = {}
            for size, count in (("whole", mobiles), ("tenth", max(1, mobiles // 10))):
                settings = _settings(name, count, texts, seed)
                scenarios, shares = open_scenarios(settings)
                first = next(one for one in scenarios if one is not None)
                worlds, kinds = open_worlds(settings, first, Path(folder), NoProgress())
                opened[size] = settings, worlds, kinds, scenarios, shares
                runs[size][name] = []
            for _ in range(repeats):  # by turns, so that whatever else goes on falls on both
                for size, parts in opened.items():
                    begun = time.process_time()
                    told = summary(simulate_worlds(*parts, NoProgress()))
                    runs[size][name].append(time.process_time() - begun)
                    runs["inputs"] = max(runs["inputs"], told["inputs"])
    return runs


def _settings(policy: str, mobiles: int, texts: int, seed: int) -> FleetSettings:
    """The example's fleet, at this size."""
    known = FleetSettings.parse(example().encode(), "the example")
    changed = {
        "seed": seed,
        "mobiles": mobiles,
        "texts": known.texts.model_copy(update={"per_hour": texts / 24}),
        "policy": known.policy.model_copy(update={"system": policy}),
    }
    return known.model_copy(update=changed)
