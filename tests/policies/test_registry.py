"""Systems by name, and how their settings are chosen on the validation split."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dimec.base.errors import ConfigError, DataError
from dimec.policies import FitInputs, Fitted, Outcome, System, register, system, systems, tagged
from dimec.policies.base import tier_outcome
from dimec.policies.literature.bert import BertPolicy
from dimec.policies.literature.early_exit import OneStep
from dimec.policies.registry import validation_reward
from dimec.policies.step import Go, Site, Steps
from dimec.tiers.costs import CostModel
from dimec.tiers.deployment import Deployment
from dimec.traces.trace import Trace
from support.builders import make_trace, traces
from support.scenes import every_system

every_system()  # registers them, should a module be missing from the package


class AlwaysPolicy:
    """Sends everything to one tier; remembers what it was built with."""

    sees_labels = False
    learns_online = False
    replay_only = ""
    name = "always"

    def __init__(self, tier: int, unused: str = "") -> None:
        self.tier = tier
        self.unused = unused

    def steps(self, site: Site) -> Steps:
        return OneStep(Go(self.tier, site.deployment.exits[self.tier]))

    def replay(self, trace: Trace, deployment: Deployment) -> Outcome:
        return tier_outcome(trace, deployment, np.tile(np.eye(3)[self.tier], (len(trace), 1)))


def inputs_of(trace: Trace, lam: float = 0.02) -> FitInputs:
    return FitInputs(trace, Deployment.paper(trace.tiers), lam)


def slow_reward(trace: Trace, tier: int, lam: float) -> float:
    """Mean of (right or wrong) - λ·price, in a loop."""
    column = trace.exits.index(trace.tiers[tier])
    price = Deployment.paper(trace.tiers).tiers[tier].price
    total = 0.0
    for sample, label in zip(trace.probabilities.tolist(), trace.labels.tolist(), strict=True):
        p = sample[column]
        total += (p.index(max(p)) == label) - lam * price
    return total / len(trace)


@given(traces(), st.sampled_from([0.0, 0.01, 0.1, 1.0]))
def test_the_best_setting_of_the_grid_is_taken(trace: Trace, lam: float) -> None:
    always = System("always", "a source", AlwaysPolicy, grid={"tier": (2, 0, 1)})
    fit = always.fit(inputs_of(trace, lam))
    rewards = {tier: slow_reward(trace, tier, lam) for tier in (2, 0, 1)}
    assert fit.reward == pytest.approx(max(rewards.values()), rel=0, abs=1e-12)
    assert rewards[fit.settings["tier"]] == pytest.approx(max(rewards.values()), rel=0, abs=1e-12)
    assert isinstance(fit.policy, AlwaysPolicy)
    assert fit.policy.tier == fit.settings["tier"]


def test_the_reward_by_hand() -> None:
    """2 of 4 right on the mobile at 1.5·2 = 3: 0.5 - 0.1·3; the policy's lots count by weight."""
    p = np.array([[[0.9, 0.1]] * 3] * 4, np.float32)
    trace = make_trace(4, probabilities=p, labels=np.array([0, 1, 0, 1]))
    assert validation_reward(AlwaysPolicy(0), inputs_of(trace, 0.1)) == pytest.approx(0.2)
    # All-cloud: as right, at 9.
    assert validation_reward(BertPolicy(), inputs_of(trace, 0.1)) == pytest.approx(0.5 - 0.9)


def test_ties_go_to_the_earlier_setting() -> None:
    trace = make_trace(5)
    one = System("x", "a source", AlwaysPolicy, grid={"tier": (1,), "unused": ("b", "a", "c")})
    assert one.fit(inputs_of(trace)).settings == {"tier": 1, "unused": "b"}


def test_every_combination_is_tried_in_order() -> None:
    grid = {"a": (1, 2), "b": ("x", "y")}
    assert System("x", "a source", AlwaysPolicy, grid=grid).settings() == [
        {"a": 1, "b": "x"},
        {"a": 1, "b": "y"},
        {"a": 2, "b": "x"},
        {"a": 2, "b": "y"},
    ]
    assert System("x", "a source", AlwaysPolicy).settings() == [{}]


