"""Thresholds per exit and class: the rule in plain loops, the fit against trying everything."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dimec.policies.literature import exit_thresholds
from dimec.policies.literature.exit_thresholds import (
    NEVER,
    Cells,
    ThresholdsPolicy,
    fit_thresholds,
    one_threshold,
)
from dimec.policies.literature.exit_walk import Seen, seen_along
from support.scenes import Scene, scenes

LAM = 0.03
cells_ = st.sampled_from(["exit", "class"])


def seen_in(scene: Scene) -> Seen:
    return seen_along(scene.trace("validation"), scene.deployment)


def slow_reward(seen: Seen, table: list[list[float]], lam: float) -> float:
    """Sample by sample and exit by exit."""
    total = 0.0
    for i in range(len(seen)):
        for e in range(len(seen.way)):
            last = e == len(seen.way) - 1
            if last or seen.confidences[i, e] >= table[e][seen.predictions[i, e]]:
                total += seen.right[i, e] - lam * seen.costs[e]
                break
    return total / len(seen)


@settings(max_examples=30)
@given(scenes(), cells_)
def test_it_loses_to_no_single_exit_on_the_split_it_was_fitted_to(
    scene: Scene, cells: Cells
) -> None:
    seen = seen_in(scene)
    got = slow_reward(seen, fit_thresholds(seen, LAM, cells).tolist(), LAM)
    assert got >= (seen.right.mean(axis=0) - LAM * seen.costs).max() - 1e-9


@settings(max_examples=20)
@given(st.integers(0, 1000), st.sampled_from(["random", "eighths"]), cells_)
def test_with_one_exit_to_decide_at_nothing_is_better(
    seed: int, confidences: str, cells: Cells
) -> None:
    """Every combination of thresholds at the mobile's one exit, two classes."""
    scene = Scene((2, 6), (2, 6), samples=9, seed=seed, confidences=confidences)
    seen = seen_in(scene)
    values = [0.0, *seen.confidences[:, 0].tolist(), NEVER]
    both = (
        itertools.product(values, values) if cells == "class" else zip(values, values, strict=True)
    )
    best = max(slow_reward(seen, [list(pair)], LAM) for pair in both)
    got = slow_reward(seen, fit_thresholds(seen, LAM, cells).tolist(), LAM)
    assert got == pytest.approx(best, abs=1e-12)


@settings(max_examples=15)
@given(st.integers(0, 1000))
def test_no_threshold_alone_can_be_moved_to_gain(seed: int) -> None:
    seen = seen_in(Scene((1, 2, 4, 6), (2, 4, 6), samples=12, seed=seed, confidences="eighths"))
    table = fit_thresholds(seen, LAM, "class").tolist()
    got = slow_reward(seen, table, LAM)
    for e, c in itertools.product(range(3), range(2)):
        for threshold in (0.0, *np.unique(seen.confidences[:, e]).tolist(), NEVER):
            other = [list(row) for row in table]
            other[e][c] = threshold
            assert slow_reward(seen, other, LAM) <= got + 1e-9


def test_of_many_confidences_quantiles_are_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = seen_in(Scene(samples=300, seed=3))
    exact = slow_reward(seen, fit_thresholds(seen, LAM, "exit").tolist(), LAM)
    monkeypatch.setattr(exit_thresholds, "MOST_CANDIDATES", 20)
    coarse = fit_thresholds(seen, LAM, "exit")
    assert slow_reward(seen, coarse.tolist(), LAM) == pytest.approx(exact, abs=0.02)
    for e, threshold in enumerate(coarse[:, 0].tolist()):
        assert threshold in {0.0, NEVER, *seen.confidences[:, e].tolist()}


def test_a_gate_looks_at_the_class_alone() -> None:
    table = fit_thresholds(seen_in(Scene(classes=3, samples=50)), LAM, "class", "gate")
    assert set(table.ravel().tolist()) <= {0.0, NEVER}


def test_one_threshold_per_exit_holds_for_every_class() -> None:
    table = fit_thresholds(seen_in(Scene(classes=3, samples=50)), LAM, "exit")
    assert (table == table[:, :1]).all()


@given(scenes(), st.sampled_from([0.0, 0.5, 0.75, NEVER]))
def test_the_policy_stops_where_the_loop_does(scene: Scene, threshold: float) -> None:
    seen = seen_in(scene)
    policy = one_threshold("mine", seen, threshold)
    outcome = policy.replay(scene.trace("validation"), scene.deployment)
    trace = scene.trace("validation")
    reward = ((outcome.answers * trace.correct).sum(axis=1) - LAM * outcome.cost).mean()
    expected = slow_reward(seen, policy.thresholds.tolist(), LAM)
    assert reward == pytest.approx(expected, abs=1e-9)


def test_thresholds_that_do_not_fit_are_refused() -> None:
    way = ((0, 1), (0, 2), (1, 6))
    for thresholds in (np.zeros((1, 2)), np.zeros(2), np.zeros((3, 2))):
        with pytest.raises(ValueError, match=r"3 exits need thresholds of the shape \(2, C\)"):
            ThresholdsPolicy("mine", way, thresholds)
    with pytest.raises(ValueError, match="finite"):
        ThresholdsPolicy("mine", way, np.full((2, 2), np.nan))
