"""Beyond one simulation: what sharing centres gains, and where the layers stand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from dimec.base.arrays import FloatArray
from dimec.base.progress import Progress
from dimec.fleet.accounts import summary
from dimec.fleet.centres import Centres, route
from dimec.fleet.courses import Courses
from dimec.fleet.deciding import (
    Inputs,
    Share,
    adaptive_router,
    decide_sharing,
    fixed_tiers,
    routed_courses,
)
from dimec.fleet.settings import FleetSettings, Sharing
from dimec.fleet.sharing import dispersion
from dimec.fleet.simulate import HOUR, Simulated, generator, simulate
from dimec.fleet.worlds import World

_FIRST = 3600.0  # seconds of a mobile's first hour


def sharing_study(done: Simulated, progress: Progress) -> dict[str, Any]:
    """Fixed centres, centres that learn on each mobile alone, and such that are shared.

    All three route the same inputs, without queues, since these change no decision.

    Returns:
        By world and way: accuracy, cost, reward (accuracy less λ·cost) over all and over the first
        hour, and how far the mobiles' centres lie apart at the end; none where the policy has no
        centres that learn.
    """
    shared = done.settings.sharing
    if shared is None:
        return {}
    told: dict[str, Any] = {}
    for number, world in enumerate(done.worlds):
        if adaptive_router(world.policy) is None:
            progress.say(f"{world.policy.name} has no centres to share")
            continue
        _, inputs = done.stream.of(number)
        told[world.name] = _ways(world, inputs, done.settings, shared, progress)
    return told


def _ways(
    world: World, inputs: Inputs, settings: FleetSettings, shared: Sharing, progress: Progress
) -> dict[str, Any]:
    router = adaptive_router(world.policy)
    assert router is not None  # the caller looked
    share = Share(rounds_of(settings, shared), shared.dropout, shared.weight)
    embeddings = world.ground.trace.embeddings
    progress.say(f"sharing centres in {len(share.rounds)} rounds")
    alone = Centres.alike(router.sums, router.counts, settings.mobiles)
    lonely = route(alone, embeddings, inputs.mobiles, inputs.rows)
    draws = generator(settings.seed, "sharing")
    together, exchange = decide_sharing(world, inputs, settings.mobiles, share, draws)
    ways = {
        "fixed": (fixed_tiers(world, inputs), None),
        "alone": (lonely, alone),
        "shared": (together, exchange.centres),
    }
    return {
        name: {
            **_told(routed_courses(world, tiers, inputs.rows), inputs, settings.policy.lam),
            "shares": np.bincount(tiers, minlength=len(world.ground.deployment)).tolist(),
            "dispersion": [] if centres is None else _numbers(dispersion(centres)),
        }
        for name, (tiers, centres) in ways.items()
    }


def rounds_of(settings: FleetSettings, shared: Sharing) -> FloatArray:
    """Moments of the rounds in seconds, evenly spread."""
    between = 24 * HOUR / shared.rounds_per_day
    return np.arange(between, settings.hours * HOUR, between)


def _told(courses: Courses, inputs: Inputs, lam: float) -> dict[str, float]:
    cost, right = courses.cost.sum(axis=1), courses.right.astype(np.float64)
    reward = right - lam * cost
    first = inputs.times < _FIRST
    return {
        "accuracy": float(right.mean()) if len(right) else 0.0,
        "cost": float(cost.mean()) if len(right) else 0.0,
        "reward": float(reward.mean()) if len(right) else 0.0,
        "reward_first_hour": float(reward[first].mean()) if first.any() else 0.0,
    }


def _numbers(values: FloatArray) -> list[float | None]:
    return [float(one) if np.isfinite(one) else None for one in values]


def layer_study(settings: FleetSettings, folder: Path, progress: Progress) -> list[dict[str, Any]]:
    """The paper's section IV-E: where m and n stand, what each tier bears, and what it costs.

    For each pair (m, n) of ``layers`` the policy is fitted anew and the whole fleet simulated.

    Returns:
        A row for each pair.
    """
    rows = []
    kept = ("accuracy", "cost", "reduction", "millijoules", "usd_per_1000", "answered_by")
    progress.start("layer distribution", len(settings.layers))
    for m, n in settings.layers:
        last = _last_layer(settings, folder)
        told = summary(simulate(settings, folder, tiers=(m, n, last)))
        load = {name: tier["utilisation"] for name, tier in told["tiers"].items()}
        askings = {name: tier["askings"] for name, tier in told["tiers"].items()}
        rows.append(
            {
                "m": m,
                "n": n,
                **{key: told[key] for key in kept},
                "latency_p50_ms": told["latency_ms"]["p50"],
                "latency_p99_ms": told["latency_ms"]["p99"],
                "utilisation": load,
                "askings": askings,
            }
        )
        progress.advance(1, f"m = {m}, n = {n}")
    progress.end()
    return rows


def _last_layer(settings: FleetSettings, folder: Path) -> int:
    from dimec.runs.recorded import run_of
    from dimec.runs.workspace import RunDirectory
    from dimec.traces.collection import find

    first = settings.populations[0]
    if first.run is not None:
        return RunDirectory(Path(first.run)).trace("validation").tiers[-1]
    name = str(first.trace)
    return run_of(find(name), folder / name.replace("/", "-")).trace("validation").tiers[-1]
