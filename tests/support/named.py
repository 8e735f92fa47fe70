"""The finished tiny run on other tiers than the paper's: fitted anew, and not trained anew."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import numpy as np

from dimec.policies.base import Policy
from dimec.policies.kinds import StoredPolicy
from dimec.policies.routed import RouterPolicy
from dimec.routing import CentroidRouter
from dimec.runs.run import Run
from dimec.tiers.deployment import Deployment

TWO = {"mobile": 2, "cloud": 4}
FOUR = {"phone": 1, "gateway": 2, "box": 2, "dc": 4}


def named_run(
    finished: Path, folder: Path, tiers: Mapping[str, int], policy: Policy | None = None
) -> Run:
    """A copy of a run with a policy for tiers of these names and layers.

    Args:
        finished: a trained run with exits at these layers.
        folder: where the copy goes.
        tiers: name → layer, from the device on.
        policy: by default a router whose pools, one a tier, are as large as each other.
    """
    run = Run(shutil.copytree(finished, folder))
    deployment = Deployment.paper(tuple(tiers.values()), names=tuple(tiers))
    if policy is None:
        embeddings = run.trace("validation").embeddings
        order = embeddings[:, 0].argsort().argsort()  # by a component, so that pools lie apart
        pools = order * len(tiers) // len(order)
        router = CentroidRouter().fit(embeddings, pools.astype(np.int64), len(tiers))
        policy = RouterPolicy("dimec", router)
    fitted_on = {
        "model": run.training()["model"],
        "lam": 0.01,
        "tiers": deployment.to_json(),
        "costs": asdict(deployment.costs),
    }
    StoredPolicy(policy, fitted_on).save(run.path)
    return run
