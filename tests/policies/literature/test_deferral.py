"""Deferral by calibrated difference, by hand and where confidence alone would go wrong."""

from __future__ import annotations

import math

import numpy as np
import pytest

from dimec.policies.ladder import ladder
from dimec.policies.literature.deferral import DeferralPolicy, margins_of
from dimec.policies.literature.exit_models import Models, exit_features
from dimec.policies.literature.exit_walk import seen_along
from dimec.policies.registry import FitInputs, system
from dimec.tiers.deployment import Deployment
from dimec.traces.trace import Trace
from support.builders import make_trace

DEPLOYMENT = Deployment.paper((2, 3, 6))  # mobile 3.0, cloud 9.0


def logit(p: float) -> float:
    return math.log(p / (1 - p))


def trace_of(seed: int, n: int = 400) -> Trace:
    """Where the mobile says class 0 it guesses, and so does the cloud; where it says class 1 it
    is surer, guesses too, and the cloud is right.
    """
    rng = np.random.default_rng(seed)
    labels, said = rng.integers(0, 2, n), rng.integers(0, 2, n)
    cloud = np.where(said == 1, labels, rng.integers(0, 2, n))
    p = np.stack([np.where(said, 0.8, 0.4), np.full(n, 0.5), np.where(cloud, 0.9, 0.1)], axis=1)
    probabilities = np.stack([1 - p, p], axis=-1).astype(np.float32)
    return make_trace(
        n, exits=(2, 3, 6), tiers=(2, 3, 6), probabilities=probabilities, labels=labels
    )


@pytest.mark.parametrize(("margin", "stops"), [(0.29, False), (0.31, True)])
def test_it_goes_on_where_the_difference_is_over_the_margin(margin: float, stops: bool) -> None:
    """P(this exit right) = 0.6, P(the last right) = 0.9, whatever it says."""
    look = np.array([[0.2, 0.8]], np.float32)
    width = exit_features([look]).shape[1]
    models = Models(np.zeros((2, width)), np.array([logit(0.6), logit(0.9)]))
    policy = DeferralPolicy(((0, 2), (1, 6)), [models], [margin])
    assert policy.stops([look]).tolist() == [stops]


def test_the_margin_is_the_price_of_going_on() -> None:
    seen = seen_along(make_trace(3), Deployment.paper((4, 4, 6)), between=False)
    assert seen.way == ((0, 2), (0, 4), (2, 6))  # 3 for two layers, 6 for four, 9 in the cloud
    np.testing.assert_allclose(margins_of(seen, 0.01), [0.01 * (6 + 9 - 3), 0.01 * 9])


def test_what_the_last_tier_gets_wrong_too_is_kept() -> None:
    """Confidence would send on class 0, of which it is less sure, and gain nothing by it."""
    fitted = system("deferral").fit(FitInputs(trace_of(0), DEPLOYMENT, 0.01))
    test = trace_of(1)
    outcome = fitted.policy.replay(test, DEPLOYMENT)
    deferred = outcome.tiers[:, 2] == 1
    np.testing.assert_array_equal(deferred, test.predictions[:, 0] == 1)
    assert outcome.cost[deferred].tolist() == [12] * int(deferred.sum())


def test_along_the_ladder_less_is_deferred() -> None:
    inputs = FitInputs(trace_of(2), DEPLOYMENT, 0.5)
    made = ladder(system("deferral"), inputs, (0.0, 0.01, 0.2))
    away = [one.policy.replay(trace_of(3), DEPLOYMENT).tiers[:, 2].mean() for _, one in made]
    assert away == sorted(away, reverse=True)
    assert away[-1] == 0


def test_models_and_margins_that_do_not_fit_are_refused() -> None:
    models = Models(np.zeros((2, 4)), np.zeros(2))
    for given, margins in (([], []), ([models], [0.1, 0.2]), ([models, models], [0.1])):
        with pytest.raises(ValueError, match="of each but the last"):
            DeferralPolicy(((0, 2), (1, 6)), given, margins)
    with pytest.raises(ValueError, match="finite margins"):
        DeferralPolicy(((0, 2), (1, 6)), [models], [math.inf])
