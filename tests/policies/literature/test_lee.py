"""LEE against a loop of its formula, and by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dimec.base.errors import ConfigError
from dimec.policies.literature.lee import LEEPolicy
from dimec.tiers.deployment import Deployment
from support import slow_bandits
from support.slow_bandits import Stream, assert_matches, pairs_trace, streams


@given(streams(), st.sampled_from([0.0, 0.005, 0.02, 0.08]), st.sampled_from([0.1, 2**0.5]))
def test_it_decides_as_its_formula_says(stream: Stream, price: float, c: float) -> None:
    slow = slow_bandits.lee(stream.trace, stream.deployment, price, c)
    outcome = LEEPolicy(mu=price, c=c).replay(stream.trace, stream.deployment)
    assert_matches(outcome, slow, stream.trace, stream.deployment)


def test_a_long_stream() -> None:
    stream = slow_bandits.long_stream()
    slow = slow_bandits.lee(stream.trace, stream.deployment, 0.01, 2**0.5)
    outcome = LEEPolicy(weight=2.0, mu=0.005).replay(stream.trace, stream.deployment)
    assert_matches(outcome, slow, stream.trace, stream.deployment)
    assert len(set(slow.layers)) == 12


def test_by_hand() -> None:
    """Exits 2 and 6, μ = 0.02: costs 3 and 9.

    0: exit 2 earns 0.9 - 0.06 = 0.84. 1: exit 6 earns 0.7 - 0.18 = 0.52.
    2: both were played once: exit 2 earns 0.5 - 0.06 = 0.44; its mean is 0.64.
    3: 0.64 + sqrt(2 ln 4 / 2) = 1.817 < 0.52 + sqrt(2 ln 4) = 2.185: exit 6.
    """
    trace = pairs_trace([(0.9, 0.95), (0.7, 0.7), (0.5, 0.9), (0.85, 0.6)])
    deployment = Deployment.paper((2, 2, 6))
    outcome = LEEPolicy(mu=0.02).replay(trace, deployment)
    assert outcome.answers.argmax(axis=1).tolist() == [0, 1, 0, 1]
    assert outcome.tiers.tolist() == [[1, 0, 0]] * 4
    assert deployment.price(outcome.usage).tolist() == [3.0, 9.0, 3.0, 9.0]


def test_a_greater_weight_of_latency_exits_earlier() -> None:
    stream = slow_bandits.long_stream(2000)
    layers = [
        LEEPolicy(weight).replay(stream.trace, stream.deployment).usage.layers[:, 0].mean()
        for weight in (0.0, 1.0, 4.0)
    ]
    assert layers[0] > layers[1] > layers[2]


@pytest.mark.parametrize("name", ["weight", "mu", "c"])
def test_settings_out_of_range_are_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=r"at least 0, got -1"):
        LEEPolicy(**{name: -1})
