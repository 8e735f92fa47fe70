"""Which of a policy's steps can be taken where it is served."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np
import pytest

from dimec.base.arrays import FloatArray
from dimec.base.errors import ConfigError, DataError
from dimec.policies.base import Outcome, Policy
from dimec.policies.drive import drive, walked
from dimec.policies.kinds import Storable, kind_of
from dimec.policies.literature.adaee import AdaEEPolicy
from dimec.policies.literature.dimee import MaxSoftmaxPolicy, MaxSoftmaxTiersPolicy
from dimec.policies.literature.exit_thresholds import ThresholdsPolicy
from dimec.policies.literature.neurosurgeon import NeurosurgeonPolicy
from dimec.policies.reach import served_steps
from dimec.policies.registry import FitInputs
from dimec.policies.routed import RouterPolicy
from dimec.policies.servable import fit_servable
from dimec.policies.step import Answer, FixedSteps, Go, Signal, Site, Step, Steps, Walk
from dimec.routing import CentroidRouter, SingleTierRouter
from dimec.tiers.deployment import Deployment
from dimec.traces.trace import Trace
from support.builders import make_trace
from support.fuzzing import extreme_arrays

WIDTH = 4
PAPER = Site(Deployment.paper((2, 4, 6)), (1, 2, 4, 6))


def router(pools: int = 3, width: int = WIDTH) -> RouterPolicy:
    rows = np.eye(pools, width)
    return RouterPolicy("dimec", CentroidRouter().fit(rows, np.arange(pools), pools))


class Saying(FixedSteps):
    """A policy that says what it is told to, and is its own steps."""

    name, replay_only = "saying", ""
    sees_labels = learns_online = False

    def __init__(self, first: Step, *reach: Go) -> None:
        self.first, self.reach = first, reach

    def steps(self, site: Site) -> Steps:
        return self

    def begin(self, signal: Signal) -> Step:
        return self.first

    def after(self, walk: Walk) -> Step:
        return Answer()

    def replay(self, trace: Trace, deployment: Deployment) -> Outcome:
        return drive(self, trace, deployment)


@pytest.mark.parametrize(
    ("policy", "stops"),
    [
        (router(), (2,)),
        (RouterPolicy("cloud", SingleTierRouter(2)), (2,)),
        (MaxSoftmaxTiersPolicy(0.9), (1, 2)),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_what_all_tiers_can_do_is_served(policy: Policy, stops: Sequence[int]) -> None:
    steps = served_steps(policy, PAPER, stops, WIDTH)
    assert all(step.tier in range(3) for step in steps.reach)


@pytest.mark.parametrize(
    ("policy", "site", "words"),
    [
        (MaxSoftmaxTiersPolicy(0.9), PAPER, r"layer 1 on the mobile, .* at 2; leave looks"),
        (
            MaxSoftmaxTiersPolicy(0.9),
            Site(Deployment.paper((2, 4, 6)), (2, 3, 4, 6)),
            "layer 3 on the edge, whose server answers at layer 4 only",
        ),
        (
            MaxSoftmaxPolicy(0.9),
            Site(PAPER.deployment, (2, 4, 6)),
            "layer 4 on .* more layers",
        ),
        (AdaEEPolicy(0.1, 0.1), PAPER, "adaee hands on hidden states to the cloud"),
        (NeurosurgeonPolicy("latency"), PAPER, "can be replayed, and not served"),
        (Saying(Go(0, 2), Go(3, 6)), PAPER, "goes to tier 3 of 3"),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_a_step_that_cannot_be_taken_is_refused(policy: Policy, site: Site, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        served_steps(policy, site, (2,), WIDTH)


@pytest.mark.parametrize(
    ("policy", "words"),
    [
        (router(width=5), r"cannot decide on embeddings of 4 values \(DataError: .*4"),
        (router(pools=2), "scores 2 tiers, expected 3"),
        (RouterPolicy("cloud", SingleTierRouter(3)), r"cannot decide .*IndexError"),
        (Saying(Answer()), "answers before any exit was seen"),
    ],
    ids=["width", "pools", "tier", "answer"],
)
def test_a_policy_of_another_model_or_other_tiers_is_found_out(policy: Policy, words: str) -> None:
    with pytest.raises(DataError, match=words):
        served_steps(policy, PAPER, (2,), WIDTH)


@pytest.mark.parametrize(
    ("thresholds", "words"),
    [
        (np.full((2, 1), 2.0), r"behind 1 exits of 3 classes \(IndexError: index 2"),
        (np.full((2, 3), 2.0), ""),
    ],
)
def test_a_policy_of_other_classes_is_found_out(thresholds: FloatArray, words: str) -> None:
    """Not at its first step, but behind an exit that says what the policy has no number for."""
    policy = ThresholdsPolicy("exit-cascade", ((0, 2), (1, 4), (2, 6)), thresholds)
    site = Site(PAPER.deployment, (2, 4, 6))
    served_steps(policy, site, (2,), WIDTH)
    if not words:
        assert served_steps(policy, site, (2,), WIDTH, 3).reach
        return
    with pytest.raises(DataError, match=words):
        served_steps(policy, site, (2,), WIDTH, 3)


@pytest.mark.parametrize("name", ["exit-cascade", "deferral", "knn", "cats", "cascade"])
def test_parts_that_no_fit_made_are_refused_or_lead_to_an_answer(name: str) -> None:
    trace = make_trace(40, exits=(1, 2, 4, 6), tiers=(2, 4, 6))
    fitted = fit_servable(name, FitInputs(trace, PAPER.deployment, 0.02), {})
    policy = cast(Storable, fitted.policy)
    refused = 0
    for what, arrays in extreme_arrays(policy.arrays()):
        try:
            made = kind_of(policy.kind)(policy.name, policy.settings(), arrays)
            steps = served_steps(made, PAPER, (1, 2), WIDTH, 2)
        except (KeyError, TypeError, ValueError, OverflowError, ConfigError, DataError):
            refused += 1
            continue
        for sample in range(10):
            _, look = walked(steps, trace, PAPER.deployment, sample)
            assert look == -1, what
    assert refused > 5


def test_a_policy_that_leads_back_is_found_out() -> None:
    class Back(Saying):
        def after(self, walk: Walk) -> Step:
            return self.first

    with pytest.raises(DataError, match="a step leads on, but this one goes from mobile, layer 2"):
        served_steps(Back(Go(0, 2)), PAPER, (2,), WIDTH, 2)
