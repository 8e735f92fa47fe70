"""The policy that ships a bottleneck's code, beside a plain loop of the same rule."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dimec.base.errors import ConfigError, MismatchError
from dimec.policies.literature.bottleneck import (
    THRESHOLDS,
    BottleneckPolicy,
    code_payload,
    split_layer,
    token_code_bytes,
)
from dimec.policies.registry import FitInputs, system
from dimec.tiers.costs import CostModel
from dimec.tiers.deployment import Deployment
from dimec.traces.trace import Trace
from support.builders import deployment_of, make_trace, traces

NAMES = ("bottlenet++", "bottlefit", "cde")
thresholds = st.none() | st.sampled_from(THRESHOLDS[1:]) | st.floats(0, 1)


def coded(trace: Trace, layer: int = 2, size: int = 5) -> Trace:
    """The trace as ``dimec bottleneck`` would leave it: ``size`` bytes a token."""
    columns = {
        "code_bytes": size * trace.lengths.astype(np.float64),
        "code_layer": np.full(len(trace), float(layer)),
    }
    return replace(trace, extra={**trace.extra, **columns})


def by_hand(
    trace: Trace, deployment: Deployment, threshold: float | None, layer: int
) -> list[dict[str, Any]]:
    """Sample by sample: where it is answered, by which exit, what is sent, and what it costs."""
    costs, last = deployment.costs, deployment.exits[2]
    gamma = costs.cloud_charge
    if gamma is None:
        gamma = max(0.0, costs.mobile_layer * last - costs.offload_cloud)
    rows = []
    for i in range(len(trace)):
        stays = False
        if threshold is not None:
            odds = trace.probabilities[i, list(trace.exits).index(layer)].tolist()
            stays = max(odds) >= threshold
        tokens = int(trace.lengths[i])
        size = trace.extra["code_bytes"][i] if "code_bytes" in trace.extra else 16 * tokens
        rows.append(
            {
                "exit": layer if stays else last,
                "tier": "mobile" if stays else "cloud",
                "cost": costs.mobile_layer * layer
                + (0.0 if stays else costs.offload_cloud + gamma),
                "bytes": 0.0 if stays else float(size),
                "cloud_layers": 0 if stays else last - layer,
            }
        )
    return rows


def replayed(
    trace: Trace, deployment: Deployment, policy: BottleneckPolicy
) -> list[dict[str, Any]]:
    """The policy's outcome in the same words."""
    outcome = policy.replay(trace, deployment)
    assert set(np.unique(outcome.answers)) | set(np.unique(outcome.tiers)) <= {0.0, 1.0}
    prices = deployment.price(outcome.usage)
    return [
        {
            "exit": trace.exits[outcome.answers[i].tolist().index(1.0)],
            "tier": ("mobile", "edge", "cloud")[outcome.tiers[i].tolist().index(1.0)],
            "cost": pytest.approx(prices[i]),
            "bytes": outcome.usage.bytes[i, 2],
            "cloud_layers": outcome.usage.layers[i, 2],
        }
        for i in range(len(trace))
    ]


@given(traces(), thresholds, st.booleans(), st.sampled_from([None, 0.0, 7.5]))
def test_it_does_what_a_plain_loop_of_the_rule_does(
    trace: Trace, threshold: float | None, with_code: bool, gamma: float | None
) -> None:
    layer = trace.tiers[0]
    if with_code:
        trace = coded(trace, layer)
    deployment = Deployment.paper(trace.tiers, CostModel(cloud_charge=gamma))
    policy = BottleneckPolicy(threshold)
    assert replayed(trace, deployment, policy) == by_hand(trace, deployment, threshold, layer)


@given(traces(), thresholds)
def test_every_part_of_the_usage_is_accounted_for(trace: Trace, threshold: float | None) -> None:
    usage = BottleneckPolicy(threshold).replay(trace, deployment_of(trace)).usage
    assert usage.layers[:, 0].tolist() == [trace.tiers[0]] * len(trace)
    assert np.array_equal(usage.sent[:, 2], usage.charges[:, 2])
    for table in (usage.layers, usage.sent, usage.charges, usage.bytes):
        assert not table[:, 1].any()


