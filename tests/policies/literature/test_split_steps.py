"""SplitEE's variants as steps, with the side observations that a live input shows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dimec.base.errors import ConfigError
from dimec.policies.drive import drive, site_of, walked
from dimec.policies.kinds import StoredPolicy
from dimec.policies.literature.i_splitee import ISplitEEPolicy
from dimec.policies.literature.splitee_s import SplitEESPolicy
from dimec.policies.step import Site, Visit
from dimec.tiers.deployment import Deployment
from support.scenes import assert_same, taken
from support.slow_bandits import Stream, long_stream, pairs_trace, streams

alphas = st.sampled_from([0.0, 0.5, 0.625, 0.8, 0.95, 1.0])
prices = st.sampled_from([0.0, 0.005, 0.02, 0.08])


@given(streams(), alphas, prices, st.sampled_from([1, 2, 3]))
def test_the_steps_agree_with_the_replay(
    stream: Stream, alpha: float, price: float, every: int
) -> None:
    site = site_of(stream.trace, stream.deployment)
    for policy in (
        SplitEESPolicy(alpha, mu=price, only_seen=True),
        ISplitEEPolicy(alpha, mu=price, only_seen=True, every=every),
    ):
        driven = drive(policy.steps(site), stream.trace, stream.deployment)
        assert_same(driven, policy.replay(stream.trace, stream.deployment))


def test_steps_that_are_resumed_go_on_as_if_never_interrupted(tmp_path: Path) -> None:
    """Stored, loaded, and its state handed on in the middle of a long stream."""
    stream = long_stream()
    trace, deployment = stream.trace, stream.deployment
    StoredPolicy(ISplitEEPolicy(0.9, mu=0.01, only_seen=True, every=2)).save(tmp_path)
    policy = StoredPolicy.load(tmp_path).policy
    assert isinstance(policy, ISplitEEPolicy)
    site, half = site_of(trace, deployment), len(trace) // 2
    one, two = policy.steps(site), policy.steps(site)
    drive(one, taken(trace, np.arange(half)), deployment)
    two.restore(one.state())
    rest = np.arange(half, len(trace))
    got = drive(two, taken(trace, rest), deployment)
    assert_same(policy.replay(trace, deployment), got, rest)


def test_by_hand() -> None:
    """Exits 2, 4 and 6 at costs 3, 6 and 9, α = 0.75, μ = 1/64, w = 1; o = 3 + 6.

    0: split 2, sure: 7/8 - 3/64.
    1: split 4, sure: 7/8 - 6/64; nothing for the split at 2, which was not sure.
    2: split 6: 1 - 9/64 for it; 3/4 - 6/64 for the split at 4, 1 - 12/64 for that at 2.
    """
    trace = pairs_trace(
        [(0.875, 0.5, 0.5), (0.625, 0.875, 0.5), (0.625, 0.75, 1.0)], exits=(2, 4, 6)
    )
    deployment = Deployment.paper((2, 2, 6))
    steps = SplitEESPolicy(0.75, mu=1 / 64, only_seen=True).steps(site_of(trace, deployment))
    seen = []
    for sample in range(3):
        walk, _ = walked(steps, trace, deployment, sample)
        seen.append([look.layer for look in walk.looks])
        assert walk.visits == [Visit(0, 0, 2 * sample + 2)]
    assert seen == [[2], [2, 4], [2, 4, 6]]
    state = steps.state()
    assert state["counts"].tolist() == [2, 2, 1]
    assert state["totals"].tolist() == [
        7 / 8 - 3 / 64 + 1 - 12 / 64,
        7 / 8 - 6 / 64 + 3 / 4 - 6 / 64,
        1 - 9 / 64,
    ]
    assert state["seen"].tolist() == 3


def test_what_is_offloaded_shows_the_last_exit() -> None:
    """Sample 1 is unsure at 2 and 4 and sent on: both splits learn of C_l = 1."""
    trace = pairs_trace([(0.875, 0.5, 0.5), (0.625, 0.5, 1.0)], exits=(2, 4, 6))
    deployment = Deployment.paper((2, 2, 6))
    steps = SplitEESPolicy(0.75, mu=1 / 64, only_seen=True).steps(site_of(trace, deployment))
    walked(steps, trace, deployment, 0)
    walk, look = walked(steps, trace, deployment, 1)
    assert walk.visits == [Visit(0, 0, 4), Visit(2, 4, 6, "hidden")]
    assert walk.looks[look].layer == 6
    assert steps.state()["counts"].tolist() == [2, 1, 0]
    assert steps.state()["totals"].tolist() == [7 / 8 - 3 / 64 + 1 - 12 / 64, 1 - 15 / 64, 0]


@pytest.mark.parametrize("make", [SplitEESPolicy, ISplitEEPolicy])
def test_what_nobody_has_seen_can_only_be_replayed(make: type[SplitEESPolicy]) -> None:
    site = Site(Deployment.paper((2, 2, 6)), (2, 6))
    with pytest.raises(ConfigError, match=r"replayed, and not served: .* only_seen=True"):
        make().steps(site)
    assert make(only_seen=True).replay_only == ""


def test_what_it_learns_does_not_hang_on_the_unseen() -> None:
    """Other confidences at the exits that a sample never reached: the same state."""
    stream = long_stream(60)
    trace, deployment = stream.trace, stream.deployment
    policy = SplitEESPolicy(0.75, mu=0.01, only_seen=True)
    states, reached = [], []
    steps = policy.steps(site_of(trace, deployment))
    for sample in range(len(trace)):
        walk, _ = walked(steps, trace, deployment, sample)
        reached.append({look.layer for look in walk.looks})
    states.append(steps.state())
    probabilities = trace.probabilities.copy()
    for sample, layers in enumerate(reached):
        for column, layer in enumerate(trace.exits):
            if layer not in layers:
                probabilities[sample, column] = [0.0, 1.0]
    other = replace(trace, probabilities=probabilities)
    assert not np.array_equal(other.probabilities, trace.probabilities)
    drive(again := policy.steps(site_of(other, deployment)), other, deployment)
    for name, array in again.state().items():
        np.testing.assert_array_equal(array, states[0][name])


def test_only_seen_is_true_or_false() -> None:
    with pytest.raises(ConfigError, match="only_seen must be True or False, got 1"):
        SplitEESPolicy(only_seen=1)  # type: ignore[arg-type]
