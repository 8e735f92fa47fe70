"""I-SplitEE against a loop of its formula; its sparse splits by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dimec.base.errors import ConfigError
from dimec.policies.literature.i_splitee import ISplitEEPolicy
from dimec.policies.literature.splitee_s import SplitEESPolicy
from dimec.tiers.deployment import Deployment
from support import slow_bandits
from support.builders import make_trace
from support.slow_bandits import Stream, assert_matches, streams


@given(
    streams(),
    st.sampled_from([0.5, 0.8, 0.95]),
    st.sampled_from([0.0, 0.02, 0.08]),
    st.integers(1, 4),
)
def test_it_decides_as_its_formula_says(
    stream: Stream, alpha: float, price: float, every: int
) -> None:
    slow = slow_bandits.splitee(
        stream.trace, stream.deployment, alpha, price, side="all", every=every
    )
    policy = ISplitEEPolicy(alpha, mu=price, every=every)
    outcome = policy.replay(stream.trace, stream.deployment)
    assert_matches(outcome, slow, stream.trace, stream.deployment)


def test_splits_at_every_third_layer_and_the_last() -> None:
    policy = ISplitEEPolicy()
    for exits, last, expected in (
        (tuple(range(1, 13)), 12, [3, 6, 9, 12]),
        (tuple(range(1, 13)), 8, [3, 6, 8]),
        ((2, 3, 6), 6, [3, 6]),
        ((2, 4), 4, [4]),
        ((6,), 6, [6]),
    ):
        trace = make_trace(1, exits=exits, tiers=(exits[0], exits[0], exits[-1]))
        columns = policy.splits(trace, Deployment.paper((exits[0], exits[0], last)))
        assert [exits[x] for x in columns] == expected


def test_with_exits_at_every_layer_it_is_splitee_s() -> None:
    stream = slow_bandits.long_stream(300, classes=3)
    one = ISplitEEPolicy(0.9, mu=0.01, every=1).replay(stream.trace, stream.deployment)
    two = SplitEESPolicy(0.9, mu=0.01).replay(stream.trace, stream.deployment)
    sparse = ISplitEEPolicy(0.9, mu=0.01).replay(stream.trace, stream.deployment)
    assert one.answers.tolist() == two.answers.tolist()
    assert one.usage.layers[:, 0].tolist() == two.usage.layers[:, 0].tolist()
    assert set(sparse.usage.layers[:, 0].tolist()) <= {3.0, 6.0, 9.0, 12.0}


def test_a_spacing_of_nothing_is_refused() -> None:
    with pytest.raises(ConfigError, match="at least 1 layer, got 0"):
        ISplitEEPolicy(every=0)
