"""A policy that is one function does what the same rule does as a class."""

from __future__ import annotations

import numpy as np
import pytest

from dimec.base.errors import ConfigError
from dimec.evaluation.evaluate import evaluate
from dimec.policies import (
    Answer,
    Go,
    Policy,
    Signal,
    Site,
    Step,
    Walk,
    WrittenPolicy,
    tier_outcome,
)
from dimec.policies.base import one_hot
from dimec.policies.literature.dimee import MaxSoftmaxTiersPolicy
from dimec.tiers.deployment import Deployment
from support.builders import make_trace

DEPLOYMENT = Deployment.paper((2, 4, 6))


def step_up(walk: Walk, site: Site) -> Step:
    """One tier after the other, until one is sure."""
    if walk.last.confidence >= 0.7 or walk.last.tier == site.deployment.last:
        return Answer()
    return Go(walk.last.tier + 1, site.deployment.exits[walk.last.tier + 1])


def test_it_agrees_with_the_class_of_the_same_rule() -> None:
    trace = make_trace(60)
    got = WrittenPolicy("mine", step_up).replay(trace, DEPLOYMENT)
    expected = MaxSoftmaxTiersPolicy(0.7).replay(trace, DEPLOYMENT)
    np.testing.assert_array_equal(got.answers, expected.answers)
    np.testing.assert_allclose(got.cost, expected.cost)
    assert 3 < got.cost.mean() < 18  # some stay, some go on


def test_it_may_choose_before_any_layer_has_run() -> None:
    trace = make_trace(60)

    def by_length(signal: Signal, site: Site) -> Go:
        tier = 0 if signal.tokens < 20 else site.deployment.last
        return Go(tier, site.deployment.exits[tier])

    policy = WrittenPolicy("mine", lambda walk, site: Answer(), by_length)
    chosen = np.where(trace.lengths < 20, 0, 2)
    expected = tier_outcome(trace, DEPLOYMENT, one_hot(chosen, 3))
    got = policy.replay(trace, DEPLOYMENT)
    np.testing.assert_array_equal(got.tiers, expected.tiers)
    np.testing.assert_array_equal(got.cost, expected.cost)


def test_it_is_a_policy_with_its_row_that_is_not_served() -> None:
    trace, policy = make_trace(60), WrittenPolicy("mine", step_up)
    assert isinstance(policy, Policy)
    row = evaluate(trace, [policy], DEPLOYMENT, draws=5).row("mine")
    assert row.cost == pytest.approx(policy.replay(trace, DEPLOYMENT).cost.mean())
    with pytest.raises(ConfigError, match="mine can be replayed, and not served: no file"):
        policy.steps(Site(DEPLOYMENT, trace.exits))


def test_a_step_that_leads_back_is_refused() -> None:
    policy = WrittenPolicy("mine", lambda walk, site: Go(0, 2))
    with pytest.raises(ConfigError, match="a step leads on, but this one goes from mobile"):
        policy.replay(make_trace(3), DEPLOYMENT)
