"""UEE-UCB against a loop of its formula, and by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dimec.base.errors import ConfigError
from dimec.policies.literature.uee_ucb import UEEUCBPolicy
from dimec.tiers.deployment import Deployment
from support import slow_bandits
from support.builders import make_trace
from support.slow_bandits import Stream, assert_matches, streams


@given(streams(), st.sampled_from([0.0, 0.05, 0.5, 1.0]), st.sampled_from([0.0, 0.04, 1.0]))
def test_it_decides_as_its_formula_says(stream: Stream, scale: float, alpha: float) -> None:
    slow = slow_bandits.uee_ucb(stream.trace, stream.deployment, scale, alpha)
    outcome = UEEUCBPolicy(scale, alpha).replay(stream.trace, stream.deployment)
    assert_matches(outcome, slow, stream.trace, stream.deployment)


def test_a_long_stream() -> None:
    stream = slow_bandits.long_stream(classes=3)
    slow = slow_bandits.uee_ucb(stream.trace, stream.deployment, 0.25)
    outcome = UEEUCBPolicy(0.25).replay(stream.trace, stream.deployment)
    assert_matches(outcome, slow, stream.trace, stream.deployment)
    assert len(set(slow.layers)) > 2


def test_by_hand() -> None:
    """Exits 2, 4, 6; costs 0.1, 0.2, 0.3. p̂ and N after each sample:

    0: exit 6; says 0, 1, 1: p̂ = 0, 1, 1; N = 1, 1, 1.
    1: 0, 0.9, 0.8, each + sqrt(ln 2): exit 4; says 0, 0: p̂ = 0, 1/2, 1; N = 2, 2, 1.
    2: 0.741, 1.141, 0.8 + 1.048: exit 6; says 1, 1, 0: p̂ = 0, 1/3, 1; N = 3, 3, 2.
    3: 0.680, 0.913, 0.8 + 0.833: exit 6.
    """
    says = np.array([[0, 1, 1], [0, 0, 1], [1, 1, 0], [0, 0, 0]])
    trace = make_trace(4, probabilities=np.eye(2, dtype=np.float32)[says])
    deployment = Deployment.paper((2, 4, 6))
    outcome = UEEUCBPolicy(scale=0.3).replay(trace, deployment)
    assert outcome.answers.argmax(axis=1).tolist() == [2, 1, 2, 2]
    assert outcome.tiers.tolist() == [[1, 0, 0]] * 4
    assert deployment.price(outcome.usage).tolist() == [9.0, 6.0, 9.0, 9.0]


def test_confidences_do_not_matter() -> None:
    """Only who is predicted does."""
    stream = slow_bandits.long_stream(200)
    sharper = stream.trace.probabilities**2
    sharper /= sharper.sum(axis=-1, keepdims=True)
    other = replace(stream.trace, probabilities=sharper)
    assert not np.array_equal(other.confidences, stream.trace.confidences)
    assert np.array_equal(other.predictions, stream.trace.predictions)
    one = UEEUCBPolicy(0.25).replay(stream.trace, stream.deployment)
    two = UEEUCBPolicy(0.25).replay(other, stream.deployment)
    assert one.answers.tolist() == two.answers.tolist()


@pytest.mark.parametrize("name", ["scale", "alpha"])
def test_settings_out_of_range_are_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=r"at least 0, got -1"):
        UEEUCBPolicy(**{name: -1})
