"""CALM and Fast yet Safe: the path of thresholds, the two risks, and what they promise."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy.stats import binom

from dimec.base.errors import ConfigError
from dimec.policies.ladder import ladder
from dimec.policies.literature.calm import difference_risk
from dimec.policies.literature.cats import TOLERANCES
from dimec.policies.literature.exit_thresholds import NEVER, ThresholdsPolicy
from dimec.policies.literature.exit_walk import Seen, seen_along
from dimec.policies.literature.fast_yet_safe import gap_risk
from dimec.policies.literature.risk_control import ALPHA, PATH, RiskTest, ends_at, lowest_proved
from dimec.policies.registry import FitInputs, system
from dimec.tiers.deployment import Deployment
from support.builders import make_trace

DEPLOYMENT = Deployment.paper((2, 4, 6))
NAMES = ("calm", "fast-yet-safe")
both = pytest.mark.parametrize("test", [difference_risk, gap_risk])


def population(n: int, seed: int) -> Seen:
    """One exit before the last, which is always right: confidence c in (0.5, 1), wrong with 1 - c.

    So the risk of a threshold t is ∫ (1 - c)·2 dc from t to 1, (1 - t)².
    """
    rng = np.random.default_rng(seed)
    confidence = rng.uniform(0.5, 1, n)
    wrong = rng.random(n) < 1 - confidence
    ones = np.ones(n)
    look = np.stack([1 - confidence, confidence], axis=1)
    return Seen(
        ((0, 2), (1, 6)),
        (look, look),
        np.stack([wrong, np.zeros(n)], axis=1).astype(np.int64),
        np.stack([confidence, ones], axis=1),
        np.stack([1.0 - wrong, ones], axis=1),
        np.array([1.0, 5.0]),
    )


@both
def test_a_threshold_that_risks_more_than_it_may_is_rare(test: RiskTest) -> None:
    """200 validation splits; at most 5 % of them, within three standard errors."""
    thresholds = [lowest_proved(population(300, seed), test, 0.05) for seed in range(200)]
    violations = sum((1 - t) ** 2 > 0.05 for t in thresholds if t < NEVER)
    assert violations <= 200 * ALPHA + 3 * math.sqrt(200 * ALPHA * (1 - ALPHA))
    # 1 - √0.05 = 0.776 would just keep it; what is proved is not far from it.
    assert 0.776 < np.median(thresholds) < 0.9


@both
def test_more_may_be_risked_the_lower_the_threshold(test: RiskTest) -> None:
    seen = population(2000, 1)
    found = [lowest_proved(seen, test, tolerance) for tolerance in (0.001, 0.01, 0.05, 0.2, 0.4)]
    assert found == sorted(found, reverse=True)
    assert found[-1] == PATH[-1]  # a quarter is lost where all leave at the first exit


@both
def test_a_few_samples_prove_nothing(test: RiskTest) -> None:
    assert lowest_proved(population(10, 0), test, 0.05) == NEVER


def test_the_path_ends_at_the_first_that_is_refused() -> None:
    asked: list[int] = []

    def refused(seen: Seen, ends: np.ndarray[tuple[int], np.dtype[np.int64]], _: float) -> float:
        asked.append(int((ends == 0).sum()))
        return 1.0 if len(asked) == 3 else ALPHA

    found = lowest_proved(population(50, 0), refused, 0.1, (NEVER, 0.9, 0.8, 0.7, 0.6))
    assert (found, len(asked)) == (0.8, 3)
    assert asked == sorted(asked)


def test_the_path_goes_down_from_what_no_confidence_reaches() -> None:
    assert PATH[0] == NEVER
    assert list(PATH) == sorted(PATH, reverse=True)
    assert 0 < PATH[-1] <= 1 / 8  # under any confidence of up to eight classes


def test_an_input_ends_at_the_first_exit_that_is_sure() -> None:
    seen = population(20, 0)
    for threshold in (0.5, 0.8, NEVER):
        expected = [0 if c >= threshold else 1 for c in seen.confidences[:, 0].tolist()]
        assert ends_at(seen, threshold).tolist() == expected


def test_the_risks_are_those_of_the_answers() -> None:
    """By hand: of 40 answers 3 differ; of them 2 lose, and 1 wins."""
    labels = np.zeros(40, np.int64)
    first, last = np.zeros(40, np.int64), np.zeros(40, np.int64)
    first[:2] = 1
    last[2] = 1
    p = np.eye(2, dtype=np.float32)[np.stack([first, last, last], axis=1)]
    seen = seen_along(make_trace(40, probabilities=p, labels=labels), DEPLOYMENT)
    ends, stay = np.zeros(40, np.int64), np.full(40, 2)
    assert difference_risk(seen, ends, 0.2) == pytest.approx(binom.cdf(3, 40, 0.2))
    assert difference_risk(seen, stay, 0.2) == pytest.approx(0.8**40)
    assert gap_risk(seen, stay, 0.2) < gap_risk(seen, ends, 0.2) < 1
    won = seen_along(make_trace(40, probabilities=p, labels=labels + 1), DEPLOYMENT)
    assert gap_risk(won, ends, 0.2) < gap_risk(seen, ends, 0.2)  # 1 loses, and 2 win


def fit_reward(name: str, lam: float) -> Callable[[float], float]:
    trace = make_trace(400, seed=1)

    def fit(tolerance: float) -> float:
        inputs = FitInputs(trace, DEPLOYMENT, lam, pinned={"tolerance": tolerance})
        return system(name).fit(inputs).reward

    return fit


@pytest.mark.parametrize("name", NAMES)
def test_each_lambda_takes_the_tolerance_of_the_highest_reward(name: str) -> None:
    inputs = FitInputs(make_trace(400, seed=1), DEPLOYMENT, 0.5)
    for lam, fitted in ladder(system(name), inputs, (0.001, 0.05)):
        assert lam is not None
        rewards = list(map(fit_reward(name, lam), TOLERANCES))
        assert fitted.reward == max(rewards)
        assert fitted.settings == {"tolerance": TOLERANCES[rewards.index(max(rewards))]}


@pytest.mark.parametrize("name", NAMES)
def test_every_exit_and_class_has_the_one_threshold(name: str) -> None:
    trace = make_trace(400, seed=1, classes=3)
    policy = system(name).fit(FitInputs(trace, DEPLOYMENT, 0.05)).policy
    assert isinstance(policy, ThresholdsPolicy)
    assert policy.thresholds.shape == (2, 3)
    assert policy.thresholds.min() == policy.thresholds.max() in PATH


@pytest.mark.parametrize("name", NAMES)
def test_a_tolerance_has_its_range(name: str) -> None:
    with pytest.raises(ConfigError, match="a tolerance lies between 0 and 1, got 1"):
        fit_reward(name, 0.01)(1.0)