def test_a_worked_case() -> None:
    """Split behind 2 of 6 layers: 3 λ on the mobile, and 3 + 6 where the code is sent."""
    odds = np.array([0.5, 0.75, 0.875, 1.0], np.float32)
    probabilities = np.stack([np.stack([1 - odds, odds], axis=1)] * 3, axis=1)
    trace = make_trace(4, probabilities=probabilities, lengths=np.array([10, 20, 30, 40]))
    deployment = Deployment.paper((2, 4, 6))
    some = BottleneckPolicy(0.875).replay(coded(trace), deployment)
    assert deployment.price(some.usage).tolist() == [12.0, 12.0, 3.0, 3.0]
    assert some.usage.bytes[:, 2].tolist() == [50.0, 100.0, 0.0, 0.0]
    assert some.tiers.tolist() == [[0, 0, 1], [0, 0, 1], [1, 0, 0], [1, 0, 0]]
    assert some.answers.tolist() == [[0, 0, 1], [0, 0, 1], [1, 0, 0], [1, 0, 0]]
    everything = BottleneckPolicy().replay(trace, deployment)
    assert deployment.price(everything.usage).tolist() == [12.0] * 4
    # 16 numbers of 8 bits a token where the trace does not say what was sent
    assert everything.usage.bytes[:, 2].tolist() == [160.0, 320.0, 480.0, 640.0]


@given(traces(), st.randoms(use_true_random=False))
def test_the_order_of_the_samples_and_their_labels_do_not_matter(trace: Trace, random: Any) -> None:
    order = list(range(len(trace)))
    random.shuffle(order)
    columns = ("embeddings", "probabilities", "lengths")
    other = replace(
        trace,
        labels=(trace.labels + 1) % len(trace.label_names),
        guids=tuple(trace.guids[i] for i in order),
        **{name: getattr(trace, name)[order] for name in columns},
    )
    policy, deployment = BottleneckPolicy(0.7), deployment_of(trace)
    before = trace.probabilities.tobytes()
    rows = replayed(trace, deployment, policy)
    assert replayed(other, deployment, policy) == [rows[i] for i in order]
    assert trace.probabilities.tobytes() == before


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_certain_and_uniform_confidences(value: float) -> None:
    """At 0 all stay; at 1 those that are certain do."""
    sure = np.zeros((3, 3, 4), np.float32)
    sure[..., 0] = 1.0
    even = np.full((3, 3, 4), 0.25, np.float32)
    trace = make_trace(6, classes=4, probabilities=np.concatenate([sure, even]))
    stays = BottleneckPolicy(value).replay(trace, deployment_of(trace)).tiers[:, 0]
    assert stays.tolist() == [1.0] * 3 + [1.0 if value == 0 else 0.0] * 3


class TestTheSplit:
    def test_it_is_what_the_trace_says_and_else_the_mobiles_exit(self) -> None:
        trace, deployment = make_trace(exits=(1, 2, 4, 6)), Deployment.paper((2, 4, 6))
        assert split_layer(trace, deployment) == 2
        assert split_layer(trace, deployment, 4) == 4
        assert split_layer(coded(trace, 4), deployment) == 4
        assert split_layer(coded(trace, 4), deployment, 4) == 4
        usage = BottleneckPolicy(layer=4).replay(trace, deployment).usage
        assert set(usage.layers[:, 0]) == {4.0}
        assert set(usage.layers[:, 2]) == {2.0}

    def test_another_layer_than_the_traces_is_refused(self) -> None:
        trace, deployment = coded(make_trace(), 2), Deployment.paper((2, 4, 6))
        with pytest.raises(MismatchError, match=r"at layer 2.*--layer 4"):
            BottleneckPolicy(layer=4).replay(trace, deployment)
        mixed = dict(trace.extra)
        mixed["code_layer"] = np.where(np.arange(len(trace)) == 1, 4.0, 2.0)
        with pytest.raises(MismatchError, match=r"\[2, 4\]"):
            BottleneckPolicy().replay(replace(trace, extra=mixed), deployment)

    def test_a_threshold_needs_an_exit_there(self) -> None:
        trace, deployment = make_trace(), Deployment.paper((2, 4, 6))
        BottleneckPolicy(layer=3).replay(trace, deployment)
        with pytest.raises(ConfigError, match="no exit at layer 3"):
            BottleneckPolicy(0.9, layer=3).replay(trace, deployment)

    def test_it_lies_in_the_model(self) -> None:
        with pytest.raises(ConfigError, match="behind layer 7, the model has 6"):
            BottleneckPolicy(layer=7).replay(make_trace(), Deployment.paper((2, 4, 6)))

    def test_without_samples_it_is_the_mobiles_exit(self) -> None:
        trace = make_trace(0)
        assert split_layer(coded(trace, 4), deployment_of(trace)) == 2
        assert BottleneckPolicy(0.9).replay(trace, deployment_of(trace)).tiers.shape == (0, 3)


