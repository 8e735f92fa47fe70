"""Prices, rewards and the checks of exits and λ."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dimec.base.errors import ConfigError
from dimec.tiers.costs import CostModel, check_lambda
from dimec.tiers.costs import rewards as rewards_of
from dimec.tiers.names import CLOUD, EDGE, MOBILE, TIER_NAMES
from dimec.tiers.tier import check_tiers
from support import reference
from support.builders import Floats, matrices

amounts = st.floats(0, 1e6)
exit_triples = st.lists(st.integers(1, 96), min_size=3, max_size=3).map(sorted)


def test_prices_of_bert_base() -> None:
    """λ_m·4 = 1.5·4, λ_e·6 + o_e = 6 + 2.5, o_c + γ = 3 + 15, with γ = 1.5·12 - 3."""
    assert CostModel().charge(12) == 15.0
    assert CostModel().for_exits(4, 6, 12) == (6.0, 8.5, 18.0)


def test_prices_of_bert_large() -> None:
    """λ_m·6 = 9, 12 + 2.5 = 14.5, 3 + γ = 36, with γ = 1.5·24 - 3 = 33."""
    assert CostModel().charge(24) == 33.0
    assert CostModel().for_exits(6, 12, 24) == (9.0, 14.5, 36.0)


@given(exit_triples)
def test_the_whole_model_costs_the_same_on_the_mobile_and_in_the_cloud(exits: list[int]) -> None:
    """What the default γ is chosen for, wherever λ_m·l reaches o_c at all (from l = 2 on)."""
    m, n, l = exits  # noqa: E741
    cloud = CostModel().for_exits(m, n, l)[CLOUD]
    assert cloud == max(3.0, 1.5 * l)
    assert cloud == CostModel().for_exits(l, l, l)[MOBILE] or l == 1


@given(exit_triples, amounts, amounts, amounts, amounts, amounts)
def test_prices_are_what_equation_5_subtracts(
    exits: list[int], mobile: float, edge: float, to_edge: float, to_cloud: float, gamma: float
) -> None:
    m, n, l = exits  # noqa: E741
    model = CostModel(mobile, edge, to_edge, to_cloud, gamma)
    expected = reference.prices(m, n, mobile, edge, to_edge, to_cloud, gamma)
    assert model.for_exits(m, n, l) == expected
    assert model.charge(l) == gamma


def test_a_charge_is_never_negative() -> None:
    assert CostModel(offload_cloud=100.0).charge(12) == 0.0
    assert CostModel(cloud_charge=0.0).charge(12) == 0.0


@given(exit_triples)
def test_tiers_carry_name_exit_and_price(exits: list[int]) -> None:
    tiers = CostModel().tiers(exits)
    assert tuple(tier.name for tier in tiers) == TIER_NAMES
    assert [tier.layer for tier in tiers] == exits
    assert tuple(tier.price for tier in tiers) == CostModel().for_exits(*exits)
    assert (MOBILE, EDGE, CLOUD) == (0, 1, 2)


@pytest.mark.parametrize(
    "name", ["mobile_layer", "edge_layer", "offload_edge", "offload_cloud", "cloud_charge"]
)
@pytest.mark.parametrize("value", [-0.5, math.nan, math.inf])
def test_prices_must_be_finite_and_not_negative(name: str, value: float) -> None:
    with pytest.raises(ConfigError, match=f"{name}.*at least 0, got {value}"):
        CostModel(**{name: value})


@given(exit_triples)
def test_exits_in_order_pass_also_where_neighbours_are_equal(exits: list[int]) -> None:
    m, n, l = exits  # noqa: E741
    for valid in ((m, n, l), (m, m, l), (m, l, l), (l, l, l)):
        assert check_tiers(valid) == valid
        assert check_tiers(list(valid)) == valid
        assert check_tiers(np.array(valid).tolist()) == valid


@given(st.tuples(*[st.integers(-2, 8)] * 3).filter(lambda e: not 1 <= e[0] <= e[1] <= e[2]))
def test_exits_out_of_order_are_refused(exits: tuple[int, int, int]) -> None:
    got = ",".join(map(str, exits))
    for call in (
        lambda: check_tiers(exits),
        lambda: CostModel().for_exits(*exits),
        lambda: CostModel().tiers(exits),
    ):
        with pytest.raises(ConfigError, match=f"from 1 on, each at least as deep.*, got {got};"):
            call()


@pytest.mark.parametrize(
    "exits",
    [(), (2.5, 4, 6)] + [(2, 4, value) for value in (math.nan, math.inf, None, "x")],
)
def test_anything_but_whole_numbers_is_refused(exits: Any) -> None:
    with pytest.raises(ConfigError, match=r"expected the tiers' exits, whole.*got \("):
        check_tiers(exits)


# --- Any number of tiers -------------------------------------------------------------------------


def test_prices_of_four_tiers_by_hand() -> None:
    """1.5·1; 1·2 + 2.5 and 1·3 + 2.5 between; 3 + (1.5·6 - 3) at the end."""
    names = ("phone", "gateway", "box", "dc")
    tiers = CostModel().tiers((1, 2, 3, 6), names)
    assert [(tier.name, tier.layer, tier.price) for tier in tiers] == [
        ("phone", 1, 1.5),
        ("gateway", 2, 4.5),
        ("box", 3, 5.5),
        ("dc", 6, 9.0),
    ]


def test_prices_of_more_than_three_tiers_need_no_names() -> None:
    assert CostModel().for_exits(1, 2, 3, 6) == (1.5, 4.5, 5.5, 9.0)


def test_two_tiers_are_the_mobile_and_the_cloud_and_one_is_the_mobile() -> None:
    assert [(t.name, t.price) for t in CostModel().tiers((2, 6))] == [("mobile", 3.0), ("cloud", 9)]
    assert [(t.name, t.price) for t in CostModel().tiers((6,))] == [("mobile", 9.0)]


@given(st.lists(st.integers(1, 96), min_size=1, max_size=6).map(sorted))
def test_only_the_ends_have_prices_of_their_own(layers: list[int]) -> None:
    names = [f"tier-{k}" for k in range(len(layers))]
    first, *others = CostModel().tiers(layers, names)
    assert (first.layer_price, first.send_price, first.visit_price) == (1.5, 0, 0)
    for tier in others[:-1]:
        assert (tier.layer_price, tier.send_price, tier.visit_price) == (1.0, 2.5, 0)
    for tier in others[-1:]:
        assert (tier.layer_price, tier.send_price) == (0, 3.0)
        assert tier.price == max(3.0, 1.5 * layers[-1])


def test_more_than_three_tiers_need_names() -> None:
    with pytest.raises(ConfigError, match=r"4 tiers need names .* phone=1,gateway=2"):
        CostModel().tiers((1, 2, 3, 6))


@pytest.mark.parametrize("names", [("a",), ("a", "a"), ("a", "B"), ("a", ""), ("a", "x" * 33)])
def test_names_that_tiers_cannot_have(names: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError, match=r"name"):
        CostModel().tiers((2, 6), names)


# --- Rewards: equation 5 -------------------------------------------------------------------------


@given(matrices((1, 8), (3, 3), st.floats(0, 1)), st.floats(0, 0.1))
def test_reward_is_confidence_less_cost(confidences: Floats, lam: float) -> None:
    prices = (6.0, 8.5, 18.0)
    expected = [[c - lam * p for c, p in zip(row, prices, strict=True)] for row in confidences]
    got = rewards_of(confidences, prices, lam)
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-15)
    assert got.dtype == np.float64


def test_reward_of_float32_is_taken_in_float64() -> None:
    confidence = np.array([[0.9]], np.float32)
    assert rewards_of(confidence, [6.0], 0.01)[0, 0] == float(np.float32(0.9)) - 0.01 * 6.0


@pytest.mark.parametrize("lam", [-0.01, math.nan, math.inf, -math.inf])
def test_lambda_must_be_finite_and_not_negative(lam: float) -> None:
    for call in (
        lambda: check_lambda(lam),
        lambda: rewards_of(np.zeros((1, 3)), [1, 2, 3], lam),
    ):
        with pytest.raises(ConfigError, match=f"at least 0, got {lam}"):
            call()


@given(amounts)
def test_a_sound_lambda_comes_back(lam: float) -> None:
    assert check_lambda(lam) == lam
