"""Which systems can be served, and with what settings they are fitted for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from dimec.base.errors import ConfigError, typed_options
from dimec.cli.command import SERVABLE
from dimec.policies import System, registry
from dimec.policies.literature.dimee import MaxSoftmaxPolicy
from dimec.policies.literature.splitee_s import SplitEESPolicy
from dimec.policies.registry import FitInputs, system, systems, validation_reward
from dimec.policies.servable import fit_servable, options_of, servable, served_names
from dimec.tiers.deployment import Deployment
from dimec.traces.trace import Trace
from support.builders import make_trace

REPLAYED = {"random", "neurosurgeon-latency", "neurosurgeon-energy"}
REPLAYED |= {name for name, one in systems().items() if one.needs}


@pytest.fixture
def inputs() -> FitInputs:
    trace: Trace = make_trace(80, exits=(1, 2, 3, 4, 5, 6), tiers=(2, 4, 6))
    return FitInputs(trace, Deployment.paper((2, 4, 6)), 0.02)


def refusal(name: str, inputs: FitInputs, **settings: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        fit_servable(name, inputs, settings)
    said = str(caught.value)
    assert "\n" not in said
    return said


def test_all_can_be_served_but_what_needs_a_trace_or_graphs_of_its_own() -> None:
    found = servable()
    assert found.keys() == systems().keys() - REPLAYED
    only_seen = {"only_seen": True}
    assert {name: taken for name, taken in found.items() if taken} == {
        "splitee-s": only_seen,
        "i-splitee": only_seen,
    }
    assert served_names()["splitee-s"] == " (with only_seen=true)"
    told = [f"{name}{settings}" for name, settings in served_names().items()]
    assert told == ["dimec", *SERVABLE]  # as --policy's help has them
    assert next(iter(served_names())) == "dimec"


def test_what_only_a_fit_finds_cannot_be_set(inputs: FitInputs) -> None:
    """The cascade is fitted for the ledger's λ: one that is set beside it would do nothing."""
    assert options_of(system("cascade")) == {}
    assert refusal("cascade", inputs, lam="0.5") == (
        "cascade has no setting 'lam'; it has none that can be set"
    )


@pytest.mark.parametrize("name", systems())
def test_a_setting_is_of_the_type_of_the_grids_values(name: str) -> None:
    known = options_of(system(name))
    assert known.keys() >= system(name).grid.keys()
    for setting, values in system(name).grid.items():
        if setting in known and name not in REPLAYED:
            assert {type(value) for value in values} <= {known[setting]}


def test_the_types_of_a_constructor_come_before_those_of_the_grid() -> None:
    grid = {"threshold": (0, 1)}  # whole numbers, where the constructor takes any
    known = options_of(System("x", "a source", MaxSoftmaxPolicy, grid=grid))
    assert known == {"threshold": float}
    assert options_of(System("x", "", lambda **given: MaxSoftmaxPolicy(**given), grid)) == {
        "threshold": int
    }


def test_a_setting_that_is_set_is_not_chosen(inputs: FitInputs) -> None:
    for given in (0.87, "0.87", " 0.87 "):
        fitted = fit_servable("max-softmax", inputs, {"threshold": given})
        assert isinstance(fitted.policy, MaxSoftmaxPolicy)
        assert (fitted.policy.threshold, dict(fitted.settings)) == (0.87, {"threshold": 0.87})
        assert fitted.reward == validation_reward(fitted.policy, inputs)
    assert fit_servable("max-softmax", inputs, {"threshold": 1}).settings == {"threshold": 1.0}


def test_the_other_settings_are_chosen_as_ever(inputs: FitInputs) -> None:
    fitted = fit_servable("splitee-s", inputs, {"only_seen": "true", "alpha": 0.9})
    assert isinstance(fitted.policy, SplitEESPolicy)
    assert (fitted.policy.only_seen, fitted.policy.alpha, fitted.policy.mu) == (True, 0.9, 0.02)
    rewards = {
        weight: validation_reward(SplitEESPolicy(0.9, weight, 0.02, only_seen=True), inputs)
        for weight in system("splitee-s").grid["weight"]
    }
    assert fitted.reward == max(rewards.values())
    assert rewards[fitted.settings["weight"]] == fitted.reward


