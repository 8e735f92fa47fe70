"""The whole model for every input."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given

from dimec.base.errors import ConfigError
from dimec.policies.literature.bert import BertPolicy
from dimec.policies.registry import FitInputs, system
from dimec.tiers.costs import CostModel
from dimec.tiers.deployment import Deployment
from dimec.traces.trace import Trace
from support.builders import make_trace, traces
from support.scenes import parts
from support.usages import named, usage_from


@pytest.mark.parametrize(("place", "tier"), [("cloud", 2), ("mobile", 0)])
@given(trace=traces())
def test_the_last_exit_answers_everything(place: str, tier: int, trace: Trace) -> None:
    outcome = BertPolicy(place).replay(trace, Deployment.paper(trace.tiers))
    last = [float(layer == trace.exits[-1]) for layer in trace.exits]
    assert outcome.answers.tolist() == [last] * len(trace)
    assert outcome.tiers.tolist() == [np.eye(3)[tier].tolist()] * len(trace)


@given(traces())
def test_both_cost_the_same_while_the_charge_is_left_open(trace: Trace) -> None:
    deployment = Deployment.paper(trace.tiers)
    for place in ("cloud", "mobile"):
        usage = BertPolicy(place).replay(trace, deployment).usage
        assert deployment.price(usage).tolist() == [9.0] * len(trace)  # 6 layers at 1.5


def test_what_it_takes() -> None:
    """γ = 20: 3 + 20 in the cloud, 6·1.5 on the mobile; 4 bytes a token travel, or nothing."""
    trace = make_trace(2, lengths=np.array([5, 8]))
    deployment = Deployment.paper(trace.tiers, CostModel(cloud_charge=20))
    cloud = BertPolicy("cloud").replay(trace, deployment)
    assert deployment.price(cloud.usage).tolist() == [23, 23]
    expected = usage_from(
        2, cloud_layers=6, cloud_offloads=1, cloud_charges=1, cloud_bytes=[20.0, 32.0]
    )
    for name, value in vars(expected).items():
        assert parts(cloud)[name].tolist() == value.tolist(), name
    mobile = BertPolicy("mobile").replay(trace, deployment)
    assert deployment.price(mobile.usage).tolist() == [9, 9]
    assert mobile.usage.layers[:, 0].tolist() == [6, 6]
    rest = {name: value for name, value in named(mobile.usage).items() if name != "mobile_layers"}
    assert not any(value.any() for value in rest.values())


def test_the_deployed_model_may_end_before_the_traces_last_exit() -> None:
    outcome = BertPolicy().replay(make_trace(1), Deployment.paper((2, 4, 4)))
    assert outcome.answers.tolist() == [[0, 1, 0]]
    assert outcome.usage.layers[:, 2].tolist() == [4]


@pytest.mark.parametrize("name", ["bert-cloud", "bert-mobile"])
def test_there_is_nothing_to_choose(name: str) -> None:
    trace = make_trace(4)
    fit = system(name).fit(FitInputs(trace, Deployment.paper(trace.tiers), 0.02))
    assert dict(fit.settings) == {}
    assert fit.policy.name == name


def test_another_place_is_refused() -> None:
    with pytest.raises(ConfigError, match="'edge'"):
        BertPolicy("edge")