@pytest.mark.parametrize("threshold", [-0.1, 1.1, math.nan, math.inf])
def test_a_threshold_that_is_no_probability_is_refused(threshold: float) -> None:
    with pytest.raises(ConfigError, match="from 0 to 1"):
        BottleneckPolicy(threshold)


def test_a_split_before_the_first_layer_is_refused() -> None:
    with pytest.raises(ConfigError, match="layer 1 or a later one, got 0"):
        BottleneckPolicy(layer=0)


@given(st.integers(1, 400), st.integers(1, 16) | st.just(32))
def test_a_codes_bytes_are_its_bits_filled_up(width: int, bits: int) -> None:
    size = 0
    for written in range(width * bits):  # bit after bit, a new byte where the last is full
        if written % 8 == 0:
            size += 1
    assert token_code_bytes(width, bits) == size


@pytest.mark.parametrize(("width", "bits"), [(0, 8), (-1, 8), (4, 0), (4, 17), (4, 33), (4, 24)])
def test_a_code_of_no_size_is_refused(width: int, bits: int) -> None:
    with pytest.raises(ConfigError, match=r"got -?[0-9]+"):
        token_code_bytes(width, bits)


def test_the_payload_is_the_traces_own_where_it_has_one() -> None:
    trace = make_trace(3, lengths=np.array([1, 2, 30]))
    assert code_payload(trace).tolist() == [16.0, 32.0, 480.0]
    assert code_payload(coded(trace, size=3)).tolist() == [3.0, 6.0, 90.0]


class TestTheSystems:
    @pytest.mark.parametrize("name", NAMES)
    def test_a_row_has_its_systems_name_and_keeps_nothing(self, name: str) -> None:
        policy = system(name).make(threshold=0.9)
        assert policy.name == name
        assert not policy.sees_labels
        assert not policy.learns_online
        assert "arXiv" in system(name).source or "doi" in system(name).source

    @pytest.mark.parametrize("name", NAMES)
    @given(trace=traces(), lam=st.sampled_from([0.0, 0.02, 0.2]))
    def test_the_threshold_is_the_best_on_the_validation_split(
        self, name: str, trace: Trace, lam: float
    ) -> None:
        deployment = deployment_of(trace)
        fitted = system(name).fit(FitInputs(trace, deployment, lam))
        rewards = []
        for threshold in (None, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99):
            total = 0.0
            for i, row in enumerate(by_hand(trace, deployment, threshold, trace.tiers[0])):
                odds = trace.probabilities[i, list(trace.exits).index(row["exit"])].tolist()
                total += odds.index(max(odds)) == trace.labels[i]
                total -= lam * row["cost"]
            rewards.append(total / len(trace))
        assert fitted.reward == pytest.approx(max(rewards))
        chosen = THRESHOLDS.index(fitted.settings["threshold"])
        assert rewards[chosen] == pytest.approx(max(rewards))
        assert fitted.policy.name == name

    def test_each_needs_the_traces_of_its_own_training(self) -> None:
        needs = [system(name).needs for name in NAMES]
        assert needs == ["bottleneck-task", "bottleneck-distil", "bottleneck-reconstruction"]
        assert system("hnd").needs == "bottleneck-head-distillation"

    def test_an_altered_head_has_no_exit_at_the_split(self) -> None:
        assert system("hnd").settings() == [{"threshold": None}]

    def test_the_papers_own_rule_is_among_the_settings(self) -> None:
        for name in NAMES:
            assert system(name).settings()[0] == {"threshold": None}
