"""CATs: the conformal threshold against its definition, and what it promises."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dimec.base.errors import ConfigError
from dimec.policies.ladder import ladder
from dimec.policies.literature.cats import (
    TOLERANCES,
    ConsistencyPolicy,
    calibrated,
    shared_threshold,
)
from dimec.policies.literature.exit_models import Models, exit_features
from dimec.policies.literature.exit_walk import seen_along
from dimec.policies.registry import FitInputs, system
from dimec.tiers.deployment import Deployment
from dimec.traces.trace import Trace
from support.builders import make_trace

DEPLOYMENT = Deployment.paper((2, 4, 6))


@given(st.integers(0, 10**6), st.integers(1, 40), st.sampled_from(TOLERANCES))
def test_the_threshold_is_the_smallest_that_enough_samples_stay_under(
    seed: int, n: int, tolerance: float
) -> None:
    """Of the n samples and the new one, which is counted as over it, a share 1 - ε at least."""
    rng = np.random.default_rng(seed)
    scores, agrees = rng.integers(1, 20, (n, 3)) / 20, rng.integers(0, 3, (n, 3)) > 0
    worst = [
        max((s for s, agree in zip(*row, strict=True) if not agree), default=0.0)
        for row in zip(scores.tolist(), agrees.tolist(), strict=True)
    ]

    def enough(threshold: float) -> bool:
        return bool(sum(w <= threshold for w in worst) >= (1 - tolerance) * (n + 1) - 1e-9)

    expected = min((t for t in [0.0, *worst] if enough(t)), default=1.0)
    assert shared_threshold(scores, agrees, tolerance) == expected


def test_different_answers_are_as_rare_as_promised_and_hardly_rarer() -> None:
    """4,000 calibrations of 49 samples: with one exit that never agrees it is ε exactly, 10 %."""
    rng = np.random.default_rng(0)
    scores, agrees = rng.random((4000, 50, 2)), np.zeros((4000, 50, 2), bool)
    agrees[:, :, 1] = rng.random((4000, 50)) < 0.5
    different = 0
    for score, agree in zip(scores, agrees, strict=True):
        threshold = shared_threshold(score[:-1], agree[:-1], 0.1)
        over = np.flatnonzero(score[-1] > threshold)
        # Whoever leaves at the first exit over it gets another answer where that does not agree.
        different += bool(len(over) and not agree[-1][over].all())
    assert abs(different / 4000 - 0.1) < 3 * math.sqrt(0.09 / 4000)


def noisy(seed: int, n: int = 2000) -> Trace:
    """The surer an exit, the likelier it agrees with the last."""
    rng = np.random.default_rng(seed)
    gold = np.clip(rng.normal(0, 2, n)[:, None] + rng.normal(0, [2.0, 1.0, 0.1], (n, 3)), -6, 6)
    p = 1 / (1 + np.exp(-gold))
    probabilities = np.stack([1 - p, p], axis=-1).astype(np.float32)
    return make_trace(n, probabilities=probabilities, labels=(p[:, 2] > 0.5).astype(np.int64))


@pytest.mark.parametrize("tolerance", [0.02, 0.1])
def test_new_texts_keep_the_promise_and_many_leave_early(tolerance: float) -> None:
    (policy,) = calibrated(seen_along(noisy(0), DEPLOYMENT), [tolerance])
    test = noisy(1, 4000)
    outcome = policy.replay(test, DEPLOYMENT)
    answers = (outcome.answers * test.predictions).sum(axis=1)
    different = (answers != test.predictions[:, -1]).mean()
    # The threshold itself varies with the 1,000 samples of its calibration.
    assert different <= tolerance + 4 * math.sqrt(tolerance * (1 - tolerance) * (1e-3 + 2.5e-4))
    assert outcome.tiers[:, 0].mean() > 0.15


def test_too_few_samples_for_the_tolerance_leave_everything_to_the_last_exit() -> None:
    (policy,) = calibrated(seen_along(make_trace(30), DEPLOYMENT), [0.0025])
    assert policy.threshold == 1
    assert (policy.replay(make_trace(50), DEPLOYMENT).tiers[:, 2] == 1).all()


def test_where_all_exits_agree_the_first_one_answers() -> None:
    p = np.broadcast_to(np.array([[[0.3, 0.7]]], np.float32), (60, 3, 2)).copy()
    trace = make_trace(60, probabilities=p)
    (policy,) = calibrated(seen_along(trace, DEPLOYMENT), [0.1])
    assert (policy.threshold, policy.way) == (0, ((0, 2), (1, 4), (2, 6)))
    assert (policy.replay(trace, DEPLOYMENT).tiers[:, 0] == 1).all()


def test_each_lambda_takes_the_tolerance_of_the_highest_reward() -> None:
    trace = noisy(2, 600)
    made = ladder(system("cats"), FitInputs(trace, DEPLOYMENT, 0.5), (0.0, 0.01, 0.5))
    assert made[0][1].settings["tolerance"] < made[-1][1].settings["tolerance"] == TOLERANCES[-1]
    costs = [one.policy.replay(trace, DEPLOYMENT).cost.mean() for _, one in made]
    assert costs == sorted(costs, reverse=True)


def test_a_tolerance_can_be_set_and_has_its_range() -> None:
    def fit(tolerance: float) -> float:
        pinned = {"tolerance": tolerance}
        fitted = system("cats").fit(FitInputs(noisy(3, 200), DEPLOYMENT, 0.01, pinned=pinned))
        return float(fitted.settings["tolerance"])

    assert fit(0.123) == 0.123
    for wrong in (0.0, 1.0, math.nan):
        with pytest.raises(ConfigError, match="a tolerance lies between 0 and 1"):
            fit(wrong)


def test_models_and_a_threshold_that_do_not_fit_are_refused() -> None:
    width = exit_features([np.full((1, 2), 0.5)]).shape[1]
    models = Models(np.zeros((1, width)), np.zeros(1))
    with pytest.raises(ValueError, match="models of each but the last"):
        ConsistencyPolicy(((0, 2), (1, 6)), [], 0.5)
    with pytest.raises(ValueError, match="a threshold from 0 to 1"):
        ConsistencyPolicy(((0, 2), (1, 6)), [models], math.nan)
