"""A fleet of mobiles on recorded traces: nothing is trained, all of it is drawn by seeds.

Three questions, each answered for every seed, so that differences have intervals: what policies do
to a fleet and its servers, what sharing what the mobiles learnt gains, and where layers m and n
should stand (the paper's section IV-E).
"""

from __future__ import annotations

import datetime
import math
import platform
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict

from dimec.__about__ import __version__
from dimec.base.progress import NoProgress, Progress
from dimec.base.storage import write_json
from dimec.fleet.accounts import summary
from dimec.fleet.settings import FleetSettings, example
from dimec.fleet.simulate import Simulated, simulate_worlds
from dimec.fleet.sizing import sizes
from dimec.fleet.studies import sharing_study
from dimec.fleet.worlds import open_scenarios, open_worlds

PROFILE, ITEM = "simulations", "fleet"  # where the result lies
ALIKE, UNLIKE = "alike", "unlike"  # mobiles: the same mixture on all, or nearly one population each
WAYS = ("fixed", "alone", "shared")
_TOLD = (
    "accuracy",
    "cost",
    "reduction",
    "millijoules",
    "usd_per_1000",
    "stood_in_for",
    "cut_short",
)
_LIKENESS = {ALIKE: None, UNLIKE: 0.2}


class FleetPlan(BaseModel):
    """What is drawn, beside the example's settings (``dimec simulate --example``).

    Attributes:
        seeds: of all that is drawn, one simulation each.
        trace: of the collection, for all.
        mobiles, hours: of the fleet whose mobiles share what they learn.
        busy_mobiles, busy_hours, busy_from, busy_texts: of the one whose servers are busy: the
            hours from that one of the day on, and texts an hour and mobile.
        policies: that are compared, fitted to the trace's validation split.
        learner: the policy whose centres are shared.
        layers: pairs m, n, for ``sweep``.
        sweep: the policy of the sweep.
        edge_stations, edge_overhead_ms, cloud_overhead_ms: boxes, and what an asking takes of a
            server beside the layers: so much that servers have something to do.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    seeds: tuple[int, ...] = tuple(range(10))
    trace: str = "sst2/minilm-joint/0"
    mobiles: int = 300
    hours: float = 24.0
    busy_mobiles: int = 1000
    busy_hours: float = 2.0
    busy_from: float = 18.0
    busy_texts: float = 60.0
    policies: tuple[str, ...] = (
        "bert-cloud",
        "dimec-fixed-quantile",
        "dimec-adaptive-quantile",
        "max-softmax-tiers",
        "cascade",
    )
    learner: str = "dimec-adaptive-quantile"
    layers: tuple[tuple[int, int], ...] = ((1, 2), (1, 3), (2, 3), (2, 4), (3, 4), (3, 5), (4, 5))
    sweep: str = "dimec-fixed-quantile"
    edge_stations: int = 2
    edge_overhead_ms: float = 60.0
    cloud_overhead_ms: float = 60.0


def fleet(plan: FleetPlan, progress: Progress | None = None) -> dict[str, Any]:
    """The record: rows by policy, by kind of mobiles and way of learning, and by layers."""
    progress = progress or NoProgress()
    with tempfile.TemporaryDirectory() as folder:
        runs = Path(folder)
        return {
            "item": ITEM,
            "profile": PROFILE,
            "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
            "versions": {
                "dimec": __version__,
                "python": platform.python_version(),
                "numpy": np.__version__,
            },
            "plan": plan.model_dump(mode="json"),
            "policies": _policies(plan, runs, progress),
            "sharing": _sharing(plan, runs, progress),
            "layers": _layers(plan, runs, progress),
        }


def make(results: Path, plan: FleetPlan | None = None, progress: Progress | None = None) -> Path:
    """Simulate and store; returns the path under ``results``, the folder of the studies."""
    path = results / PROFILE / f"{ITEM}.json"
    write_json(path, fleet(plan or FleetPlan(), progress))
    return path


def settings_of(plan: FleetPlan, policy: str) -> FleetSettings:
    """The example's fleet with what the plan changes."""
    known = FleetSettings.parse(example().encode(), "the example")
    edge = {"stations": plan.edge_stations, "overhead_ms": plan.edge_overhead_ms}
    cloud = {"overhead_ms": plan.cloud_overhead_ms}
    tiers = {
        "edge": known.tiers["edge"].model_copy(update=edge),
        "cloud": known.tiers["cloud"].model_copy(update=cloud),
    }
    populations = [one.model_copy(update={"trace": plan.trace}) for one in known.populations]
    changed = {
        "mobiles": plan.mobiles,
        "hours": plan.hours,
        "policy": known.policy.model_copy(update={"system": policy}),
        "populations": tuple(populations),
        "tiers": tiers,
    }
    return known.model_copy(update=changed)


