"""Policies made of routers, and what their replay leaves."""

from __future__ import annotations

import math
from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dimec.base.errors import ConfigError, DataError
from dimec.policies import (
    OraclePolicy,
    Outcome,
    Policy,
    RandomPolicy,
    RouterPolicy,
    tier_outcome,
)
from dimec.routing import CentroidRouter, RandomRouter, SingleTierRouter
from dimec.tiers.deployment import Deployment
from dimec.tiers.usage import Usage
from dimec.traces.trace import Trace
from support import reference
from support.builders import TraceFactory, deployment_of, trace_of_answers, traces


def fitted(trace: Trace, adaptive: bool = False) -> CentroidRouter:
    """A router fitted on the trace itself, all three pools in turn."""
    return CentroidRouter(adaptive).fit(trace.embeddings, np.arange(len(trace)) % 3)


def every_policy(trace: Trace) -> list[Policy]:
    """One of each kind."""
    return [
        RouterPolicy("fixed", fitted(trace)),
        RouterPolicy("adaptive", fitted(trace, adaptive=True)),
        RouterPolicy("all-edge", SingleTierRouter(1)),
        RouterPolicy("drawn", RandomRouter(seed=3)),
        RandomPolicy("random"),
        RandomPolicy("skewed", [0.5, 0.25, 0.25]),
        OraclePolicy(),
    ]


def assert_same(one: Outcome, two: Outcome) -> None:
    """Bit for bit."""
    for name in ("answers", "tiers"):
        assert np.array_equal(getattr(one, name), getattr(two, name)), name
    for part in fields(Usage):
        mine, theirs = getattr(one.usage, part.name), getattr(two.usage, part.name)
        assert np.array_equal(mine, theirs), part.name


def cost_of(outcome: Outcome, trace: Trace) -> list[float]:
    """In units of λ."""
    return [float(cost) for cost in deployment_of(trace).price(outcome.usage)]


@given(traces())
def test_every_outcome_adds_up(trace: Trace) -> None:
    tiers = deployment_of(trace).tiers
    for policy in every_policy(trace):
        outcome = policy.replay(trace, deployment_of(trace))
        assert outcome.answers.shape == (len(trace), len(trace.exits))
        assert outcome.tiers.shape == (len(trace), 3)
        assert len(outcome.usage) == len(trace)
        for weights in (outcome.answers, outcome.tiers):
            assert np.all(weights >= 0)
            np.testing.assert_allclose(weights.sum(axis=1), 1, rtol=0, atol=1e-12)
        prices = [tier.price for tier in tiers]
        np.testing.assert_allclose(
            cost_of(outcome, trace), outcome.tiers @ prices, rtol=0, atol=1e-12
        )
        # An exit's answers are those of the tiers that stand there, one or several.
        for column, layer in enumerate(trace.exits):
            there = [k for k, tier in enumerate(tiers) if tier.layer == layer]
            expected = outcome.tiers[:, there].sum(axis=1)
            np.testing.assert_allclose(outcome.answers[:, column], expected, rtol=0, atol=1e-12)


@given(traces())
def test_a_replay_changes_neither_trace_nor_policy(trace: Trace) -> None:
    arrays = ("embeddings", "probabilities", "labels", "lengths")
    before = [getattr(trace, name).tobytes() for name in arrays]
    for policy in every_policy(trace):
        first = policy.replay(trace, deployment_of(trace))
        assert_same(policy.replay(trace, deployment_of(trace)), first)
    assert [getattr(trace, name).tobytes() for name in arrays] == before


@given(traces(), st.booleans())
def test_a_routed_policy_takes_the_routers_decisions(trace: Trace, adaptive: bool) -> None:
    router = fitted(trace, adaptive)
    before = router.sums
    outcome = RouterPolicy("dimec", router).replay(trace, deployment_of(trace))
    chosen = router.copy().route(trace.embeddings)
    assert outcome.tiers.tolist() == [[float(k == tier) for k in range(3)] for tier in chosen]
    prices = [tier.price for tier in deployment_of(trace).tiers]
    assert cost_of(outcome, trace) == [prices[tier] for tier in chosen]
    assert np.array_equal(router.sums, before)


