"""Neurosurgeon against brute force over every split, and what it can never choose."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dimec.base.errors import ConfigError, MissingArtefactError
from dimec.policies import System
from dimec.policies.literature.neurosurgeon import NeurosurgeonPolicy, split_bytes, split_costs
from dimec.policies.registry import FitInputs, system
from dimec.tiers.latency import LayerProfile, Measurement, ModelShape
from dimec.tiers.names import CLOUD, MOBILE
from dimec.tiers.scenario_file import Scenarios
from dimec.tiers.scenarios import Scenario
from support.builders import deployment_of, make_trace
from support.scenario_files import plain, scenarios, toml

OBJECTIVES = ("latency", "energy")
PROFILE = LayerProfile.packaged("minilm-l6")


def crooked(seconds: list[float]) -> LayerProfile:
    """A profile whose layers, embedding layer and head take quite different times."""
    embed, layer, head = seconds
    rows = [Measurement("embed", 0, t, embed) for t in (1, 128)]
    rows += [Measurement("layer", 1, t, layer * (1 + t)) for t in (1, 128)]
    rows += [Measurement("head", 0, t, head) for t in (1, 128)]
    return LayerProfile("crooked", ModelShape(8, 32), 1, "a test", 1, "", tuple(rows))


def loop(
    tokens: int, layers: int, shape: ModelShape, profile: LayerProfile, s: Scenario
) -> list[tuple[float, float]]:
    """Milliseconds and millijoules of every split of one text, written from the paper."""

    def seconds(part: str, rate: float) -> float:
        a, b, c = profile.regressors[part].coefficients
        w, i, v, j = (
            shape.width,
            shape.intermediate,
            profile.shape.width,
            profile.shape.intermediate,
        )
        if part == "layer":
            ratio = (tokens * (4 * w * w + 2 * w * i) * 2 + 4 * tokens**2 * w) / (
                tokens * (4 * v * v + 2 * v * j) * 2 + 4 * tokens**2 * v
            )
        else:
            ratio = w / v
        return (a + b * tokens + c * tokens**2) * ratio * profile.flops_per_second / rate

    phone, cloud = s.phone.flops_per_second.value, s.cloud.flops_per_second.value
    answers = []
    for split in range(layers + 1):
        mobile = far = way = bits_up = bits_down = 0.0
        if split > 0:
            mobile += seconds("embed", phone)
        else:
            far += seconds("embed", cloud)
        for layer in range(1, layers + 1):
            if layer <= split:
                mobile += seconds("layer", phone)
            else:
                far += seconds("layer", cloud)
        if split == layers:
            mobile += seconds("head", phone)
        else:
            far += seconds("head", cloud)
            payload = 4 * tokens if split == 0 else 4 * tokens * shape.width
            bits_up = 8 * (payload + s.overhead.up_bytes.value)
            bits_down = 8 * s.overhead.down_bytes.value
            way = (s.link.round_trip_ms.value + s.cloud.extra_round_trip_ms.value) / 1e3
            way += bits_up / 1e6 / s.link.up_mbit_per_second.value
            way += bits_down / 1e6 / s.link.down_mbit_per_second.value
        energy = 1e3 * s.phone.watts.value * mobile
        energy += s.link.base_milliwatts.value * (way + far)
        energy += s.link.send_slope.value * bits_up / 1e6
        energy += s.link.receive_slope.value * bits_down / 1e6
        if split < layers:
            energy += s.lone_share * s.link.wake_millijoules.value
        answers.append((1e3 * (mobile + far + way), energy))
    return answers


times = st.lists(st.floats(1e-5, 1e-1), min_size=3, max_size=3)


@given(
    st.lists(st.integers(1, 300), min_size=1, max_size=4),
    st.integers(1, 12),
    st.builds(ModelShape, st.integers(1, 256), st.integers(1, 512)),
    times.map(crooked),
    scenarios(),
)
def test_the_costs_of_every_split_agree_with_a_loop(
    tokens: list[int], layers: int, shape: ModelShape, profile: LayerProfile, scenario: Scenario
) -> None:
    got = split_costs(np.array(tokens), layers, shape, profile, scenario)
    expected = np.array([loop(t, layers, shape, profile, scenario) for t in tokens])
    for k in range(2):
        np.testing.assert_allclose(got[k], expected[:, :, k], rtol=1e-9)


def planned(objective: str, scenario: Scenario, profile: LayerProfile) -> NeurosurgeonPolicy:
    """A policy of a scenario that is in no file."""
    policy = NeurosurgeonPolicy(objective, profile=profile)  # type: ignore[arg-type]
    policy.scenario = scenario
    return policy


@given(
    st.lists(st.integers(1, 300), min_size=1, max_size=6),
    st.integers(1, 12),
    times.map(crooked),
    scenarios(),
    st.sampled_from(OBJECTIVES),
)
def test_no_split_is_predicted_to_take_less_than_the_chosen_one(
    tokens: list[int], layers: int, profile: LayerProfile, scenario: Scenario, objective: str
) -> None:
    shape, k = ModelShape.of_width(32), OBJECTIVES.index(objective)
    chosen = planned(objective, scenario, profile).splits(np.array(tokens), layers, shape)
    for t, split in zip(tokens, chosen, strict=True):
        costs = [both[k] for both in loop(t, layers, shape, profile, scenario)]
        assert costs[split] <= min(costs) * (1 + 1e-9)


@given(
    st.integers(1, 300),
    st.integers(2, 24),
    st.integers(2, 1024),
    times.map(crooked),
    scenarios(),
    st.sampled_from(OBJECTIVES),
)
def test_an_encoder_is_never_split_in_the_middle_to_any_gain(
    tokens: int,
    layers: int,
    width: int,
    profile: LayerProfile,
    scenario: Scenario,
    objective: str,
) -> None:
    """What the module claims, for any link, phone and cloud."""
    shape = ModelShape.of_width(width)
    costs = split_costs(np.array([tokens]), layers, shape, profile, scenario)
    row = costs[OBJECTIVES.index(objective)][0]
    assert min(row[0], row[layers]) <= row.min() * (1 + 1e-9)


def test_bytes_are_the_text_the_hidden_states_or_nothing() -> None:
    table = split_bytes(np.array([1, 10]), 3, 384)
    assert table.tolist() == [[4, 1536, 1536, 0], [40, 15360, 15360, 0]]


def test_a_fast_link_sends_and_a_slow_one_keeps() -> None:
    trace = make_trace(6, dim=384, tiers=(2, 4, 6))
    deployment = deployment_of(trace)
    slow = plain(links__line__round_trip_ms=1e6)
    fast = plain(links__line__round_trip_ms=0.0, clouds__server__extra_round_trip_ms=0.0)
    kept = planned("latency", slow, PROFILE).replay(trace, deployment)
    sent = planned("latency", fast, PROFILE).replay(trace, deployment)
    assert (kept.usage.layers[:, 0] == 6).all()
    assert (deployment.price(kept.usage) == 1.5 * 6).all()
    assert (kept.tiers[:, MOBILE] == 1).all()
    assert not kept.usage.bytes[:, 2].any()
    assert (sent.usage.layers[:, 2] == 6).all()
    assert (deployment.price(sent.usage) == 3 + 6).all()
    assert (sent.tiers[:, CLOUD] == 1).all()
    assert sent.usage.bytes[:, 2].tolist() == (4 * trace.lengths).tolist()
    for outcome in (kept, sent):
        assert (outcome.answers[:, trace.exits.index(6)] == 1).all()


def middling() -> Scenario:
    """81 ms to the cloud and back, which a phone has caught up with after some tens of tokens."""
    return plain(phones__phone__flops_per_second=2e10)


def test_short_texts_stay_and_long_ones_go() -> None:
    lengths = np.array([300, 1, 300, 2])
    trace = make_trace(4, dim=384, lengths=lengths)
    outcome = planned("latency", middling(), PROFILE).replay(trace, deployment_of(trace))
    assert outcome.tiers[:, MOBILE].tolist() == [0, 1, 0, 1]


def test_it_may_split_where_the_cost_is_flat() -> None:
    """A split's own accounting, for which the arithmetic alone gives no example."""
    trace = make_trace(3, dim=16, lengths=np.array([5, 6, 7]))
    policy = NeurosurgeonPolicy()
    policy.splits = lambda *_: np.array([0, 4, 6])  # type: ignore[method-assign]
    deployment = deployment_of(trace)
    outcome = policy.replay(trace, deployment)
    assert outcome.usage.layers[:, 0].tolist() == [0, 4, 6]
    assert outcome.usage.layers[:, 2].tolist() == [6, 2, 0]
    assert outcome.usage.bytes[:, 2].tolist() == [20, 4 * 16 * 6, 0]
    assert deployment.price(outcome.usage).tolist() == [3 + 6, 1.5 * 4 + 3 + 6, 9]
    assert outcome.tiers[:, CLOUD].tolist() == [1, 1, 0]


