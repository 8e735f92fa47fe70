"""Exit 0 in a trace: free for those who ask for it, and unseen by all others."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from dimec.base.errors import ConfigError
from dimec.policies.base import Outcome
from dimec.policies.drive import drive, site_of
from dimec.policies.literature.dimee import MaxSoftmaxTiersPolicy
from dimec.policies.reach import served_steps, unserved
from dimec.policies.step import Go, Signal, Site, Visit, Walk
from dimec.tiers.deployment import Deployment
from dimec.traces.trace import Trace
from support.builders import make_trace
from support.looking_first import LookingFirst
from support.scenes import (
    OTHER_TIERS,
    SCENES,
    Scene,
    assert_same,
    draw_probabilities,
    every_system,
    fitted,
    in_each,
)

EVERYWHERE = SCENES | OTHER_TIERS
PAPER = Deployment.paper((2, 4, 6))
BLIND = [name for name, one in every_system().items() if "exit 0" not in one.tags]
ZEROS = Signal(np.zeros(4, np.float32), 3)


def with_exit0(trace: Trace) -> Trace:
    """The trace with an exit 0 that is surer than most exits, and so would be taken by many."""
    shape = (len(trace), 1, len(trace.label_names))
    drawn = draw_probabilities(shape, "peaked", np.random.default_rng(len(trace)))
    return trace.with_exit0(drawn[:, 0])


def without_column_0(outcome: Outcome) -> Outcome:
    """What was done, on the exits after layers; nothing was answered at exit 0."""
    assert not outcome.answers[:, 0].any()
    return replace(outcome, answers=outcome.answers[:, 1:])


@pytest.mark.parametrize("name", BLIND)
def test_no_system_of_the_literature_sees_it(name: str) -> None:
    in_each(EVERYWHERE, lambda scene: assert_blind(name, scene))


def assert_blind(name: str, scene: Scene) -> None:
    """Fit, replay and steps are the same to the last bit."""
    deployment, trace = scene.deployment, scene.trace("test")
    more, before = with_exit0(trace), fitted(name, scene)
    inputs = scene.inputs()
    after = every_system()[name].fit(replace(inputs, validation=with_exit0(inputs.validation)))
    assert (dict(after.settings), after.reward) == (dict(before.settings), before.reward)
    replayed = before.policy.replay(trace, deployment)
    for policy in (before.policy, after.policy):
        assert_same(without_column_0(policy.replay(more, deployment)), replayed)
    if before.policy.replay_only:
        return
    steps = after.policy.steps(site_of(more, deployment))
    assert all(step.layer for step in steps.reach)
    assert list(steps.reach) == list(before.policy.steps(site_of(trace, deployment)).reach)
    assert_same(without_column_0(drive(steps, more, deployment)), replayed)


@pytest.mark.parametrize(("tier", "layer"), [(0, 1), (0, 2), (1, 4), (2, 6)])
def test_who_asks_for_it_has_it_for_nothing(tier: int, layer: int) -> None:
    """What follows costs what it costs by itself, and so does nothing."""
    trace = with_exit0(make_trace(40, exits=(1, 2, 4, 6)))
    outcome = LookingFirst(0.9, tier, layer).replay(trace, PAPER)
    sure = trace.confidences[:, trace.column(0)] >= 0.9
    assert 0 < sure.sum() < len(trace)
    np.testing.assert_array_equal(outcome.answers[:, 0], sure)
    np.testing.assert_array_equal(outcome.answers[:, trace.column(layer)], ~sure)
    straight = LookingFirst(1.1, tier, layer).replay(trace, PAPER)
    for name in ("layers", "sent", "charges", "bytes"):
        used, whole = getattr(outcome.usage, name), getattr(straight.usage, name)
        assert not used[sure].any(), name
        np.testing.assert_array_equal(used[~sure], whole[~sure], err_msg=name)
    np.testing.assert_array_equal(outcome.cost[sure], 0)
    price = PAPER.tiers[0].layer_price * layer if tier == 0 else PAPER.prices[tier]
    np.testing.assert_allclose(straight.cost, price, rtol=1e-12)


def test_the_path_that_begins_there_goes_on() -> None:
    walk = Walk(ZEROS)
    assert walk.go(Go(0, 0), PAPER) == Visit(0, 0, 0)
    walk.see(np.array([0.5, 0.5], np.float32))
    assert (walk.last.tier, walk.last.layer) == (0, 0)
    assert walk.go(Go(0, 2), PAPER) == Visit(0, 0, 2)
    assert walk.go(Go(2, 6), PAPER) == Visit(2, 0, 6, "text")
    assert walk.visits == [Visit(0, 0, 2), Visit(2, 0, 6, "text")]


def test_nobody_comes_back_to_it() -> None:
    walk = Walk(ZEROS)
    walk.go(Go(0, 0), PAPER)
    with pytest.raises(ConfigError, match="a step leads on"):
        walk.go(Go(0, 0), PAPER)


def test_it_is_the_devices_alone() -> None:
    for walk in (Walk(ZEROS), Walk(ZEROS, visits=[Visit(0, 0, 2)])):
        with pytest.raises(ConfigError, match="layer 0 is the device's"):
            walk.go(Go(1, 0), PAPER)


def test_a_site_tells_whether_there_is_one() -> None:
    trace = make_trace(3)
    assert not site_of(trace, PAPER).exit0
    site = site_of(with_exit0(trace), PAPER)
    assert site.exit0
    assert site.exits == (0, 2, 4, 6)
    assert site.exits_of(0) == (2, 4, 6)


def test_it_is_that_of_the_first_tiers_own_model() -> None:
    tiers = tuple(
        replace(tier, source=source)
        for tier, source in zip(PAPER.tiers, ("small", "large", "large"), strict=True)
    )
    own = Site(Deployment(tiers), (0, 2, 4, 6), ("small", "small", "large", "large"))
    others = Site(Deployment(tiers), (2, 0, 4, 6), ("small", "large", "large", "large"))
    assert (own.exit0, others.exit0) == (True, False)


def test_it_can_be_served_where_the_device_has_it() -> None:
    site, policy = Site(PAPER, (0, 2, 4, 6)), LookingFirst(0.9, 2, 6)
    assert served_steps(policy, site, (0, 2), 4).reach == [Go(0, 0), Go(2, 6)]
    assert unserved(policy, site, 4) == ""
    assert unserved(MaxSoftmaxTiersPolicy(0.9), Site(PAPER, (0, 2)), 4) == ""
    with pytest.raises(ConfigError, match=r"can stop at 2; train again without --no-exit0"):
        served_steps(policy, site, (2,), 4)
