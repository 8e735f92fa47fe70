"""SplitEE against a loop of its formula, and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dimec.base.errors import ConfigError
from dimec.policies.literature.splitee import SplitEEPolicy, answered_at, split_rewards
from dimec.tiers.deployment import Deployment
from support import slow_bandits
from support.slow_bandits import Stream, assert_matches, pairs_trace, streams

alphas = st.sampled_from([0.0, 0.5, 0.625, 0.8, 0.95, 1.0])
prices = st.sampled_from([0.0, 0.005, 0.02, 0.08])


@given(streams(), alphas, prices, st.sampled_from([0.1, 1.0]))
def test_it_decides_as_its_formula_says(
    stream: Stream, alpha: float, price: float, c: float
) -> None:
    slow = slow_bandits.splitee(stream.trace, stream.deployment, alpha, price, c=c)
    outcome = SplitEEPolicy(alpha, mu=price, c=c).replay(stream.trace, stream.deployment)
    assert_matches(outcome, slow, stream.trace, stream.deployment)


def test_a_long_stream() -> None:
    stream = slow_bandits.long_stream()
    slow = slow_bandits.splitee(stream.trace, stream.deployment, 0.8, 0.01)
    outcome = SplitEEPolicy(0.8, weight=2.0, mu=0.005).replay(stream.trace, stream.deployment)
    assert_matches(outcome, slow, stream.trace, stream.deployment)
    assert len(set(slow.layers)) > 3
    assert 0 < outcome.tiers[:, 2].mean() < 1


def test_by_hand() -> None:
    """Exits 2 and 6, α = 0.8, μ = 0.02: cost(2) = 3, cost(6) = 9, o = 3 + 6.

    0: split 2, C = 0.9: answered, earns 0.9 - 0.06 = 0.84.
    1: split 6, C = 0.7: earns 0.7 - 0.18 = 0.52.
    2: 0.84 + sqrt(ln 3) > 0.52 + sqrt(ln 3): split 2, C = 0.6: offloaded, earns 0.9 - 0.24 = 0.66.
    3: 0.75 + sqrt(ln 4 / 2) = 1.583 < 0.52 + sqrt(ln 4) = 1.697: split 6.
    """
    trace = pairs_trace([(0.9, 0.95), (0.7, 0.7), (0.6, 0.9), (0.85, 0.6)])
    deployment = Deployment.paper((2, 2, 6))
    outcome = SplitEEPolicy(0.8, mu=0.02).replay(trace, deployment)
    assert outcome.answers.tolist() == [[1, 0], [0, 1], [0, 1], [0, 1]]
    assert outcome.tiers.tolist() == [[1, 0, 0], [1, 0, 0], [0, 0, 1], [1, 0, 0]]
    assert deployment.price(outcome.usage).tolist() == [3.0, 9.0, 3.0 + 9.0, 9.0]
    assert outcome.usage.layers[:, 0].tolist() == [2, 6, 2, 6]
    assert outcome.usage.layers[:, 2].tolist() == [0, 0, 4, 0]


def test_rewards_by_hand() -> None:
    confidences = np.array([[0.75, 0.25, 0.5], [0.25, 0.25, 0.25]])
    answered = answered_at(confidences, 0.5)
    assert answered.tolist() == [[True, False, True], [False, False, True]]
    rewards = split_rewards(confidences, answered, np.array([1.0, 2.0, 4.0]), 8.0, 1 / 64)
    assert (rewards * 64).tolist() == [
        [48 - 1, 32 - 10, 32 - 4],
        [16 - 9, 16 - 10, 16 - 4],
    ]


@pytest.mark.parametrize(
    ("name", "value"), [("alpha", 1.1), ("alpha", -0.1), ("weight", -1), ("mu", -1), ("c", -1)]
)
def test_settings_out_of_range_are_refused(name: str, value: float) -> None:
    with pytest.raises(ConfigError, match=r"alpha|weight|mu must|exploration"):
        SplitEEPolicy(**{name: value})
