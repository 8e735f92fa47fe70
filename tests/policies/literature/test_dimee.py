"""Early exit by confidence, alone, over three tiers, and as the teacher of DIMEE's router."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dimec.base.errors import ConfigError
from dimec.policies import Outcome, Policy
from dimec.policies.literature.dimee import (
    MaxSoftmaxPolicy,
    MaxSoftmaxTiersPolicy,
    fit_depth_router,
)
from dimec.policies.literature.early_exit import CONFIDENCE_THRESHOLDS
from dimec.policies.registry import system
from dimec.tiers.costs import CostModel
from dimec.tiers.deployment import Deployment
from dimec.traces.trace import Trace
from support import reference
from support.builders import make_trace
from support.scenes import ODD_COSTS, Scene, scenes

thresholds = st.sampled_from([0.0, *CONFIDENCE_THRESHOLDS, 1.0])


def slow_exits(trace: Trace, threshold: float) -> list[int]:
    """The layer of the first exit whose largest probability is at least the threshold."""

    def leaves(sample: list[list[float]]) -> int:
        for layer, p in zip(trace.exits, sample, strict=True):
            if max(p) >= threshold:
                return layer
        return trace.exits[-1]

    return [leaves(sample) for sample in trace.probabilities.tolist()]


def slow_journey(
    sample: list[list[float]], exits: tuple[int, ...], deployment: Deployment, threshold: float
) -> tuple[int, int, float]:
    """(layer, tier, cost) of one sample on its way from the mobile to the cloud."""
    m, n, l = deployment.exits  # noqa: E741
    costs, spent = deployment.costs, 0.0
    for tier, low, high, price in ((0, 0, m, costs.mobile_layer), (1, m, n, costs.edge_layer)):
        own = [layer for layer in exits if low < layer <= high]
        if not own:
            continue
        spent += costs.offload_edge if tier == 1 else 0.0
        for layer in own:
            if max(sample[exits.index(layer)]) >= threshold or layer == l:
                return layer, tier, spent + price * layer
        spent += price * high
    gamma = costs.charge(l)
    return l, 2, spent + costs.offload_cloud + gamma


def decisions(outcome: Outcome, trace: Trace, deployment: Deployment) -> list[tuple[int, int]]:
    """(layer, tier) of each answer."""
    layers = [trace.exits[row.index(1.0)] for row in outcome.answers.tolist()]
    return list(zip(layers, outcome.tiers.argmax(axis=1).tolist(), strict=True))


def sample_of(*confidence: float) -> Trace:
    """One sample of two classes, with this confidence at each of the exits 1, 2, 3, …"""
    p = np.array([[1 - c, c] for c in confidence], np.float32)
    layers = tuple(range(1, len(confidence) + 1))
    return make_trace(1, exits=layers, tiers=(1, 1, layers[-1]), probabilities=p[None])


@given(scenes(), thresholds)
def test_alone_on_the_mobile(scene: Scene, threshold: float) -> None:
    trace, deployment = scene.trace("test"), scene.deployment
    outcome = MaxSoftmaxPolicy(threshold).replay(trace, deployment)
    layers = slow_exits(trace, threshold)
    assert decisions(outcome, trace, deployment) == [(layer, 0) for layer in layers]
    assert deployment.price(outcome.usage).tolist() == [1.5 * layer for layer in layers]


@given(scenes(), thresholds, st.sampled_from(ODD_COSTS))
def test_from_tier_to_tier(scene: Scene, threshold: float, costs: CostModel) -> None:
    trace, deployment = scene.trace("test"), Deployment.paper(scene.tiers, costs)
    outcome = MaxSoftmaxTiersPolicy(threshold).replay(trace, deployment)
    expected = [
        slow_journey(sample, trace.exits, deployment, threshold)
        for sample in trace.probabilities.tolist()
    ]
    found = decisions(outcome, trace, deployment)
    assert found == [(layer, tier) for layer, tier, _ in expected]
    np.testing.assert_allclose(
        deployment.price(outcome.usage), [cost for _, _, cost in expected], rtol=1e-12
    )


@pytest.mark.parametrize(
    ("confidence", "answer", "cost"),
    [
        # m = 2, n = 4, l = 6; λ_m = 1.5, λ_e = 1, o_e = 2.5, o_c = 3, γ = 6
        ((0.9, 0.5, 0.5, 0.5, 0.5, 0.5), (1, 0), 1.5),
        ((0.5, 0.75, 0.5, 0.5, 0.5, 0.5), (2, 0), 3.0),
        ((0.5, 0.5, 0.9, 0.5, 0.5, 0.5), (3, 1), 3.0 + 2.5 + 3.0),
        ((0.5, 0.5, 0.5, 0.9, 0.5, 0.5), (4, 1), 3.0 + 2.5 + 4.0),
        ((0.5, 0.5, 0.5, 0.5, 0.9, 0.5), (6, 2), 3.0 + 6.5 + 9.0),
        ((0.5, 0.5, 0.5, 0.5, 0.5, 0.5), (6, 2), 3.0 + 6.5 + 9.0),
    ],
)
def test_from_tier_to_tier_by_hand(
    confidence: tuple[float, ...], answer: tuple[int, int], cost: float
) -> None:
    trace, deployment = sample_of(*confidence), Deployment.paper((2, 4, 6))
    outcome = MaxSoftmaxTiersPolicy(0.75).replay(trace, deployment)
    assert decisions(outcome, trace, deployment) == [answer]
    assert deployment.price(outcome.usage).tolist() == [cost]


@pytest.mark.parametrize(
    ("tiers", "answer", "cost"),
    [
        ((2, 2, 6), (6, 2), 3.0 + 9.0),  # no edge of its own: straight to the cloud
        ((2, 6, 6), (6, 1), 3.0 + 8.5),  # the edge has the last exit: nothing goes further
        ((6, 6, 6), (6, 0), 9.0),
    ],
)
def test_a_tier_without_exits_of_its_own_is_passed_over(
    tiers: tuple[int, int, int], answer: tuple[int, int], cost: float
) -> None:
    trace, deployment = sample_of(*[0.5] * 6), Deployment.paper(tiers)
    outcome = MaxSoftmaxTiersPolicy(0.75).replay(trace, deployment)
    assert decisions(outcome, trace, deployment) == [answer]
    assert deployment.price(outcome.usage).tolist() == [cost]


def test_the_threshold_itself_is_enough() -> None:
    trace, deployment = sample_of(0.75, 0.9, 1.0), Deployment.paper((3, 3, 3))
    for threshold, layer in ((0.75, 1), (np.nextafter(0.75, 1), 2), (1.0, 3)):
        outcome = MaxSoftmaxPolicy(float(threshold)).replay(trace, deployment)
        assert decisions(outcome, trace, deployment) == [(layer, 0)]


@given(scenes(), thresholds)
def test_dimees_router_is_the_nearest_mean_of_the_pools_by_depth(
    scene: Scene, threshold: float
) -> None:
    """Pools, means and distances in loops, from the exits that the slow rule takes."""
    validation, test = scene.trace("validation"), scene.trace("test")
    m, n, _ = scene.tiers
    pools = []
    for layer in slow_exits(validation, threshold):
        pools.append(0 if layer <= m else 1 if layer <= n else 2)
    averages, sizes = reference.pool_averages(validation.embeddings.tolist(), pools)
    expected, _, _ = reference.route(test.embeddings.tolist(), averages, sizes, adaptive=False)
    router = fit_depth_router(validation, scene.deployment, threshold)
    assert router.counts.tolist() == sizes
    assert router.route(test.embeddings).tolist() == [one.tier for one in expected]


@given(scenes())
def test_dimee_takes_the_threshold_that_routes_the_validation_split_best(scene: Scene) -> None:
    inputs = scene.inputs()
    trace, prices = inputs.validation, [tier.price for tier in scene.deployment.tiers]
    columns = [trace.exits.index(layer) for layer in scene.tiers]
    rewards = []
    for threshold in CONFIDENCE_THRESHOLDS:
        router = fit_depth_router(trace, scene.deployment, threshold)
        total = 0.0
        for i, tier in enumerate(router.route(trace.embeddings).tolist()):
            total += bool(trace.correct[i, columns[tier]]) - inputs.lam * prices[tier]
        rewards.append(total / len(trace))
    fit = system("dimee").fit(inputs)
    assert fit.reward == pytest.approx(max(rewards), rel=0, abs=1e-12)
    chosen = CONFIDENCE_THRESHOLDS.index(fit.settings["threshold"])
    assert rewards[chosen] == pytest.approx(max(rewards), rel=0, abs=1e-12)
    router = fit_depth_router(trace, scene.deployment, fit.settings["threshold"])
    test = scene.trace("test")
    again = system("dimee").make(router).replay(test, scene.deployment)
    assert np.array_equal(again.tiers, fit.policy.replay(test, scene.deployment).tiers)


@pytest.mark.parametrize("kind", [MaxSoftmaxPolicy, MaxSoftmaxTiersPolicy])
@pytest.mark.parametrize("threshold", [-0.1, 1.1, math.nan])
def test_a_threshold_that_makes_no_sense_is_refused(
    kind: Callable[[float], Policy], threshold: float
) -> None:
    with pytest.raises(ConfigError, match=f"between 0 and 1, got {threshold}"):
        kind(threshold)
