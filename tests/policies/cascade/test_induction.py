"""The backward induction: on splits where the best policy is known."""

from __future__ import annotations

import statistics
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from dimec.base.errors import ConfigError
from dimec.policies.base import Policy
from dimec.policies.cascade.induction import (
    Induction,
    Sight,
    choices_of_tiers,
    without_tiers,
)
from dimec.policies.cascade.points import points_of
from dimec.policies.cascade.policy import CascadePolicy
from dimec.policies.cascade.system import cascade_of, fit_cascade, induction_of
from dimec.policies.drive import drive, site_of
from dimec.policies.kinds import kind_of
from dimec.policies.literature.bert import BertPolicy
from dimec.policies.literature.dimee import MaxSoftmaxTiersPolicy
from dimec.policies.registry import FitInputs, validation_reward
from dimec.policies.step import Site
from dimec.tiers.deployment import Deployment
from dimec.traces.trace import Trace
from support.builders import make_trace

TWO = Deployment.paper((2, 6))  # λ_m·2 = 3, and o_c + γ = 9
PAPER = Deployment.paper((2, 3, 6))


def told(sure: np.ndarray[Any, Any], predicted: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """(N, 2) probabilities of a prediction that is this sure."""
    p = np.stack([1 - sure, sure], axis=1)
    return np.where(predicted[:, None] == 1, p, p[:, ::-1])


def split(
    rows: int, seed: int = 0, split_name: str = "validation", deployment: Deployment = TWO
) -> Trace:
    """An exit that is right as often as it says, and a last one that is right on nine in ten."""
    rng = np.random.default_rng([seed, len(split_name)])
    labels = rng.integers(0, 2, rows)
    columns = []
    for layer in deployment.exits:
        last = layer == deployment.layers
        sure = np.full(rows, 0.9) if last else rng.uniform(0.5, 1, rows)
        right = rng.random(rows) < sure
        columns.append(told(sure, np.where(right, labels, 1 - labels)))
    return make_trace(
        rows,
        dim=4,
        exits=deployment.exits,
        tiers=deployment.exits,
        labels=labels,
        probabilities=np.stack(columns, axis=1).astype(np.float32),
        split=split_name,
        seed=seed,
    )


def inputs(lam: float, rows: int = 4000, deployment: Deployment = TWO) -> FitInputs:
    return FitInputs(split(rows, deployment=deployment), deployment, lam)


@pytest.mark.parametrize("lam", [0.01, 0.02, 0.03])
def test_it_goes_on_where_the_gain_is_worth_its_price(lam: float) -> None:
    """Of a calibrated exit: where confidence < 0.9 - λ·9, to the last; by hand."""
    test = split(4000, seed=1, split_name="test")
    outcome = fit_cascade(inputs(lam)).replay(test, TWO)
    sure = test.confidences[:, 0]
    best = 0.9 - lam * 9
    went = outcome.tiers[:, 1] == 1
    looked = outcome.cost != 9  # straight to the last is worth nearly as much as to look first
    wrong = looked & (went != (sure < best))
    assert wrong.mean() < 0.05
    assert np.median(np.abs(sure[wrong] - best)) < 0.02  # and where it errs, it is nearly equal
    assert 0 < went[looked].mean() < 1
    expected = np.where(went, 0.9, sure) - lam * outcome.cost
    by_hand = np.where(sure < best, 0.9 - lam * 12, sure - lam * 3)
    assert expected.mean() > max(by_hand.mean(), 0.9 - lam * 9) - 0.005


@pytest.mark.parametrize(("lam", "tier"), [(0.0, 1), (1.0, 0)])
def test_at_the_ends_it_is_a_single_tier(lam: float, tier: int) -> None:
    """For nothing the last is right more often at first sight; at any price the first answers."""
    test = split(500, seed=2, split_name="test")
    outcome = fit_cascade(inputs(lam)).replay(test, TWO)
    if lam:
        assert (outcome.tiers[:, tier] == 1).all()
    else:  # but where the first exit is surer than nine in ten it is believed
        went = outcome.tiers[:, 1] == 1
        assert went[test.confidences[:, 0] < 0.85].all()
        looked = outcome.cost != 9
        assert looked.mean() > 0.95
        assert not went[looked & (test.confidences[:, 0] > 0.95)].any()


def test_what_it_expects_is_what_comes() -> None:
    """The cross-fitted reward is the test split's, within its error."""
    given = inputs(0.02, deployment=PAPER)
    found = induction_of(given).fit(0.02)
    policy = CascadePolicy(0.02, found.choosers, found.mean, found.axes)
    test = split(20_000, seed=3, split_name="test", deployment=PAPER)
    outcome = policy.replay(test, PAPER)
    right = (outcome.answers * test.correct).sum(axis=1)
    reward = right - 0.02 * outcome.cost
    assert found.reward == pytest.approx(reward.mean(), abs=4 * reward.std() / 4000**0.5)
    assert found.right.mean() == pytest.approx(right.mean(), abs=0.03)
    assert found.cost.mean() == pytest.approx(outcome.cost.mean(), rel=0.1)


@pytest.mark.parametrize("lam", [0.005, 0.02, 0.05])
def test_it_does_not_lose_to_what_it_contains(lam: float) -> None:
    given = inputs(lam, deployment=PAPER)
    test = split(8000, seed=4, split_name="test", deployment=PAPER)
    on_test = FitInputs(test, PAPER, lam)
    cascade = validation_reward(fit_cascade(given), on_test)
    thresholds: list[Policy] = [MaxSoftmaxTiersPolicy(t) for t in np.arange(0.5, 1, 0.05)]
    best = max(thresholds, key=lambda policy: validation_reward(policy, given))
    others: list[Policy] = [best, BertPolicy("cloud"), BertPolicy("mobile")]
    assert cascade > max(validation_reward(policy, on_test) for policy in others) - 0.004


def test_one_induction_serves_every_lambda_and_the_seed_is_of_the_folds() -> None:
    given = inputs(0.02, rows=600)
    ladder = induction_of(given)
    again = induction_of(given).fit(0.02)
    for found in (ladder.fit(0.02), ladder.fit(0.05) and ladder.fit(0.02)):
        for one, other in zip(found.choosers, again.choosers, strict=True):
            np.testing.assert_array_equal(one.weights, other.weights)
    costs = [ladder.fit(lam).cost.mean() for lam in (0.001, 0.01, 0.03, 0.1)]
    assert costs == sorted(costs, reverse=True)
    other_folds = induction_of(given, seed=1).fit(0.02)
    assert other_folds.reward != again.reward


def test_what_is_left_out_is_not_used() -> None:
    """A group of features, and the steps of a point: then what its exit says is the last word."""
    given = inputs(0.01, rows=600, deployment=PAPER)
    points = points_of(site_of(given.validation, PAPER))
    final = [replace(one, goes=(), costs=()) if one.last == (0, 2) else one for one in points]
    found = induction_of(given, points=final, without={"signal"}).fit(0.01)
    for chooser in found.choosers:
        assert not chooser.weights[:, : 1 + len(found.axes)].any()
    ended = cascade_of(found).replay(given.validation, PAPER)
    whole = fit_cascade(given).replay(given.validation, PAPER)
    assert 12.0 in whole.cost  # the mobile's two layers, and then the cloud
    assert 12.0 not in ended.cost
    with pytest.raises(ConfigError, match="no group of features is named 'words'; there are conf"):
        induction_of(given, without=["words"])


def test_what_was_always_right_is_not_taken_for_certain() -> None:
    """Twenty rows on which both exits are right: the first answers, at any price above nothing."""
    rows = 20
    sight = Sight(
        np.random.default_rng(0).standard_normal((rows, 4)),
        np.full(rows, 9),
        {exit_: told(np.full(rows, 0.8), np.ones(rows)) for exit_ in ((0, 2), (1, 6))},
        {exit_: np.ones(rows) for exit_ in ((0, 2), (1, 6))},
    )
    points = points_of(Site(TWO, (2, 6)))
    chance = Induction(points, sight, 2).chance(points[1], (0, 2))
    assert ((chance.out_of_fold > 0.9) & (chance.out_of_fold < 1)).all()


class TestTiersBetween:
    """Inductions without some of the tiers between are made too; more tiers have to earn more."""

    def test_one_with_more_tiers_is_taken_where_it_earns_more_beyond_noise(self) -> None:
        trace = split(1000, deployment=PAPER)
        site = site_of(trace, PAPER)
        taken = []
        for lam in (0.0005, 0.008, 0.02):
            found = induction_of(FitInputs(trace, PAPER, lam)).fit(lam)
            alone = []
            for tiers in choices_of_tiers(len(PAPER)):
                points = [without_tiers(point, tiers) for point in points_of(site)]
                induction = induction_of(FitInputs(trace, PAPER, lam), points=points)
                alone.append(induction._without(frozenset(), lam, {})[()])
            every, less = alone
            more = [
                float(r - lam * c - (s - lam * d))
                for r, c, s, d in zip(every.right, every.cost, less.right, less.cost, strict=True)
            ]
            error = statistics.pstdev(more) / len(more) ** 0.5
            taken.append(statistics.fmean(more) > error)
            assert found.reward == (every if taken[-1] else less).reward(lam)
        assert len(set(taken)) == 2  # both are seen

    def test_one_that_knows_nothing_more_is_left_out_or_never_missed(self) -> None:
        """The second tier says what the first has said, at a price."""
        deployment = Deployment.paper((2, 3, 6))
        base = split(2000, deployment=TWO)
        p = base.probabilities
        trace = make_trace(
            2000,
            dim=4,
            exits=(2, 3, 6),
            tiers=(2, 3, 6),
            labels=base.labels,
            probabilities=np.stack([p[:, 0], p[:, 0], p[:, 1]], axis=1),
            seed=0,
        )
        policy = fit_cascade(FitInputs(trace, deployment, 0.01))
        assert policy.replay(trace, deployment).tiers[:, 1].mean() < 0.01

    def test_a_policy_without_one_is_stored_and_served_like_any(self) -> None:
        trace = split(400, deployment=PAPER)
        site = site_of(trace, PAPER)
        found = induction_of(FitInputs(trace, PAPER, 0.01))
        every = found._without(frozenset(), 0.01, {})
        less = found._without(frozenset({1}), 0.01, every)
        choosers = tuple(less[point.seen].chooser for point in found.points)
        policy = CascadePolicy(0.01, choosers, found.mean, found.axes)
        assert policy.replay(trace, PAPER).tiers[:, 1].sum() == 0
        again = kind_of(policy.kind)(policy.name, policy.settings(), policy.arrays())
        outcome = again.replay(trace, PAPER)
        np.testing.assert_array_equal(outcome.cost, policy.replay(trace, PAPER).cost)
        stepped = drive(again.steps(site), trace, PAPER)
        np.testing.assert_array_equal(stepped.cost, outcome.cost)
        np.testing.assert_array_equal(stepped.answers, outcome.answers)

    @pytest.mark.parametrize(("tiers", "choices"), [(1, 1), (2, 1), (3, 2), (4, 4), (5, 8), (7, 7)])
    def test_how_many_are_tried(self, tiers: int, choices: int) -> None:
        found = choices_of_tiers(tiers)
        assert len(found) == choices == len(set(found))
        assert not any({0, tiers - 1} & some for some in found if tiers > 1)
