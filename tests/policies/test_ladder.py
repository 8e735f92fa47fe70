"""The policies of a system along its knob, held against fits one by one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from dimec.base.errors import ConfigError
from dimec.policies import FitInputs, Fitted, Outcome, RandomPolicy, System
from dimec.policies.ladder import LAMBDA, LAMBDAS, knob_of, ladder
from dimec.policies.literature.bert import BertPolicy
from support.scenes import Scene, assert_same, every_system

SCENE = Scene(samples=60, classes=3)
SHORT = (0.001, 0.02, 0.02001, 0.1)  # two of them so near that they choose alike
SYSTEMS = every_system()
ALONG = [name for name, one in SYSTEMS.items() if one.fitter is not None]
BY_GRID = [name for name, one in SYSTEMS.items() if one.fitter is None]


def replayed(fitted: Fitted) -> Outcome:
    return fitted.policy.replay(SCENE.trace("test"), SCENE.deployment)


class TestEverySystem:
    @pytest.mark.parametrize("name", ALONG)
    def test_a_point_of_lambda_is_the_fit_for_that_lambda(self, name: str) -> None:
        """Also of those that were left out: the point before them is theirs."""
        one, inputs = SYSTEMS[name], SCENE.inputs()
        found = ladder(one, inputs, SHORT)
        assert knob_of(one) == LAMBDA
        for lam in SHORT:
            alone = one.fit(replace(inputs, lam=lam))
            rung = [fitted for tried, fitted in found if tried is not None and tried <= lam][-1]
            assert dict(rung.settings) == dict(alone.settings)
            assert_same(replayed(rung), replayed(alone))

    @pytest.mark.parametrize("name", BY_GRID)
    def test_the_points_of_a_grid_are_its_settings_in_order(self, name: str) -> None:
        one, inputs = SYSTEMS[name], SCENE.inputs()
        found = ladder(one, inputs)
        assert [dict(fitted.settings) for _, fitted in found] == one.settings()
        assert [lam for lam, _ in found] == [None] * len(found)
        best = one.fit(inputs)
        assert best.reward == max(fitted.reward for _, fitted in found)
        for _, fitted in found:
            alone = one.fit(replace(inputs, pinned=fitted.settings))
            assert_same(replayed(fitted), replayed(alone))
            assert fitted.reward == alone.reward

    @pytest.mark.parametrize("name", list(SYSTEMS))
    def test_no_policy_stands_twice_in_a_row(self, name: str) -> None:
        found = ladder(SYSTEMS[name], SCENE.inputs(), SHORT)
        settings = [dict(fitted.settings) for _, fitted in found]
        # Where nothing is chosen but what the λ makes of it, settings say nothing.
        assert all(a != b for a, b in pairwise(settings) if a)
        if len(found) > 1:
            assert knob_of(SYSTEMS[name])

    def test_the_values_of_lambda_rise(self) -> None:
        assert list(LAMBDAS) == sorted(set(LAMBDAS))
        assert LAMBDAS[0] > 0


def chosen_by(inputs: FitInputs) -> Fitted:
    """A policy whose only setting is whether λ is large."""
    settings = {"large": inputs.lam > 0.05, **inputs.pinned}
    return Fitted(BertPolicy("mobile" if settings["large"] else "cloud"), settings, inputs.lam)


class TestByHand:
    def test_neighbours_with_the_same_settings_are_one_point(self) -> None:
        one = System("steps", "a source", BertPolicy, fitter=chosen_by)
        found = ladder(one, SCENE.inputs(), (0.01, 0.02, 0.06, 0.07, 0.03))
        told = [(lam, fitted.settings["large"]) for lam, fitted in found]
        assert told == [(0.01, False), (0.06, True), (0.03, False)]

    def test_settings_that_are_pinned_stay(self) -> None:
        one = System("steps", "a source", BertPolicy, fitter=chosen_by)
        inputs = replace(SCENE.inputs(), pinned={"large": True})
        assert [lam for lam, _ in ladder(one, inputs, (0.01, 0.06))] == [0.01]

    def test_a_pinned_setting_takes_its_place_in_the_grid(self) -> None:
        def make(a: int, b: int) -> RandomPolicy:
            return RandomPolicy(f"{a}{b}")

        one = System("grid", "a source", make, grid={"a": (1, 2), "b": (3, 4)})
        inputs = replace(SCENE.inputs(), pinned={"b": 9})
        assert knob_of(one) == "a, b"
        assert [fitted.policy.name for _, fitted in ladder(one, inputs)] == ["19", "29"]

    def test_shared_work_is_done_once(self) -> None:
        calls: list[Any] = []

        def along(inputs: FitInputs, lambdas: Sequence[float]) -> list[Fitted]:
            calls.append(tuple(lambdas))
            return [Fitted(BertPolicy(), {}, lam) for lam in lambdas]

        one = System("along", "a source", BertPolicy, fitter=chosen_by, along=along)
        found = ladder(one, SCENE.inputs(), (0.01, 0.02, 0.06))
        assert calls == [(0.01, 0.02, 0.06)]
        assert [(lam, fitted.reward) for lam, fitted in found] == [
            (0.01, 0.01),
            (0.02, 0.02),
            (0.06, 0.06),
        ]

    def test_what_cannot_be_fitted_is_refused(self) -> None:
        inputs = replace(SCENE.inputs(), data_map=None)
        with pytest.raises(ConfigError, match="needs the data map"):
            ladder(SYSTEMS["dimec-fixed-quantile"], inputs, SHORT)
