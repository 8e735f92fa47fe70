"""One battery for every registered system: fitted to a validation split, replayed on a test split.

A new system is picked up by being registered; nothing has to be added here.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings

from dimec.base.errors import ConfigError
from dimec.policies import Outcome, Policy
from dimec.policies.drive import drive, site_of, walked
from dimec.policies.kinds import StoredPolicy
from dimec.tiers.deployment import Deployment
from dimec.traces.trace import Trace
from support.scenes import (
    ARRAYS,
    OTHER_TIERS,
    SCENES,
    Scene,
    assert_same,
    every_system,
    fitted,
    in_each,
    parts,
    scenes,
    taken,
)

NAMES = list(every_system())
# They answer on the device or go on elsewhere, and make no sense with one tier.
OFFLOADING = {"adaee", "splitee", "splitee-s", "i-splitee", "bottlenet++", "bottlefit"}
OFFLOADING |= {"cde", "hnd"}
OFFLOADING |= {"neurosurgeon-latency", "neurosurgeon-energy"}
OFFLOADING |= {"exit-cascade", "class-cascade", "class-gate", "deferral", "knn"}
OFFLOADING |= {"exit0-cascade", "exit0-class-cascade", "exit0-deferral"}
OFFLOADING |= {"cats", "calm", "fast-yet-safe"}
every = pytest.mark.parametrize("name", NAMES)
EVERYWHERE = SCENES | OTHER_TIERS
# Enough samples and exits for settings, answers and places to differ.
RICH = Scene(samples=60, classes=3)


def assert_adds_up(outcome: Outcome, trace: Trace, deployment: Deployment) -> None:
    """What holds for any way of answering N samples on three tiers."""
    n = len(trace)
    assert outcome.answers.shape == (n, len(trace.exits))
    assert outcome.tiers.shape == (n, len(deployment))
    assert len(outcome.usage) == n
    for name, values in parts(outcome).items():
        assert values.dtype == np.float64, name
        assert np.isfinite(values).all(), name
        assert (values >= 0).all(), name
    for weights in (outcome.answers, outcome.tiers):
        np.testing.assert_allclose(weights.sum(axis=1), 1, rtol=0, atol=1e-12)
    assert np.isfinite(deployment.price(outcome.usage)).all()


def assert_possible(outcome: Outcome, trace: Trace, deployment: Deployment) -> None:
    """No answer from layers that nobody ran, none from a tier that nothing was sent to."""
    usage, slack = outcome.usage, 1e-9
    answered_at = outcome.answers @ np.asarray(trace.exits, float)
    assert (usage.layers.sum(axis=1) >= answered_at - slack).all()
    # However often it is asked, a tier has no more layers than the model.
    assert (usage.layers <= deployment.layers + slack).all()
    assert not usage.sent[:, 0].any()
    assert not usage.bytes[:, 0].any()
    assert (outcome.tiers[:, 1:] <= usage.sent[:, 1:] + slack).all()
    np.testing.assert_array_equal(usage.sent > 0, usage.bytes > 0)  # every text has a token
    assert not usage.layers[:, 1:][usage.sent[:, 1:] == 0].any()
    assert (usage.charges[:, 1:] <= usage.sent[:, 1:] + slack).all()
    np.testing.assert_array_equal(usage.charges[:, 1:] > 0, usage.sent[:, 1:] > 0)


def drivable(name: str, scene: Scene) -> bool:
    """Whether it can be written as steps; if not, it says why, and refuses to be asked."""
    policy, site = fitted(name, scene).policy, site_of(scene.trace("test"), scene.deployment)
    if policy.replay_only:
        with pytest.raises(ConfigError, match=policy.replay_only):
            policy.steps(site)
        return False
    return True


def assert_replay_agrees_with_steps(name: str, scene: Scene) -> None:
    """Sample by sample, to the last bit: answers, tiers, layers, sendings, charges, bytes."""
    trace, policy = scene.trace("test"), fitted(name, scene).policy
    if drivable(name, scene):
        driven = drive(policy.steps(site_of(trace, scene.deployment)), trace, scene.deployment)
        assert_same(driven, policy.replay(trace, scene.deployment))


@every
def test_its_replay_agrees_with_its_steps(name: str) -> None:
    in_each(EVERYWHERE, lambda scene: assert_replay_agrees_with_steps(name, scene))


@every
@settings(max_examples=10)
@given(scene=scenes())
def test_its_replay_agrees_with_its_steps_in_any_scene(name: str, scene: Scene) -> None:
    assert_replay_agrees_with_steps(name, scene)


@every
def test_it_says_beforehand_which_steps_it_may_take(name: str) -> None:
    def check(scene: Scene) -> None:
        trace, policy = scene.trace("test"), fitted(name, scene).policy
        if not drivable(name, scene):
            return
        steps, taken_ = policy.steps(site_of(trace, scene.deployment)), set()
        for sample in range(len(trace)):
            walk, _ = walked(steps, trace, scene.deployment, sample)
            taken_ |= {(look.tier, look.layer) for look in walk.looks}
        reach = [(step.tier, step.layer) for step in steps.reach]
        assert taken_ <= set(reach)
        assert len(set(reach)) == len(reach)

    in_each(EVERYWHERE, check)


@every
def test_steps_that_are_resumed_go_on_as_if_never_interrupted(name: str) -> None:
    """Half of a stream, the state handed on as arrays to fresh steps, and the other half."""
    trace, policy = RICH.trace("test"), fitted(name, RICH).policy
    if not drivable(name, RICH):
        return
    site, half = site_of(trace, RICH.deployment), np.arange(len(trace) // 2)
    one, two = policy.steps(site), policy.steps(site)
    assert bool(one.learns != "never") == policy.learns_online
    drive(one, taken(trace, half), RICH.deployment)
    two.restore({key: value.copy() for key, value in one.state().items()})
    rest = np.arange(len(half), len(trace))
    got = drive(two, taken(trace, rest), RICH.deployment)
    assert_same(policy.replay(trace, RICH.deployment), got, rest)


@every
def test_a_stored_policy_is_the_same_policy(name: str, tmp_path: Path) -> None:
    trace, policy = RICH.trace("test"), fitted(name, RICH).policy
    if not drivable(name, RICH):
        return
    StoredPolicy(policy, {"lam": 0.02}).save(tmp_path)
    again = StoredPolicy.load(tmp_path)
    assert again.fitted_on == {"lam": 0.02}
    assert type(again.policy) is type(policy)
    assert again.policy.name == name
    assert_same(again.policy.replay(trace, RICH.deployment), policy.replay(trace, RICH.deployment))


@every
def test_a_single_tier_is_served_or_refused_in_one_line(name: str) -> None:
    """Where there is nowhere to go on, whoever has to says so."""
    scene = Scene(tiers=(6,))
    if name in OFFLOADING:
        with pytest.raises(ConfigError, match="a second tier"):
            every_system()[name].fit(scene.inputs())
        return
    policy = every_system()[name].fit(scene.inputs()).policy
    outcome = policy.replay(scene.trace("test"), scene.deployment)
    assert_adds_up(outcome, scene.trace("test"), scene.deployment)
    assert (outcome.tiers == 1).all()


def test_there_are_systems() -> None:
    assert {"bert-cloud", "bert-mobile", "deebert", "pabee", "dimee"} <= set(NAMES)


@every
def test_it_says_what_it_is(name: str) -> None:
    system = every_system()[name]
    assert system.name == name
    assert len(system.source) > 10
    fit = fitted(name, RICH)
    assert isinstance(fit.policy, Policy)
    assert fit.policy.name == name
    assert isinstance(fit.policy.sees_labels, bool)
    assert isinstance(fit.policy.learns_online, bool)
    assert type(fit.policy).__doc__
    for setting, values in system.grid.items():
        assert fit.settings[setting] in values


@every
def test_the_reward_of_the_fit_is_that_of_the_chosen_policy(name: str) -> None:
    """Mean of right - λ·cost on the validation split, sample by sample."""
    inputs, fit = RICH.inputs(), fitted(name, RICH)
    outcome = fit.policy.replay(inputs.validation, inputs.deployment)
    cost = inputs.deployment.price(outcome.usage).tolist()
    predictions, labels = inputs.validation.predictions, inputs.validation.labels
    total = 0.0
    for i, answers in enumerate(outcome.answers.tolist()):
        right = sum(p for x, p in enumerate(answers) if predictions[i, x] == labels[i])
        total += right - inputs.lam * cost[i]
    assert fit.reward == pytest.approx(total / len(cost), rel=0, abs=1e-9)


def assert_answers_everything(name: str, scene: Scene) -> None:
    trace = scene.trace("test")
    outcome = fitted(name, scene).policy.replay(trace, scene.deployment)
    assert_adds_up(outcome, trace, scene.deployment)
    assert_possible(outcome, trace, scene.deployment)


@every
def test_it_answers_everything(name: str) -> None:
    in_each(EVERYWHERE, lambda scene: assert_answers_everything(name, scene))


@every
@settings(max_examples=10)
@given(scene=scenes())
def test_it_answers_everything_in_any_scene(name: str, scene: Scene) -> None:
    assert_answers_everything(name, scene)


@every
def test_with_one_exit_there_is_one_answer(name: str) -> None:
    scene = SCENES["one exit"]
    outcome = fitted(name, scene).policy.replay(scene.trace("test"), scene.deployment)
    np.testing.assert_allclose(outcome.answers, 1, rtol=0, atol=1e-12)


@every
def test_it_is_deterministic_and_keeps_nothing(name: str) -> None:
    """Two replays agree, whatever was replayed in between; so do two fits from nothing."""

    def check(scene: Scene) -> None:
        trace, fit = scene.trace("test"), fitted(name, scene)
        first = fit.policy.replay(trace, scene.deployment)
        fit.policy.replay(scene.trace("validation"), scene.deployment)
        assert_same(fit.policy.replay(trace, scene.deployment), first)
        inputs = scene.inputs()
        fresh = replace(inputs, validation=replace(inputs.validation))  # no trace that was seen
        again = every_system()[name].fit(fresh)
        assert_same(again.policy.replay(trace, scene.deployment), first)
        assert dict(again.settings) == dict(fit.settings)

    in_each(EVERYWHERE, check)


@every
def test_neither_fit_nor_replay_changes_a_trace(name: str) -> None:
    inputs, trace = RICH.inputs(), RICH.trace("test")
    everything = [getattr(one, part) for one in (inputs.validation, trace) for part in ARRAYS]
    before = [array.tobytes() for array in everything]
    every_system()[name].fit(inputs).policy.replay(trace, RICH.deployment)
    assert [array.tobytes() for array in everything] == before


@every
def test_labels_are_read_only_by_those_that_say_so(name: str) -> None:
    """Every label another one: the same decisions, bit for bit, unless it declares otherwise."""
    trace, policy = RICH.trace("test"), fitted(name, RICH).policy
    other = replace(trace, labels=(trace.labels + 1) % RICH.classes)
    one = policy.replay(trace, RICH.deployment)
    if not policy.sees_labels:
        assert_same(policy.replay(other, RICH.deployment), one)
    else:
        changed = parts(policy.replay(other, RICH.deployment))
        assert any(not np.array_equal(changed[key], value) for key, value in parts(one).items())


def shuffled_is_the_same(name: str, seed: int) -> bool:
    """Whether a stream in another order leaves every sample's outcome as it was."""
    trace, policy = replace(RICH, seed=seed).trace("test"), fitted(name, RICH).policy
    rows = np.random.default_rng(seed).permutation(len(trace))
    one = parts(policy.replay(trace, RICH.deployment))
    two = parts(policy.replay(taken(trace, rows), RICH.deployment))
    return all(np.array_equal(values[rows], two[key]) for key, values in one.items())


@every
def test_order_matters_where_it_learns_online_and_nowhere_else(name: str) -> None:
    online = fitted(name, RICH).policy.learns_online
    same = (shuffled_is_the_same(name, seed) for seed in range(10))
    assert all(same) != online


@every
def test_the_future_does_not_matter(name: str) -> None:
    """What is done with the first k samples does not depend on those that come later."""

    def check(scene: Scene) -> None:
        trace, policy = scene.trace("test"), fitted(name, scene).policy
        whole = policy.replay(trace, scene.deployment)
        for k in {1, 2, len(trace) // 2, len(trace) - 1} - {0}:
            some = np.arange(min(k, len(trace)))
            assert_same(whole, policy.replay(taken(trace, some), scene.deployment), some)

    in_each(EVERYWHERE, check)


@every
def test_a_deployment_that_the_trace_does_not_fit_is_refused(name: str) -> None:
    scene = SCENES["some layers"]
    policy, trace = fitted(name, scene).policy, scene.trace("test")
    with pytest.raises(ConfigError, match=r"layer 7.*\[2, 3, 6\]"):
        policy.replay(trace, Deployment.paper((7, 7, 7)))
