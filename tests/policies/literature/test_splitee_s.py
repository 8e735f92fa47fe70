"""SplitEE-S against a loop of its formula, and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dimec.policies.literature.splitee_s import SplitEESPolicy, seen_rewards
from dimec.tiers.deployment import Deployment
from support import slow_bandits
from support.slow_bandits import Stream, assert_matches, pairs_trace, streams

alphas = st.sampled_from([0.0, 0.5, 0.625, 0.8, 0.95, 1.0])
prices = st.sampled_from([0.0, 0.005, 0.02, 0.08])


@given(streams(), alphas, prices, st.booleans())
def test_it_decides_as_its_formula_says(
    stream: Stream, alpha: float, price: float, only_seen: bool
) -> None:
    side = "seen" if only_seen else "all"
    slow = slow_bandits.splitee(stream.trace, stream.deployment, alpha, price, side=side)
    policy = SplitEESPolicy(alpha, mu=price, only_seen=only_seen)
    outcome = policy.replay(stream.trace, stream.deployment)
    assert_matches(outcome, slow, stream.trace, stream.deployment)


@pytest.mark.parametrize("only_seen", [False, True])
def test_a_long_stream(only_seen: bool) -> None:
    stream = slow_bandits.long_stream()
    side = "seen" if only_seen else "all"
    slow = slow_bandits.splitee(stream.trace, stream.deployment, 0.9, 0.01, side=side)
    policy = SplitEESPolicy(0.9, mu=0.01, only_seen=only_seen)
    outcome = policy.replay(stream.trace, stream.deployment)
    assert_matches(outcome, slow, stream.trace, stream.deployment)
    assert len(set(slow.layers)) > 2


def test_by_hand() -> None:
    """The samples of SplitEE's test, where a split at 6 also teaches about 2.

    0: split 2: 0.84.
    1: split 6: 0.52, and for the split at 2 (0.7 < α, so C_l and the offload) 0.7 - 0.24 = 0.46.
    2: 0.65 + sqrt(ln 3 / 2) = 1.391 < 0.52 + sqrt(ln 3) = 1.568: split 6, where SplitEE took 2.
       Earns 0.9 - 0.18 = 0.72, and 0.66 for the split at 2.
    3: 0.653 + sqrt(ln 4 / 3) = 1.333 < 0.62 + sqrt(ln 4 / 2) = 1.453: split 6.
    """
    trace = pairs_trace([(0.9, 0.95), (0.7, 0.7), (0.6, 0.9), (0.85, 0.6)])
    deployment = Deployment.paper((2, 2, 6))
    outcome = SplitEESPolicy(0.8, mu=0.02).replay(trace, deployment)
    assert outcome.answers.tolist() == [[1, 0], [0, 1], [0, 1], [0, 1]]
    assert outcome.tiers.tolist() == [[1, 0, 0]] * 4
    assert deployment.price(outcome.usage).tolist() == [3.0, 9.0, 9.0, 9.0]


def test_what_is_seen() -> None:
    """C_l is seen only where the sample goes to the last exit, running there or sent there."""
    observed = seen_rewards(np.array([[False, True, True], [False, False, True]]))
    assert list(observed(0, 0)) == [0]  # offloaded
    assert list(observed(0, 1)) == [1]  # answered at the split; the first exit's C_l is unknown
    assert list(observed(0, 2)) == [0, 1, 2]
    assert list(observed(1, 1)) == [0, 1]  # offloaded: C_l is known
