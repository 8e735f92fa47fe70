"""The rows of Table I: every system on the traces that it is entitled to, fitted and replayed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dimec.base.errors import MismatchError
from dimec.cartography import DataMap
from dimec.evaluation.replay import Replay, matched_name, replay
from dimec.policies import (
    FitInputs,
    OraclePolicy,
    Policy,
    RandomPolicy,
    RouterPolicy,
    system,
    systems,
    tagged,
)
from dimec.routing import SingleTierRouter
from dimec.tiers.deployment import Deployment
from dimec.tiers.names import TIER_NAMES
from dimec.traces.trace import Trace

(LAST_EXIT,) = (one.name for one in tagged("reference"))
PLAIN = "bert-plain"  # the same on the trace of a model that was fine-tuned with one exit


@dataclass(frozen=True, eq=False)
class SeedTraces:
    """The traces of one task and seed, by recipe: all of the same samples.

    Attributes:
        seed: of the runs.
        validation, test: by recipe: ``joint``, ``two-stage``, ``depth``, ``bottleneck-…``.
        data_map: of the joint run's validation split at the mobile's exit.
    """

    seed: int
    validation: Mapping[str, Trace]
    test: Mapping[str, Trace]
    data_map: DataMap

    def __post_init__(self) -> None:
        for group in (self.validation, self.test):
            guids = group["joint"].guids
            for recipe, trace in group.items():
                if trace.guids != guids:
                    raise MismatchError(
                        f"the {trace.split} traces of the recipes joint and {recipe} are of other "
                        "samples; train both with the same data and seed"
                    )


@dataclass(frozen=True, eq=False)
class Row:
    """A policy's replay, and where it comes from.

    Attributes:
        replay: on the test split.
        system: its name in the registry, or the policy's own.
        recipe: how the model of the trace was trained.
        settings: what was chosen on the validation split.
    """

    replay: Replay
    system: str
    recipe: str
    settings: Mapping[str, Any] = field(default_factory=dict)


def rows_of(traces: SeedTraces, deployment: Deployment, lam: float) -> list[Row]:
    """Every row of a task and seed, in the order of the table.

    The plain fine-tuning and the whole model first, then one tier for all and chance, then the
    systems of the registry on the joint traces, those with a recipe of their own on its traces as
    well, random routing with the shares of each of dimec's, and the oracle.
    """
    joint = traces.test["joint"]
    rows: list[Row] = []
    if "two-stage" in traces.test:
        plain = replay(system(LAST_EXIT).make(), traces.test["two-stage"], deployment)
        rows.append(Row(_renamed(plain, PLAIN), LAST_EXIT, "two-stage"))
    whole = tagged("whole model")
    rows += [_fitted(one.name, "joint", traces, deployment, lam) for one in whole]
    for policy in _single_tiers():
        rows.append(Row(replay(policy, joint, deployment), policy.name, "joint"))
    for name, method in systems().items():
        recipe = method.needs or "joint"
        if method in whole or recipe not in traces.test:
            continue
        rows.append(one := _fitted(name, recipe, traces, deployment, lam))
        if "ours" in method.tags:
            twin = RandomPolicy(matched_name(name), one.replay.tiers.mean(axis=0).tolist())
            rows.append(Row(replay(twin, joint, deployment), "random", "joint"))
        if method.recipe in traces.test:
            rows.append(_fitted(name, method.recipe, traces, deployment, lam))
    rows.append(Row(replay(OraclePolicy(), joint, deployment), "oracle", "joint"))
    return rows


def _single_tiers() -> Sequence[Policy]:
    single = [RouterPolicy(f"all-{name}", SingleTierRouter(k)) for k, name in enumerate(TIER_NAMES)]
    # all-cloud is the reference system under another name
    return single[:2]


def _fitted(name: str, recipe: str, traces: SeedTraces, deployment: Deployment, lam: float) -> Row:
    """A system fitted on the validation split of a recipe and replayed on its test split."""
    inputs = FitInputs(traces.validation[recipe], deployment, lam, traces.data_map)
    fitted = system(name).fit(inputs)
    one = replay(fitted.policy, traces.test[recipe], deployment)
    own = recipe not in ("joint", system(name).needs)
    title = f"{name}@{recipe}" if own else name
    return Row(_renamed(one, title), name, recipe, dict(fitted.settings))


def _renamed(one: Replay, name: str) -> Replay:
    return Replay(name, one.labels, one.votes, one.tiers, one.cost, one.usage)


def load_traces(folders: Mapping[str, Path], seed: int, deployment: Deployment) -> SeedTraces:
    """The traces of trained runs.

    Args:
        folders: recipe → run directory; for a bottleneck the folder that it was trained into.
        seed: of the runs.
        deployment: whose mobile's exit the data map is seen from.
    """
    from dimec.runs.workspace import RunDirectory

    validation, test = {}, {}
    for recipe, folder in folders.items():
        if recipe.startswith("bottleneck-"):
            from dimec.training.bottleneck.train import bottleneck_traces

            validation[recipe], test[recipe] = bottleneck_traces(folder)
        else:
            run = RunDirectory(folder)
            validation[recipe], test[recipe] = run.trace("validation"), run.trace("test")
    data_map = RunDirectory(folders["joint"]).dynamics().data_map(deployment.exits[0])
    return SeedTraces(seed, validation, test, data_map)
