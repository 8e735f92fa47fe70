"""CeeBERT against a loop of its formula, and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dimec.base.errors import ConfigError
from dimec.policies.literature.ceebert import THRESHOLDS, CeeBERTPolicy, first_exits, gain_rewards
from dimec.tiers.deployment import Deployment
from support import slow_bandits
from support.slow_bandits import Stream, assert_matches, pairs_trace, streams


@given(streams(), st.sampled_from([0.0, 0.005, 0.02, 0.08]), st.sampled_from([0.1, 2.0]))
def test_it_decides_as_its_formula_says(stream: Stream, price: float, c: float) -> None:
    slow = slow_bandits.ceebert(stream.trace, stream.deployment, price, c)
    outcome = CeeBERTPolicy(mu=price, c=c).replay(stream.trace, stream.deployment)
    assert_matches(outcome, slow, stream.trace, stream.deployment)


def test_a_long_stream() -> None:
    stream = slow_bandits.long_stream()
    slow = slow_bandits.ceebert(stream.trace, stream.deployment, 0.01, 2.0)
    outcome = CeeBERTPolicy(weight=2.0, mu=0.005).replay(stream.trace, stream.deployment)
    assert_matches(outcome, slow, stream.trace, stream.deployment)
    assert len(set(slow.layers)) > 3


def test_thresholds_are_the_papers() -> None:
    assert THRESHOLDS == (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)


def test_by_hand() -> None:
    """C = 0.72, 0.97: thresholds to 0.7 end at layer 2 for 0, the others gain 0.25 - 0.02·6."""
    trace = pairs_trace([(0.72, 0.97)] * 12)
    deployment = Deployment.paper((2, 2, 6))
    outcome = CeeBERTPolicy(mu=0.02).replay(trace, deployment)
    # samples 0-9 play each threshold; 10 the first of the best, 0.75, and 11 the next of them
    deep = [0] * 5 + [1] * 5 + [1, 1]
    assert outcome.answers[:, 1].tolist() == deep
    assert outcome.tiers.tolist() == [[1, 0, 0]] * 12
    assert deployment.price(outcome.usage).tolist() == [3.0 + 6.0 * one for one in deep]


def test_ends_and_rewards_by_hand() -> None:
    confidences = np.array([[0.5, 0.75, 0.625], [0.375, 0.25, 0.25]])
    ends = first_exits(confidences)
    assert ends.tolist() == [[0] + [1] * 5 + [2] * 4, [2] * 10]
    rewards = gain_rewards(confidences, ends, np.array([1.0, 2.0, 4.0]), 1 / 16)
    assert (rewards * 16).tolist() == [[0] + [4 - 1] * 5 + [2 - 3] * 4, [-2 - 3] * 10]


@pytest.mark.parametrize("name", ["weight", "mu", "c"])
def test_settings_out_of_range_are_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=r"at least 0, got -1"):
        CeeBERTPolicy(**{name: -1})
