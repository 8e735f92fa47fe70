"""AdaEE against a loop of its formula, and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dimec.base.errors import ConfigError
from dimec.policies.literature.adaee import AdaEEPolicy, threshold_rewards
from dimec.tiers.deployment import Deployment
from support import slow_bandits
from support.slow_bandits import Stream, assert_matches, pairs_trace, streams


@given(streams(), st.sampled_from([0.0, 0.05, 0.3, 1.0]), st.sampled_from([0.1, 1.0]))
def test_it_decides_as_its_formula_says(stream: Stream, overhead: float, c: float) -> None:
    slow = slow_bandits.adaee(stream.trace, stream.deployment, overhead, c)
    outcome = AdaEEPolicy(overhead, c).replay(stream.trace, stream.deployment)
    assert_matches(outcome, slow, stream.trace, stream.deployment)


def test_a_long_stream() -> None:
    stream = slow_bandits.long_stream()
    slow = slow_bandits.adaee(stream.trace, stream.deployment, 0.1)
    outcome = AdaEEPolicy(0.1).replay(stream.trace, stream.deployment)
    assert_matches(outcome, slow, stream.trace, stream.deployment)
    assert 0 < outcome.tiers[:, 2].mean() < 1


def test_by_hand() -> None:
    """C_m = 0.55, C_l = 0.9: thresholds up to 0.5 exit, for 0; the others gain 0.35 - 0.1."""
    trace = pairs_trace([(0.55, 0.9)] * 13)
    deployment = Deployment.paper((2, 2, 6))
    outcome = AdaEEPolicy(overhead=0.1).replay(trace, deployment)
    # samples 0-10 play thresholds 0 … 1; 11 the first of the best, 0.6; 12 the next of them, 0.7
    offloaded = [0] * 6 + [1] * 5 + [1, 1]
    assert outcome.tiers[:, 2].tolist() == offloaded
    assert outcome.answers[:, 1].tolist() == offloaded
    # 1.5·2 on the mobile; 3 + 6 beside for the cloud
    assert deployment.price(outcome.usage).tolist() == [3.0 + 9.0 * away for away in offloaded]
    # offloaded hidden states: 4 bytes a number, 4 numbers a token; the cloud runs layers 3 to 6
    assert outcome.usage.bytes[:, 2].tolist() == [
        16.0 * tokens * away for tokens, away in zip(trace.lengths, offloaded, strict=True)
    ]
    assert outcome.usage.layers[:, 2].tolist() == [4.0 * away for away in offloaded]


def test_the_more_confident_exit_answers_where_neither_reaches_the_threshold() -> None:
    """Sample k plays the threshold k / 10."""
    pairs = [(0.9, 0.9)] * 8 + [(0.75, 0.625), (0.625, 0.75), (0.75, 0.75)]
    trace, deployment = pairs_trace(pairs), Deployment.paper((2, 2, 6))
    outcome = AdaEEPolicy().replay(trace, deployment)
    # 0.8 and 0.9 and 1: all three are offloaded and paid for, whoever answers
    assert outcome.tiers[8:].tolist() == [[0, 0, 1]] * 3
    assert outcome.answers[8:].tolist() == [[1, 0], [0, 1], [0, 1]]
    assert deployment.price(outcome.usage)[8:].tolist() == [12.0] * 3


def test_rewards_by_hand() -> None:
    near, far = np.array([0.5, 0.75, 0.875]), np.array([0.75, 0.5, 1.0])
    rewards = threshold_rewards(near, far, 0.125)
    assert rewards[0].tolist() == [0.0] * 6 + [0.125] * 5  # a gain of 0.25, at every threshold
    assert rewards[1].tolist() == [0.0] * 8 + [-0.125] * 3  # nothing gained: the overhead is lost
    assert rewards[2].tolist() == [0.0] * 9 + [0.0] * 2  # 0.125 gained for 0.125


@pytest.mark.parametrize(("name", "value"), [("overhead", -0.1), ("overhead", 1.5), ("c", -1.0)])
def test_settings_out_of_range_are_refused(name: str, value: float) -> None:
    with pytest.raises(ConfigError, match=r"overhead|exploration"):
        AdaEEPolicy(**{name: value})
