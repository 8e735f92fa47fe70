"""The tiny run whose tiers have a model each, fitted so that every tier answers some texts."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from dimec.bundle.folders import TierBundle, file_records, write_manifest
from dimec.policies.base import Policy
from dimec.policies.drive import site_of, walked
from dimec.policies.kinds import StoredPolicy
from dimec.policies.literature.exit_thresholds import ThresholdsPolicy
from dimec.policies.literature.exit_walk import way_of
from dimec.policies.step import Visit
from dimec.runs.fitting import fitted_on
from dimec.runs.run import Run
from dimec.tiers.costs import CostModel
from dimec.tiers.deployment import Deployment
from dimec.traces.trace import Trace

OWN = {"phone": 1, "edge": 2, "cloud": 3}
URLS = {name: f"http://{name}.test" for name in ("edge", "cloud")}


def own_deployment(names: Sequence[str] = tuple(OWN)) -> Deployment:
    """Tiers of the run, each with the model of its name, at the paper's prices."""
    priced = CostModel().tiers(range(1, 1 + len(names)), names)
    return Deployment(
        tuple(replace(tier, layer=OWN[tier.name], source=tier.name) for tier in priced)
    )


def stepwise(trace: Trace, deployment: Deployment) -> ThresholdsPolicy:
    """From exit 0 through every exit on to the last tier; each exit answers half of the rest.

    No confidence is near a threshold, so that rounding does not decide.
    """
    way = way_of(site_of(trace, deployment), exit0=True)
    rest, thresholds = np.arange(len(trace)), []
    for tier, layer in way[:-1]:
        column = trace.column(layer, deployment.tiers[tier].source)
        sizes = np.sort(trace.confidences[rest, column])
        gaps = np.diff(sizes)
        middle = range(len(gaps) // 3, 1 + 2 * len(gaps) // 3)
        place = max(middle, key=lambda one: float(gaps[one]))
        thresholds.append(float(sizes[place] + gaps[place] / 2))
        rest = rest[trace.confidences[rest, column] < thresholds[-1]]
    classes = len(trace.label_names)
    return ThresholdsPolicy("stepwise", way, np.repeat(thresholds, classes).reshape(-1, classes))


def fitted_own(own: Path, folder: Path, policy: Policy | None = None, *names: str) -> Run:
    """A copy of the run with a policy for its tiers, or for some of them."""
    run, deployment = Run(shutil.copytree(own, folder)), own_deployment(names or tuple(OWN))
    policy = policy or stepwise(run.trace("test"), deployment)
    StoredPolicy(policy, fitted_on(run.training()["model"], {"lam": 0.05}, deployment)).save(
        run.path
    )
    return run


def with_policy(bundle: Path, folder: Path, policy: Policy) -> Path:
    """The first tier of a bundle alone, with another policy for the same tiers."""
    shutil.copytree(bundle / "phone", folder)
    tier = TierBundle.open(folder)
    on = StoredPolicy.load(folder).fitted_on
    for old in folder.glob("policy.*"):
        old.unlink()
    StoredPolicy(policy, dict(on)).save(folder)
    write_manifest(folder, tier.manifest.model_copy(update={"files": file_records(folder)}))
    return folder


class Replayed(NamedTuple):
    """What a replay says of one text."""

    path: tuple[Visit, ...]
    cost: float
    probabilities: list[float]


def replayed(run: Run, policy: Policy, deployment: Deployment) -> list[Replayed]:
    """What a policy does with the test split, one text after the other."""
    trace = run.trace("test")
    steps, costs = policy.steps(site_of(trace, deployment)), policy.replay(trace, deployment).cost
    found = []
    for row in range(len(trace)):
        walk, look = walked(steps, trace, deployment, row)
        said = walk.looks[look].probabilities.tolist()
        found.append(Replayed(tuple(walk.visits), float(costs[row]), said))
    return found