@given(traces(), st.lists(st.integers(0, 8), min_size=3, max_size=3).filter(any))
def test_a_random_policy_has_the_same_odds_for_every_sample(
    trace: Trace, weights: list[int]
) -> None:
    shares = [weight / sum(weights) for weight in weights]
    outcome = RandomPolicy("random", shares).replay(trace, deployment_of(trace))
    assert outcome.tiers.tolist() == [shares] * len(trace)
    tiers = deployment_of(trace).tiers
    expected = math.fsum(s * t.price for s, t in zip(shares, tiers, strict=True))
    np.testing.assert_allclose(cost_of(outcome, trace), expected, rtol=0, atol=1e-12)
    uniform = RandomPolicy("random").replay(trace, deployment_of(trace))
    assert uniform.tiers.tolist() == [[1 / 3] * 3] * len(trace)


@given(
    st.lists(st.lists(st.booleans(), min_size=3, max_size=3), min_size=1, max_size=8),
    st.sampled_from([(2, 4, 6), (4, 6, 12)]),
)
def test_the_oracle_policy_is_that_of_the_reference(
    right: list[list[bool]], exits: tuple[int, int, int]
) -> None:
    trace = trace_of_answers(right, exits)
    assert trace.correct.tolist() == right
    deployment = deployment_of(trace)
    chosen = reference.oracle(right, [tier.price for tier in deployment.tiers])
    outcome = OraclePolicy().replay(trace, deployment)
    assert outcome.tiers.argmax(axis=1).tolist() == chosen


def test_one_exit_for_all_tiers() -> None:
    """m = n = l: every policy gives the same answers, and they differ in cost alone."""
    trace = trace_of_answers([[True] * 3, [False] * 3], (6, 6, 6))
    assert trace.exits == (6,)
    for policy in every_policy(trace):
        answers = policy.replay(trace, deployment_of(trace)).answers
        np.testing.assert_allclose(answers, 1, rtol=0, atol=1e-15)
    # 1.5·6 = 9 on the mobile, 6 + 2.5 = 8.5 at the edge, 3 + (9 - 3) = 9 in the cloud
    outcome = OraclePolicy().replay(trace, deployment_of(trace))
    assert cost_of(outcome, trace) == [8.5, 8.5]


def test_only_the_oracle_sees_labels(small_trace: TraceFactory) -> None:
    """Other labels, the same decisions; the flag says for which policies that holds."""
    trace = small_trace(30)
    other = small_trace(30, labels=1 - trace.labels)
    for policy in every_policy(trace):
        one = policy.replay(trace, deployment_of(trace))
        two = policy.replay(other, deployment_of(other))
        assert np.array_equal(one.tiers, two.tiers) != policy.sees_labels


def test_a_tier_whose_exit_the_trace_lacks_is_refused(small_trace: TraceFactory) -> None:
    trace = small_trace()
    for policy in every_policy(trace):
        with pytest.raises(ConfigError, match=r"layer 5.*\[2, 4, 6\]"):
            policy.replay(trace, Deployment.paper((2, 5, 6)))


@pytest.mark.parametrize("shape", [(12,), (12, 2), (11, 3)])
def test_weights_of_another_shape_are_refused(
    small_trace: TraceFactory, shape: tuple[int, ...]
) -> None:
    trace = small_trace(12)
    got = str(shape).replace("(", r"\(").replace(")", r"\)")
    with pytest.raises(DataError, match=rf"\(12, 3\), got {got}"):
        tier_outcome(trace, deployment_of(trace), np.ones(shape))


def test_shares_of_another_number_are_refused(small_trace: TraceFactory) -> None:
    trace = small_trace(12)
    with pytest.raises((ConfigError, DataError), match="3"):
        RandomPolicy("random", [0.5, 0.5]).replay(trace, deployment_of(trace))


@pytest.mark.parametrize(
    "shares", [[0.5, 0.5, 0.5], [0.1, 0.1, 0.1], [1.5, -0.5, 0.0], [math.nan, 0.5, 0.5]]
)
def test_shares_that_are_no_probabilities_are_refused(
    small_trace: TraceFactory, shares: list[float]
) -> None:
    trace = small_trace(12)
    with pytest.raises(ConfigError, match="sum to 1, got"):
        RandomPolicy("random", shares).replay(trace, deployment_of(trace))
