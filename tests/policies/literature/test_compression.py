"""Compressed models on the mobile alone: who answers, and what for."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dimec.base.errors import ConfigError
from dimec.policies import tagged
from dimec.policies.literature.compression import CompressedPolicy
from dimec.policies.registry import FitInputs, system
from dimec.tiers.costs import CostModel
from dimec.tiers.deployment import Deployment
from dimec.tiers.tier import Tier
from dimec.traces.trace import Trace
from support.builders import deployment_of, make_trace, traces

NEEDS = {
    "pruned-magnitude": "compressed-magnitude",
    "pruned-heads": "compressed-heads",
    "int8-mobile": "compressed-int8",
    "distilled-student": "compressed-student",
}


def worth(trace: Trace, layers: float) -> Trace:
    return replace(trace, extra={**trace.extra, "layers_worth": np.full(len(trace), layers)})


@given(trace=traces(), layers=st.floats(0.1, 12))
def test_the_last_exit_answers_on_the_first_tier_for_the_layers_it_is_worth(
    trace: Trace, layers: float
) -> None:
    deployment = Deployment.paper(trace.tiers, CostModel(mobile_layer=0.7))
    outcome = CompressedPolicy().replay(worth(trace, layers), deployment)
    for i in range(len(trace)):
        assert outcome.answers[i].tolist() == [0.0] * (len(trace.exits) - 1) + [1.0]
        assert outcome.tiers[i].tolist() == [1.0, 0.0, 0.0]
        assert outcome.cost[i] == pytest.approx(0.7 * layers)
        assert outcome.usage.sent[i].sum() == 0


def test_a_trace_of_one_exit_is_all_that_it_takes() -> None:
    trace = make_trace(5, exits=(6,), tiers=(6,))
    outcome = CompressedPolicy().replay(worth(trace, 1.5), Deployment.paper((2, 3, 6)))
    assert outcome.answers.tolist() == [[1.0]] * 5
    assert set(outcome.usage.layers[:, 0]) == {1.5}


@pytest.mark.parametrize("name", NEEDS)
def test_a_trace_that_does_not_say_is_of_the_whole_model(name: str) -> None:
    trace = make_trace(4)
    fitted = system(name).fit(FitInputs(trace, deployment_of(trace), 0.02))
    assert fitted.policy.name == name
    assert fitted.settings == {}
    layers = fitted.policy.replay(trace, Deployment.paper((2, 4, 6))).usage.layers[:, 0]
    assert set(layers) == {6.0}


def test_each_needs_traces_of_its_own_and_is_not_served() -> None:
    assert {one.name: one.needs for one in tagged("compressed")} == NEEDS
    for name in NEEDS:
        assert "arXiv" in system(name).source
        assert system(name).make().replay_only


def test_tiers_with_models_of_their_own_are_refused() -> None:
    tiers = (Tier("phone", 2, 1.5, source="phone"), Tier("cloud", 6, 1.5, source="cloud"))
    with pytest.raises(ConfigError, match="compressed cuts one model"):
        CompressedPolicy().replay(make_trace(3), Deployment(tiers))