def test_one_exit_and_one_layer_will_do() -> None:
    trace = make_trace(4, exits=(1,), tiers=(1, 1, 1))
    outcome = NeurosurgeonPolicy().replay(trace, deployment_of(trace))
    assert (outcome.answers == 1).all()
    trace = make_trace(4, exits=(6,), tiers=(6, 6, 6))
    assert (NeurosurgeonPolicy("energy").replay(trace, deployment_of(trace)).answers == 1).all()


def test_scenarios_of_a_file_of_ones_own_are_followed(tmp_path: Path) -> None:
    trace = make_trace(4, dim=384)
    away = []
    for name, trip in (("near", 0.0), ("far", 1e6)):
        path = tmp_path / f"{name}.toml"
        text = toml(links__line__round_trip_ms=trip, clouds__server__extra_round_trip_ms=0.0)
        path.write_text(text, "utf-8")
        policy = NeurosurgeonPolicy(scenario="plain", scenarios=path)
        outcome = policy.replay(trace, deployment_of(trace))
        away.append(outcome.usage.sent[:, 2].tolist())
    assert away == [[1] * 4, [0] * 4]


def test_wrong_settings_are_refused() -> None:
    with pytest.raises(ConfigError, match="'latency' or 'energy', got 'speed'"):
        NeurosurgeonPolicy("speed")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="no scenario is named 'pigeon'"):
        NeurosurgeonPolicy(scenario="pigeon")
    with pytest.raises(MissingArtefactError, match="no layer profile named 'x'"):
        NeurosurgeonPolicy(profile="x")


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_both_forms_are_registered_and_have_nothing_to_tune(objective: str) -> None:
    known: System = system(f"neurosurgeon-{objective}")
    assert known.settings() == [{}]
    trace = make_trace(8, split="validation")
    fitted = known.fit(FitInputs(trace, deployment_of(trace), 0.02))
    assert fitted.policy.name == known.name
    assert isinstance(fitted.policy, NeurosurgeonPolicy)
    assert fitted.policy.objective == objective
    assert known.make(scenario="phone-wifi").replay(trace, deployment_of(trace)).tiers.sum() == 8


# --- lengths -----------------------------------------------------------------------------------


def test_from_the_crossing_on_every_longer_text_is_sent() -> None:
    """Which is what lets docs/scenarios.md give one number."""
    lengths = np.arange(1, 513)
    for scenario in Scenarios.load().all():
        for width, layers in ((384, 6), (768, 12)):
            shape = ModelShape.of_width(width)
            for costs in split_costs(lengths, layers, shape, PROFILE, scenario):
                sent = costs.argmin(axis=1) == 0
                assert (np.diff(sent.astype(int)) >= 0).all()
                assert set(costs.argmin(axis=1)) <= {0, layers}


def test_a_replaced_profile_decides_otherwise() -> None:
    """Times that grow faster with the length than the rates say move the crossing."""
    flat = replace(
        PROFILE,
        rows=tuple(
            replace(row, seconds=1e-3) if row.part == "layer" else row for row in PROFILE.rows
        ),
    )
    trace = make_trace(30, dim=384, lengths=np.arange(1, 31) * 17)
    deployment, scenario = deployment_of(trace), middling()
    own = planned("latency", scenario, PROFILE).replay(trace, deployment)
    other = planned("latency", scenario, flat).replay(trace, deployment)
    assert not np.array_equal(own.tiers, other.tiers)