def test_a_system_may_fit_in_a_way_of_its_own() -> None:
    seen: list[FitInputs] = []

    def fit(inputs: FitInputs) -> Fitted:
        seen.append(inputs)
        return Fitted(AlwaysPolicy(1), {"by": "hand"}, 0.5)

    inputs = inputs_of(make_trace(3))
    found = System("x", "a source", AlwaysPolicy, grid={"tier": (0,)}, fitter=fit).fit(inputs)
    assert seen == [inputs]
    assert (found.settings, found.reward) == ({"by": "hand"}, 0.5)


def test_settings_that_were_chosen_cannot_be_changed() -> None:
    fit = system("deebert").fit(inputs_of(make_trace(5)))
    with pytest.raises(TypeError):
        fit.settings["threshold"] = 1.0  # type: ignore[index]


def test_the_price_of_offloading_changes_the_choice() -> None:
    """DeeBERT leaves earlier where the cloud's charge is high."""
    trace = make_trace(200, seed=5)
    chosen = []
    for charge in (0.0, 100.0):
        deployment = Deployment.paper(trace.tiers, CostModel(cloud_charge=charge))
        fit = system("deebert").fit(FitInputs(trace, deployment, 0.02))
        chosen.append(fit.policy.replay(trace, deployment).usage.layers[:, 2].mean())
    assert chosen[1] < chosen[0]


def test_names_and_order() -> None:
    assert list(systems())[:2] == ["bert-cloud", "bert-mobile"]
    for name, one in systems().items():
        assert system(name) is one
        assert one.name == name


def test_a_system_without_a_title_goes_by_its_name() -> None:
    assert System("x", "", AlwaysPolicy).title == "x"
    assert all(one.title != one.name for one in systems().values())


def test_tags_choose_among_systems_in_the_order_of_the_tables() -> None:
    assert [one.name for one in tagged("whole model")] == ["bert-cloud", "bert-mobile"]
    assert [one.name for one in tagged("ours", "adaptive")] == [
        "dimec-adaptive-paper",
        "dimec-adaptive-quantile",
    ]
    assert tagged("whole model", "ours") == ()


def test_the_recipes_are_those_that_the_papers_prescribe() -> None:
    recipes = {name: one.recipe for name, one in systems().items() if one.recipe}
    assert recipes == {"deebert": "two-stage", "pabee": "depth"}


def test_an_unknown_name_is_answered_with_those_there_are() -> None:
    with pytest.raises(ConfigError, match=r"no system is named 'debert'; .*bert-cloud.*deebert"):
        system("debert")


def test_a_name_can_be_taken_once() -> None:
    before = list(systems())
    with pytest.raises(ConfigError, match="'bert-cloud' is registered already"):
        register(System("bert-cloud", "another source", AlwaysPolicy))
    assert list(systems()) == before


def test_the_registry_cannot_be_written_past_register() -> None:
    with pytest.raises(TypeError):
        systems()["x"] = system("bert-cloud")  # type: ignore[index]


def test_importing_the_package_registers_every_system() -> None:
    """No module's system is forgotten in ``dimec.policies``."""
    code = "import dimec.policies; print(*dimec.policies.systems())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) == set(every_system())


@pytest.mark.parametrize("lam", [-0.1, float("nan"), float("inf")])
def test_a_weight_of_cost_that_makes_no_sense_is_refused(lam: Any) -> None:
    with pytest.raises(ConfigError, match="lam must be"):
        inputs_of(make_trace(3), lam)


def test_an_empty_validation_split_is_refused() -> None:
    empty = replace(
        make_trace(1),
        embeddings=np.zeros((0, 4), np.float32),
        probabilities=np.zeros((0, 3, 2), np.float32),
        labels=np.zeros(0, np.int64),
        guids=(),
        lengths=np.zeros(0, np.int64),
    )
    with pytest.raises(DataError, match="without samples"):
        inputs_of(empty)
