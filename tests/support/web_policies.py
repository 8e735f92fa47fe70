"""What every servable policy does with random samples, as cases for the policies of web/."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from dimec.base.errors import ConfigError
from dimec.base.storage import read_json
from dimec.policies import Policy
from dimec.policies.drive import site_of, walked
from dimec.policies.kinds import ARRAYS, POLICY, StoredPolicy
from dimec.policies.literature.deferral import DeferralPolicy
from dimec.policies.literature.pabee import PabeePolicy
from dimec.policies.servable import servable
from dimec.policies.step import Answer, Signal, Site, Steps
from dimec.tiers.deployment import Deployment
from dimec.traces.trace import Trace
from support.scenes import OWN_TIERS, Scene, fitted

SAMPLES = 40
SCENES = {
    "exit 0 and all layers": Scene(exits=(0, 1, 2, 3, 4, 6), samples=SAMPLES),
    "two tiers at one exit, three classes": Scene(
        tiers=(6, 6), classes=3, confidences="peaked", samples=SAMPLES
    ),
    "seven classes": Scene(exits=(0, 2, 3, 6), classes=7, samples=SAMPLES),
    "one tier": Scene(exits=(0, 1, 2, 4, 6), tiers=(6,), samples=SAMPLES),
    "models of their own": replace(OWN_TIERS["three models"], samples=SAMPLES),
}
# Their steps hand on hidden states, which no server takes; the package does not know them.
HIDDEN = {"adaee", "splitee", "splitee-s", "i-splitee"}
# Fitted in another way to a kind that another system has as well.
ALIKE = {"dimec-adaptive-quantile", "dimec-fixed-paper", "dimee"}
ALIKE |= {"calm", "class-gate", "exit-cascade", "fast-yet-safe"}


def policy_cases(folder: Path) -> list[dict[str, Any]]:
    """Each policy in each scene that it can be fitted to, and the way of each sample.

    Those that learn do so from each sample, in this order.

    Args:
        folder: where the policies are stored, each in a folder of its own.
    """
    found = []
    systems = sorted(servable().keys() - HIDDEN - ALIKE)
    for number, (scene_name, scene) in enumerate(SCENES.items()):
        trace = scene.trace("test")
        site = site_of(trace, scene.deployment)
        for name in systems:
            try:
                policy = _willing(fitted(name, scene).policy)
                steps = policy.steps(site)
            except ConfigError:  # not for these tiers
                continue
            place = folder / "policies" / f"{number}-{name}"
            StoredPolicy(policy).save(place)
            found.append(
                {
                    "name": f"{name}, {scene_name}",
                    "policy": read_json(place / POLICY, ""),
                    "arrays": f"policies/{place.name}/{ARRAYS}"
                    if (place / ARRAYS).exists()
                    else None,
                    "learns": steps.learns,
                    "site": _site(site),
                    "samples": _samples(policy, steps, trace, scene.deployment),
                }
            )
    return found


def _willing(policy: Policy) -> Policy:
    """Where random exits never let an input go on, or leave early: one that does both."""
    if isinstance(policy, DeferralPolicy):
        return DeferralPolicy(policy.way, policy.models, 0 * policy.margins, policy.name)
    return PabeePolicy(1) if isinstance(policy, PabeePolicy) else policy


def _site(site: Site) -> dict[str, Any]:
    tiers = [{**tier, "version": "1"} for tier in site.deployment.to_json()]
    return {"tiers": tiers, "exits": site.exits, "sources": site.sources}


def _samples(
    policy: Policy, steps: Steps, trace: Trace, deployment: Deployment
) -> list[dict[str, Any]]:
    found = []
    for i in range(len(trace)):
        signal = Signal(trace.embeddings[i], int(trace.lengths[i]))
        first = steps.begin(signal)
        assert not isinstance(first, Answer), policy.name
        walk, look = walked(steps, trace, deployment, i)
        answer = walk.answer(Answer(look))
        found.append(
            {
                "embedding": trace.embeddings[i].tolist(),
                "tokens": signal.tokens,
                "said": trace.probabilities[i].tolist(),
                "first": [first.tier, first.layer],
                "scores": [score if np.isfinite(score) else None for score in first.scores],
                "seen": [[each.tier, each.layer] for each in walk.looks],
                "answer": [answer.tier, answer.layer],
            }
        )
    return found
