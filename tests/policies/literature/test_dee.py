"""DEE against a loop of its formula, and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dimec.base.errors import ConfigError
from dimec.policies.literature.dee import DEEPolicy, confidence_bins
from dimec.tiers.deployment import Deployment
from support import slow_bandits
from support.slow_bandits import Stream, assert_matches, pairs_trace, streams


@given(
    streams(),
    st.sampled_from([0.0, 0.005, 0.02, 0.08]),
    st.sampled_from([0.0, 0.05, 0.2, 1.0]),
    st.sampled_from([1, 4, 10]),
)
def test_it_decides_as_its_formula_says(stream: Stream, price: float, c: float, bins: int) -> None:
    slow = slow_bandits.dee(stream.trace, stream.deployment, price, c, bins)
    outcome = DEEPolicy(mu=price, c=c, bins=bins).replay(stream.trace, stream.deployment)
    assert_matches(outcome, slow, stream.trace, stream.deployment)


def test_a_long_stream() -> None:
    stream = slow_bandits.long_stream()
    slow = slow_bandits.dee(stream.trace, stream.deployment, 0.01, 0.05, 10)
    outcome = DEEPolicy(weight=2.0, mu=0.005, c=0.05).replay(stream.trace, stream.deployment)
    assert_matches(outcome, slow, stream.trace, stream.deployment)
    assert len(set(slow.layers)) > 3


def test_by_hand() -> None:
    """Exits 2 and 6, μ = 0.02, c = 0.1: costs 3 and 9; the context is C_2's tenth.

    0: 0.85: nobody went on from there: goes on, earns 0.95 - 0.18 = 0.77.
    1: 0.62: another context: goes on, earns 0.7 - 0.18 = 0.52.
    2: 0.88: 0.77 + 0.1·sqrt(ln 3) = 0.875 > 0.88 - 0.06: goes on, earns 0.9 - 0.18 = 0.72.
    3: 0.89: 0.745 + 0.1·sqrt(ln 4 / 2) = 0.828 < 0.89 - 0.06 = 0.83: exits.
    4: 0.65: 0.52 + 0.1·sqrt(ln 5) = 0.647 > 0.65 - 0.06: goes on.
    """
    trace = pairs_trace([(0.85, 0.95), (0.62, 0.7), (0.88, 0.9), (0.89, 0.9), (0.65, 0.8)])
    deployment = Deployment.paper((2, 2, 6))
    outcome = DEEPolicy(mu=0.02, c=0.1).replay(trace, deployment)
    assert outcome.answers.argmax(axis=1).tolist() == [1, 1, 1, 0, 1]
    assert outcome.tiers.tolist() == [[1, 0, 0]] * 5
    assert deployment.price(outcome.usage).tolist() == [9.0, 9.0, 9.0, 3.0, 9.0]


def test_where_going_on_promises_no_more_it_exits() -> None:
    trace = pairs_trace([(0.75, 0.75)] * 3)
    outcome = DEEPolicy(mu=0.0, c=0.0).replay(trace, Deployment.paper((2, 2, 6)))
    assert outcome.answers.argmax(axis=1).tolist() == [1, 0, 0]


def test_it_learns_which_contexts_gain() -> None:
    """Going on helps samples that start unsure and never the others: only they go on, later."""
    rng = np.random.default_rng(0)
    unsure = rng.random(3000) < 0.5
    first = np.where(unsure, 0.55, 0.95)
    trace = pairs_trace(np.stack([first, np.full(3000, 0.96)], axis=1).tolist())
    outcome = DEEPolicy(mu=0.02).replay(trace, Deployment.paper((2, 2, 6)))
    late = outcome.answers[2000:, 1] == 1
    assert late[unsure[2000:]].all()
    assert late[~unsure[2000:]].mean() < 0.1


def test_bins() -> None:
    values = np.array([[0.0, 0.0999, 0.1], [0.5, 0.999, 1.0]])
    assert confidence_bins(values, 10).tolist() == [[0, 0, 1], [5, 9, 9]]
    assert confidence_bins(values, 1).tolist() == [[0] * 3] * 2


@pytest.mark.parametrize(
    ("name", "value"), [("weight", -1.0), ("mu", -1.0), ("c", -1.0), ("bins", 0)]
)
def test_settings_out_of_range_are_refused(name: str, value: float) -> None:
    with pytest.raises(ConfigError, match=r"at least [01]"):
        DEEPolicy(**{name: value})  # type: ignore[arg-type]
