"""The way from exit to exit, and what it costs, by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dimec.base.errors import ConfigError
from dimec.policies.drive import drive, site_of
from dimec.policies.literature.exit_thresholds import one_threshold
from dimec.policies.literature.exit_walk import best_along, seen_along, stored_way, way_of
from dimec.policies.registry import FitInputs, system, validation_reward
from dimec.policies.step import Site
from dimec.tiers.costs import CostModel
from dimec.tiers.deployment import Deployment
from dimec.tiers.tier import Tier
from dimec.traces.sources import joint_model
from support.builders import make_trace
from support.scenes import assert_same

PRICES = CostModel(
    mobile_layer=1.0, edge_layer=0.5, offload_edge=2.0, offload_cloud=3.0, cloud_charge=10.0
)


def site(
    tiers: tuple[int, ...],
    exits: tuple[int, ...] = (1, 2, 3, 4, 5, 6),
    names: list[str] | None = None,
) -> Site:
    return Site(Deployment.paper(tiers, PRICES, names), exits)


def test_the_way_leads_through_the_first_tiers_exits_and_then_from_tier_to_tier() -> None:
    assert way_of(site((2, 3, 6))) == ((0, 1), (0, 2), (1, 3), (2, 6))
    assert way_of(site((2, 3, 6)), between=False) == ((0, 1), (0, 2), (2, 6))
    assert way_of(site((2, 6), names=["a", "b"])) == ((0, 1), (0, 2), (1, 6))


def test_layer_0_is_not_looked_at() -> None:
    assert way_of(site((2, 3, 6), (0, 2, 3, 6))) == ((0, 2), (1, 3), (2, 6))


def test_a_tier_that_would_say_the_same_again_is_passed_over() -> None:
    assert way_of(site((2, 2, 6))) == ((0, 1), (0, 2), (2, 6))
    assert way_of(site((2, 6, 6))) == ((0, 1), (0, 2), (1, 6))
    assert way_of(site((2, 6, 6)), between=False) == ((0, 1), (0, 2), (2, 6))
    assert way_of(site((1, 1, 1))) == ((0, 1),)


def test_tiers_may_have_models_of_their_own() -> None:
    phone, cloud = Tier("phone", 2, 1.0, source="small"), Tier("cloud", 2, 4.0, source="large")
    own = Site(Deployment((phone, cloud)), (1, 2, 2), ("small", "small", "large"))
    assert way_of(own) == ((0, 1), (0, 2), (1, 2))


def test_a_single_tier_and_one_without_exits_are_refused() -> None:
    with pytest.raises(ConfigError, match="a second tier"):
        way_of(Site(Deployment.paper((6,), names=["cloud"]), (6,)))
    with pytest.raises(ConfigError, match="needs an exit on the first tier"):
        way_of(site((2, 3, 6), (3, 6)))


def test_what_is_spent_adds_up_along_the_way() -> None:
    """Mobile 1 a layer; edge 2 + 3/2; cloud 3 + 10."""
    trace = make_trace(3, exits=(1, 2, 3, 6), tiers=(2, 3, 6))
    deployment = Deployment.paper((2, 3, 6), PRICES)
    seen = seen_along(trace, deployment)
    np.testing.assert_allclose(seen.costs, [1, 2, 5.5, 18.5])
    np.testing.assert_allclose(seen_along(trace, deployment, between=False).costs, [1, 2, 15])
    np.testing.assert_array_equal(seen.right, trace.correct)
    np.testing.assert_array_equal(seen.predictions, trace.predictions)
    np.testing.assert_array_equal(seen.confidences, trace.confidences)


def test_other_exits_than_it_was_fitted_for_are_refused() -> None:
    trace = make_trace(5, exits=(1, 2, 3, 6), tiers=(2, 3, 6))
    policy = one_threshold("mine", seen_along(trace, Deployment.paper((2, 3, 6))), 0.8)
    said = r"mine was fitted for other exits or tiers \(layer 1 at tier 1, .* layer 6 at tier 3\)"
    with pytest.raises(ConfigError, match=said):
        policy.replay(trace, Deployment.paper((1, 3, 6)))
    with pytest.raises(ConfigError, match=said):
        policy.steps(site_of(trace, Deployment.paper((1, 3, 6))))


def test_of_candidates_each_lambda_takes_the_best() -> None:
    trace = make_trace(60, exits=(1, 2, 3, 6), tiers=(2, 3, 6), seed=4)
    deployment = Deployment.paper((2, 3, 6), PRICES)
    seen = seen_along(trace, deployment)
    made = [(one_threshold("mine", seen, t), {"t": t}) for t in (0.0, 0.7, 0.9, 2.0)]
    lambdas = [0.0, 0.01, 1.0]
    for lam, found in zip(
        lambdas, best_along(made, FitInputs(trace, deployment, 0.5), lambdas), strict=True
    ):
        inputs = FitInputs(trace, deployment, lam)
        rewards = [validation_reward(policy, inputs) for policy, _ in made]
        assert found.reward == pytest.approx(max(rewards), abs=1e-12)
        assert found.settings == made[rewards.index(max(rewards))][1]
    assert found.settings == {"t": 0.0}  # where cost is all, the first exit answers


def test_a_file_that_holds_no_way() -> None:
    assert stored_way({"way": [[0, 1], [1, 6]]}) == ((0, 1), (1, 6))
    wrong: list[dict[str, Any]] = [{}, {"way": []}, {"way": [[0, 1]], "more": 1}]
    for settings in wrong:
        with pytest.raises(ValueError, match="expected a way"):
            stored_way(settings)


@pytest.mark.parametrize("name", ["class-cascade", "deferral", "knn", "cats", "calm"])
def test_tiers_with_models_of_their_own_are_replayed_as_they_are_served(name: str) -> None:
    sources = ("small", "small", "large")
    models = {"small": "a" * 64, "large": "b" * 64}
    trace = make_trace(
        50,
        exits=(1, 2, 2),
        tiers=(2, 2),
        sources=sources,
        tier_sources=sources[1:],
        models=models,
        model=joint_model(models),
    )
    phone, cloud = Tier("phone", 2, 1.0, source="small"), Tier("cloud", 2, 4.0, source="large")
    deployment = Deployment((phone, cloud))
    policy = system(name).fit(FitInputs(trace, deployment, 0.02)).policy
    driven = drive(policy.steps(site_of(trace, deployment)), trace, deployment)
    assert_same(driven, policy.replay(trace, deployment))


def test_exit_0_comes_first_where_it_is_asked_for_and_there() -> None:
    with_zero = site((2, 3, 6), (0, 1, 2, 3, 6))
    assert way_of(with_zero, exit0=True) == ((0, 0), (0, 1), (0, 2), (1, 3), (2, 6))
    assert way_of(with_zero) == way_of(site((2, 3, 6)), exit0=True)


@pytest.mark.parametrize("name", ["exit0-cascade", "exit0-class-cascade", "exit0-deferral"])
def test_who_looks_at_exit_0_gains_where_it_is_good(name: str) -> None:
    """Exit 0 is always right and sure, the exits after layers are not: all is answered for free."""
    labels = np.arange(60) % 2
    p = np.full((60, 5, 2), 0.5, np.float32)
    p[np.arange(60), 0, labels] = 0.99
    p[np.arange(60), 0, 1 - labels] = 0.01
    p[:, 1:, 0], p[:, 1:, 1] = 0.6, 0.4
    trace = make_trace(60, exits=(0, 1, 2, 3, 6), tiers=(2, 3, 6), probabilities=p, labels=labels)
    deployment = Deployment.paper((2, 3, 6))
    policy = system(name).fit(FitInputs(trace, deployment, 0.01)).policy
    outcome = policy.replay(trace, deployment)
    assert (outcome.answers[:, 0] == 1).all()
    assert (outcome.cost == 0).all()
    blind = {"exit0-cascade": "exit-cascade"}.get(name, name.removeprefix("exit0-"))
    other = system(blind).fit(FitInputs(trace, deployment, 0.01)).policy
    assert (other.replay(trace, deployment).cost > 0).all()