def test_the_price_of_a_bandit_can_be_set_too(inputs: FitInputs) -> None:
    fitted = fit_servable("lee", inputs, {"mu": 0.3})
    assert (fitted.settings["mu"], vars(fitted.policy)["mu"]) == (0.3, 0.3)


def test_a_fit_of_its_own_takes_settings_too(inputs: FitInputs) -> None:
    assert fit_servable("dimee", inputs, {"threshold": 0.93}).settings == {"threshold": 0.93}
    assert "lies between 0 and 1" in refusal("dimee", inputs, threshold=2)


def test_what_cannot_be_served_is_refused_in_a_line_that_says_what_can(inputs: FitInputs) -> None:
    for name in ("random", "neurosurgeon-latency"):
        said = refusal(name, inputs)
        assert f"{name} can be replayed and not served: it " in said
        assert "policy takes dimec, bert-cloud" in said
    assert "needs a training of its own (bottleneck-task)" in refusal("bottlenet++", inputs)
    said = refusal("oracle", inputs)
    assert said.startswith("no system is named 'oracle'; policy takes dimec, ")
    assert "random" not in said


def test_what_can_be_served_with_a_setting_names_it_as_it_is_typed(inputs: FitInputs) -> None:
    assert refusal("splitee-s", inputs).endswith("; set it with settings only_seen=true")
    with typed_options({"settings": "--set"}):
        assert refusal("i-splitee", inputs).endswith("; set it with --set only_seen=true")
    assert "not served" in refusal("splitee-s", inputs, only_seen=False)


def test_one_tier_is_too_few_to_offload(inputs: FitInputs) -> None:
    alone = replace(inputs, deployment=Deployment.paper((6,), names=("cloud",)))
    said = refusal("adaee", alone)
    assert "adaee cannot be fitted here: to offload takes a second tier" in said
    assert "max-softmax-tiers" in said


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("deebert", {"treshold": 0.5}, "deebert has no setting 'treshold'; it has threshold"),
        ("bert-cloud", {"place": "x"}, "has no setting 'place'; it has none that can be set"),
        ("deebert", {"threshold": "much"}, "deebert: threshold is a number, got 'much'"),
        ("deebert", {"threshold": True}, "threshold is a number, got 'True'"),
        ("pabee", {"patience": "2.5"}, "pabee: patience is a whole number, got '2.5'"),
        ("pabee", {"patience": 0}, "patience must be a whole number of at least 1"),
        ("splitee-s", {"only_seen": "maybe"}, "only_seen is true or false, got 'maybe'"),
        ("deebert", {"threshold": "nan"}, "must be a finite number"),
        ("dimec-fixed-quantile", {"router": 1}, "has no setting 'router'; it has weight"),
    ],
)
def test_settings_that_are_none_of_it_are_refused(
    inputs: FitInputs, name: str, settings: dict[str, Any], message: str
) -> None:
    assert message in refusal(name, inputs, **settings)


def broken(threshold: float = 0.5) -> MaxSoftmaxPolicy:
    raise ValueError("no such thing")


@pytest.fixture
def another(monkeypatch: pytest.MonkeyPatch) -> Callable[[System], None]:
    """Registers a system for this test alone."""
    systems()

    def add(one: System) -> None:
        monkeypatch.setitem(registry._SYSTEMS.things, one.name, one)

    return add


def test_a_system_that_cannot_be_made_hides_no_other(
    inputs: FitInputs, another: Callable[[System], None]
) -> None:
    another(System("broken", "a package", broken))
    assert "broken" not in servable()
    assert "broken cannot be made: no such thing" in refusal("broken", inputs)
