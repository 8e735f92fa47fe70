"""What a fleet's settings name, opened: traces, tiers, fitted policies, rows of populations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from dimec.base.arrays import IntArray
from dimec.base.errors import ConfigError, quoted
from dimec.base.progress import Progress
from dimec.fleet.courses import Ground
from dimec.fleet.settings import FleetSettings, Population
from dimec.policies.base import Policy
from dimec.policies.registry import FitInputs, system
from dimec.runs.deploying import basis_of
from dimec.runs.own_tiers import TEXT_BYTES, computing_of, text_tiers, with_embedding
from dimec.runs.recorded import run_of
from dimec.runs.workspace import RunDirectory
from dimec.tiers.deployment import Deployment
from dimec.tiers.scenario_file import Scenarios
from dimec.tiers.scenarios import Scenario
from dimec.traces.collection import find
from dimec.traces.trace import Trace

NO_LINK = "none"


@dataclass(frozen=True, eq=False)
class World:
    """One model, or one of each tier, and the policy fitted for it.

    Attributes:
        name: of its traces or its run.
        ground: the test rows, the tiers and their speeds.
        policy: fitted to the validation rows.
    """

    name: str
    ground: Ground
    policy: Policy


@dataclass(frozen=True, eq=False)
class Kind:
    """A population, opened: positions of its rows in its world's trace."""

    name: str
    world: int
    rows: IntArray


def open_scenarios(settings: FleetSettings) -> tuple[tuple[Scenario | None, ...], list[float]]:
    """The links' scenarios, None for no link, and the share of the time on each.

    Raises:
        ConfigError: no such scenario, or scenarios of different phones, boxes or servers.
    """
    known = Scenarios.load(None if settings.scenarios is None else Path(settings.scenarios))
    shares = settings.links.shares
    found = tuple(None if name == NO_LINK else known.scenario(name) for name in shares)
    machines = {(one.phone, one.edge, one.cloud) for one in found if one is not None}
    if len(machines) != 1:
        raise ConfigError(
            "links.shares: the scenarios of a fleet differ in their links only; these have "
            "different phones, edge boxes or cloud servers"
        )
    return found, list(shares.values())


def rates_of(scenario: Scenario, deployment: Deployment, settings: FleetSettings) -> list[float]:
    """Operations a second of each tier's machine."""
    check_tiers(deployment, settings)
    places = [place.flops_per_second for place in scenario.places(len(deployment))]
    speeds = [
        settings.tiers[name].speed if name in settings.tiers else 1.0
        for name in deployment.names[1:]
    ]
    behind = [rate * speed for rate, speed in zip(places, speeds, strict=True)]
    return [scenario.phone.flops_per_second.value, *behind]


def check_tiers(deployment: Deployment, settings: FleetSettings) -> None:
    """Refuse a table of a tier that there is not.

    Raises:
        ConfigError: names it, and those that there are.
    """
    behind = deployment.names[1:]
    if unknown := [name for name in settings.tiers if name not in behind]:
        raise ConfigError(
            f"tiers.{unknown[0]}: there is no such tier behind the phone; there are "
            f"{', '.join(behind) or 'none'}"
        )


def open_worlds(
    settings: FleetSettings,
    scenario: Scenario,
    folder: Path,
    progress: Progress,
    tiers: Sequence[int] | None = None,
) -> tuple[list[World], list[Kind]]:
    """Open all that the populations name, and fit the policy to each.

    Args:
        settings: of the fleet.
        scenario: whose machines compute.
        folder: where runs of recorded traces go.
        progress: told what is fitted.
        tiers: other exits than the traces' own, for all.

    Raises:
        ConfigError: no such rows or system, or worlds with different tiers.
        ArtefactError: traces or runs are missing or damaged.
    """
    named = list(dict.fromkeys((one.trace, one.run) for one in settings.populations))
    worlds = []
    for trace, run in named:
        if run is not None:
            opened = RunDirectory(Path(run))
        else:
            assert trace is not None  # one of the two, by the settings
            opened = run_of(find(trace), folder / trace.replace("/", "-"))
        name = str(trace or run)
        progress.say(f"fitting {settings.policy.system} to {name}")
        worlds.append(_world(name, opened, settings, scenario, tiers))
    names = {world.ground.deployment.names for world in worlds}
    if len(names) > 1:
        raise ConfigError(f"all populations need the same tiers, got {sorted(names)}")
    kinds = [
        Kind(one.name, (world := named.index((one.trace, one.run))), _rows(one, worlds[world]))
        for one in settings.populations
    ]
    return worlds, kinds


def _world(
    name: str,
    run: RunDirectory,
    settings: FleetSettings,
    scenario: Scenario,
    tiers: Sequence[int] | None,
) -> World:
    basis = basis_of(run, tiers, None, None)
    chosen = settings.policy
    inputs = FitInputs(basis.trace, basis.deployment, chosen.lam, basis.data_map, chosen.settings)
    policy = system(chosen.system).fit(inputs).policy
    trace = run.trace("test")
    ground = Ground(
        trace,
        basis.deployment,
        with_embedding(computing_of(run, trace, basis.deployment), run, trace, basis.deployment),
        rates_of(scenario, basis.deployment, settings),
        trace.extra.get(TEXT_BYTES),
        tuple(text_tiers(run, basis.deployment)),
    )
    return World(name, ground, policy)


def _rows(population: Population, world: World) -> IntArray:
    trace = world.ground.trace
    rows = rows_of(population.rows, trace)
    if not len(rows):
        raise ConfigError(f"the population {quoted(population.name)} has no rows in {world.name}")
    return rows


def rows_of(rule: str, trace: Trace) -> IntArray:
    """Positions of the rows that a rule names.

    Args:
        rule: ``all``, ``short``, ``long`` or ``class:NAME``.
        trace: of N rows.

    Raises:
        ConfigError: no such class.
    """
    if rule.startswith("class:"):
        name = rule.removeprefix("class:")
        if name not in trace.label_names:
            raise ConfigError(
                f"no class is named {quoted(name)}; there are {', '.join(trace.label_names)}"
            )
        return np.flatnonzero(trace.labels == trace.label_names.index(name))
    if rule == "all":
        return np.arange(len(trace))
    order = np.argsort(trace.lengths, kind="stable")
    half = len(order) // 2
    return np.sort(order[:half] if rule == "short" else order[half:])


def without_learning(world: World) -> World:
    """The same world with a policy that stays as it was fitted, where it knows both."""
    adapted = getattr(world.policy, "adapted", None)
    return world if adapted is None else replace(world, policy=adapted(False))