def busy(plan: FleetPlan, policy: str) -> FleetSettings:
    """The same in the hours in which servers are busy, with the populations' mean shares."""
    settings = settings_of(plan, policy)
    texts = {"per_hour": plan.busy_texts, "starts_at": plan.busy_from}
    populations = [one.model_copy(update={"shares": 0.5}) for one in settings.populations]
    changed = {
        "mobiles": plan.busy_mobiles,
        "hours": plan.busy_hours,
        "texts": settings.texts.model_copy(update=texts),
        "populations": tuple(populations),
    }
    return settings.model_copy(update=changed)


def _each_seed(
    plan: FleetPlan, settings: FleetSettings, runs: Path, tiers: Sequence[int] | None = None
) -> Iterator[Simulated]:
    """A simulation of every seed; the policy is fitted once."""
    scenarios, shares = open_scenarios(settings)
    first = next(one for one in scenarios if one is not None)
    worlds, kinds = open_worlds(settings, first, runs, NoProgress(), tiers)
    for seed in plan.seeds:
        one = settings.model_copy(update={"seed": seed})
        yield simulate_worlds(one, worlds, kinds, scenarios, shares, NoProgress())


def _policies(plan: FleetPlan, runs: Path, progress: Progress) -> list[dict[str, Any]]:
    rows = []
    progress.start("policies", len(plan.policies))
    for policy in plan.policies:
        settings = busy(plan, policy)
        told = [_of_fleet(done) for done in _each_seed(plan, settings, runs)]
        rows.append({"policy": policy, **_over_seeds(told)})
        progress.advance(1, policy)
    progress.end()
    return rows


def _of_fleet(done: Simulated) -> dict[str, float]:
    """The figures of one simulation, flat."""
    told, takes = summary(done), sizes(done)
    flat = {name: told[name] for name in _TOLD}
    flat |= {f"latency_{name}_ms": told["latency_ms"][name] for name in ("p50", "p99")}
    for name, tier in told["tiers"].items():
        flat[f"{name}_askings"] = tier["askings"] / told["inputs"]
        flat[f"{name}_utilisation"] = tier["utilisation"]
        flat[f"{name}_wait_p99_ms"] = tier["wait_ms"]["p99"]
        flat[f"{name}_servers_taken"] = takes[name]["stations"] * takes[name]["servers"]
    return flat


def _sharing(plan: FleetPlan, runs: Path, progress: Progress) -> list[dict[str, Any]]:
    """For either kind of mobiles each way, and its gain over learning alone, seed by seed."""
    rows = []
    progress.start("sharing", len(_LIKENESS))
    for kind, likeness in _LIKENESS.items():
        settings = settings_of(plan, plan.learner)
        texts = settings.texts.model_copy(update={"likeness": likeness})
        settings = settings.model_copy(update={"texts": texts})
        told: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS}
        for done in _each_seed(plan, settings, runs):
            (ways,) = sharing_study(done, NoProgress()).values()
            for way in WAYS:
                found = {k: v for k, v in ways[way].items() if isinstance(v, float)}
                apart = [one for one in ways[way]["dispersion"] if one is not None]
                found |= {"dispersion": max(apart)} if apart else {}
                alone = ways["alone"]
                gained = ("accuracy", "cost", "reward", "reward_first_hour")
                found |= {f"{k}_gain": ways[way][k] - alone[k] for k in gained}
                told[way].append(found)
        rows += [{"mobiles": kind, "way": way, **_over_seeds(told[way])} for way in WAYS]
        progress.advance(1, kind)
    progress.end()
    return rows


def _layers(plan: FleetPlan, runs: Path, progress: Progress) -> list[dict[str, Any]]:
    from dimec.traces.collection import load_trace

    last = max(load_trace(f"{plan.trace}/test").exits)
    rows = []
    progress.start("layers", len(plan.layers))
    for m, n in plan.layers:
        settings = busy(plan, plan.sweep)
        told = [_of_fleet(done) for done in _each_seed(plan, settings, runs, (m, n, last))]
        rows.append({"m": m, "n": n, **_over_seeds(told)})
        progress.advance(1, f"m = {m}, n = {n}")
    progress.end()
    return rows


def _over_seeds(told: Sequence[Mapping[str, float]]) -> dict[str, list[float]]:
    """Of each figure the mean over the seeds, and half the width of its 95 % interval (Student)."""
    rows = {name: np.array([one[name] for one in told]) for name in told[0]}
    return {name: [float(values.mean()), half_width(values)] for name, values in rows.items()}


def half_width(values: Sequence[float] | np.ndarray[Any, Any]) -> float:
    """Half of the 95 % interval of a mean: t · s / √n; 0 for one value.

    Example:
        >>> round(half_width([1.0, 2.0, 3.0]), 4)
        2.4841
    """
    from scipy import stats  # here, since pages and tables are made without it

    size = len(values)
    if size < 2:
        return 0.0
    spread = float(np.std(values, ddof=1))
    return float(stats.t.ppf(0.975, size - 1)) * spread / math.sqrt(size)
