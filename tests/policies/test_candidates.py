"""Candidates of a contract: every policy that may be served, told by rows that it has not seen."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dimec.base.errors import ConfigError
from dimec.evaluation.replay import replay
from dimec.policies.candidates import (
    candidates_of,
    did,
    inputs_of,
    single_tiers,
    stands_of,
    why_not,
)
from dimec.policies.chance import RandomPolicy
from dimec.policies.registry import FitInputs, system
from dimec.runs.deploying import basis_of
from support.written import N, written_run

LAMBDAS = (0.002, 0.02, 0.1)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> FitInputs:
    run = written_run(Path(tmp_path_factory.mktemp("candidates") / "run"))
    basis = basis_of(run, None, None, None)
    return FitInputs(basis.trace, basis.deployment, 0.02, basis.data_map)


def test_single_tiers_answer_as_their_exits_at_their_prices(inputs: FitInputs) -> None:
    trace, deployment = inputs.validation, inputs.deployment
    some = single_tiers(inputs)
    assert [one.told() for one in some] == ["all-mobile", "all-edge", "all-cloud"]
    for one, layer, price in zip(some, deployment.exits, deployment.prices, strict=True):
        np.testing.assert_array_equal(one.did.classes, trace.predictions[:, trace.column(layer)])
        assert one.did.cost == pytest.approx(np.full(N, price))


def test_a_grid_gives_a_candidate_for_each_of_its_values(inputs: FitInputs) -> None:
    one = system("max-softmax-tiers")
    some = candidates_of(one, inputs)
    assert [c.fitted.settings["threshold"] for c in some] == list(one.grid["threshold"])
    assert some[0].told() == "max-softmax-tiers with threshold 0.5"
    for each in some:
        told = did(each.policy, inputs.validation, inputs.deployment)
        np.testing.assert_array_equal(each.did.classes, told.classes)


@pytest.mark.parametrize("name", ["cascade", "dimec-fixed-quantile"])
def test_what_is_fitted_is_told_by_the_rows_that_it_has_not_seen(
    inputs: FitInputs, name: str
) -> None:
    """Of five folds, each by a fit to the others, done again here one by one."""
    some = candidates_of(system(name), inputs, seed=3, lambdas=LAMBDAS)
    fold = np.random.default_rng(3).permutation(N) % 5
    for each in some:
        assert each.told() == f"{name} at lambda {each.lam:g}"
        for number in range(5):
            held = np.flatnonzero(fold == number)
            part = inputs_of(inputs, np.flatnonzero(fold != number))
            assert each.lam is not None
            refitted = system(name).fit(
                FitInputs(part.validation, part.deployment, each.lam, part.data_map)
            )
            told = did(refitted.policy, inputs.validation.take(held), inputs.deployment)
            np.testing.assert_array_equal(each.did.classes[held], told.classes)
            assert each.did.cost[held] == pytest.approx(told.cost)


class TestStands:
    def test_of_what_is_fitted_they_are_those_of_the_candidates(self, inputs: FitInputs) -> None:
        one = system("deferral")
        some = candidates_of(one, inputs, seed=3, lambdas=LAMBDAS)
        for stand, each in zip(stands_of(one, inputs, 3, LAMBDAS), some, strict=True):
            assert stand.lam == each.lam
            right = each.did.classes == inputs.validation.labels
            np.testing.assert_array_equal(stand.right, right)
            np.testing.assert_array_equal(stand.cost, each.did.cost)

    def test_of_what_goes_on_learning_they_are_those_of_a_replay(self, inputs: FitInputs) -> None:
        (stand, *_) = stands_of(system("splitee"), inputs, lambdas=LAMBDAS)
        seen = replay(stand.fitted.policy, inputs.validation, inputs.deployment)
        np.testing.assert_array_equal(stand.right, seen.right)
        np.testing.assert_array_equal(stand.cost, seen.cost)

    def test_rows_that_none_was_fitted_to_stand_behind(self, inputs: FitInputs) -> None:
        rows = np.arange(N)
        less, more = inputs_of(inputs, rows[:20]), inputs.validation.take(rows[20:])
        one = system("deferral")
        for stand, short in zip(
            stands_of(one, less, 0, LAMBDAS, more), stands_of(one, less, 0, LAMBDAS), strict=True
        ):
            unseen = replay(stand.fitted.policy, more, inputs.deployment)
            np.testing.assert_array_equal(stand.right, [*short.right, *unseen.right])
            np.testing.assert_array_equal(stand.cost, [*short.cost, *unseen.cost])


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("dimec-adaptive-quantile", "goes on learning"),
        ("splitee", "goes on learning"),
        ("pabee", "cannot be served on these tiers"),
        ("neurosurgeon-latency", "cannot be served"),
    ],
)
def test_what_a_contract_cannot_take_is_refused(inputs: FitInputs, name: str, reason: str) -> None:
    with pytest.raises(ConfigError, match=f"^{name} {reason}"):
        candidates_of(system(name), inputs)


def test_what_draws_lots_is_refused(inputs: FitInputs) -> None:
    with pytest.raises(ConfigError, match="random draws lots"):
        did(RandomPolicy("random"), inputs.validation, inputs.deployment)


def test_what_it_can_take_has_no_reason_against_it(inputs: FitInputs) -> None:
    assert all(why_not(one.policy, inputs) == "" for one in single_tiers(inputs))
