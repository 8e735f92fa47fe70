"""Ladders: every policy along its knob, chosen by validation rows, judged by test rows."""

from __future__ import annotations

import numpy as np
import pytest

from dimec.base.progress import NoProgress
from dimec.policies import system, systems
from dimec.policies.candidates import candidates_of, did
from dimec_studies.ladders import Ladders, judged, ladders_of
from dimec_studies.stored import Stored
from support.kept import kept, look_plan


@pytest.fixture(scope="module")
def stored() -> Stored:
    return kept()


@pytest.fixture(scope="module")
def ladders(stored: Stored) -> Ladders:
    return ladders_of(stored, look_plan(), NoProgress())


def test_every_system_has_a_ladder_or_a_reason(ladders: Ladders) -> None:
    there = [one.system for one in ladders.systems]
    assert {*there, *ladders.left_out} == set(systems())
    assert {"cascade", "knn", "cats", "dimec-fixed-quantile", "max-softmax-tiers"} <= {*there}
    assert ladders.left_out["adaee"].startswith("goes on learning")
    assert ladders.left_out["random"] == "cannot be served"


@pytest.mark.parametrize("name", ["cascade", "max-softmax-tiers"])
def test_a_rung_is_seen_on_validation_and_judged_on_test(
    ladders: Ladders, stored: Stored, name: str
) -> None:
    (ladder,) = (one for one in ladders.systems if one.system == name)
    assert ladder.title == system(name).title
    candidates = candidates_of(system(name), stored.inputs(look_plan().lam), 4)
    last = stored.deployment.prices[-1]
    reference = [trace.correct[:, -1].mean() for trace in (stored.validation, stored.test)]
    for rung, candidate in zip(ladder.rungs, candidates, strict=True):
        assert rung.told == candidate.told()
        there = did(candidate.policy, stored.test, stored.deployment)
        np.testing.assert_array_equal(rung.right, there.classes == stored.test.labels)
        point, seen = rung.point, candidate.did
        assert point.accuracy == pytest.approx(rung.right.mean())
        assert point.drop == pytest.approx(reference[1] - rung.right.mean())
        assert point.drop_low <= point.drop <= point.drop_high
        assert point.reduction == pytest.approx(1 - there.cost.mean() / last)
        assert point.reduction_low <= point.reduction <= point.reduction_high
        right = (seen.classes == stored.validation.labels).mean()
        assert point.validation_drop == pytest.approx(reference[0] - right)
        assert point.validation_reduction == pytest.approx(1 - seen.cost.mean() / last)


def test_tiers_stand_alone_and_the_oracle_chooses_among_them(
    ladders: Ladders, stored: Stored
) -> None:
    assert [one.told for one in ladders.tiers] == ["all-mobile", "all-edge", "all-cloud"]
    assert [one.point.cost for one in ladders.tiers] == list(stored.deployment.prices)
    best = stored.test.correct[:, [0, 1, 3]].any(axis=1).mean()
    assert ladders.oracle.point.accuracy == pytest.approx(best)


def test_the_same_traces_are_fitted_once(ladders: Ladders, stored: Stored) -> None:
    assert ladders_of(stored, look_plan(), NoProgress()) is ladders


def test_a_paired_difference_counts_the_rows_on_which_two_differ() -> None:
    right = np.array([True] * 60 + [False] * 40)
    other = np.array([True] * 50 + [False] * 50)
    mean, low, high = judged(right, other, 2000, 0)
    assert mean == pytest.approx(0.1)
    # Ten of a hundred rows differ: binomial, with a standard deviation of 3 rows.
    assert (low, high) == pytest.approx((0.05, 0.16), abs=0.011)
    assert judged(right, right, 100, 0) == (0, 0, 0)
