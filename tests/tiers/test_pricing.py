"""Prices of layers whose widths differ: by operations, or each like any other."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dimec.base.errors import ConfigError
from dimec.tiers.costs import CostModel
from dimec.tiers.deployment import Deployment
from dimec.tiers.latency import ModelShape
from dimec.tiers.pricing import Pricing, check_price_by

SMALL, BASE = ModelShape.of_width(384), ModelShape.of_width(768)
# 2·128·(4·w² + 2·w·4w) + 4·128²·w: 478,150,656 at w = 384, and 1,862,270,976 at w = 768.
RATIO = Fraction(478_150_656, 1_862_270_976)
OWN = {"phone": SMALL, "edge": SMALL, "cloud": BASE}


def own_tiers(pricing: Pricing, layers: tuple[int, ...], costs: CostModel | None = None) -> Any:
    names = tuple(pricing.shapes)
    return Deployment.paper(layers, costs, names, sources=names, pricing=pricing)


def test_a_small_layer_costs_its_operations_against_those_of_the_last_tier() -> None:
    """λ_m·2·19/74, λ_e·6·19/74 + o_e, and o_c + γ with γ = λ_m·12 - o_c."""
    assert Fraction(19, 74) == RATIO
    deployment = own_tiers(Pricing("operations", OWN), (2, 6, 12))
    assert deployment.prices == pytest.approx((3 * 19 / 74, 6 * 19 / 74 + 2.5, 18.0), rel=1e-15)
    assert [tier.layer_price for tier in deployment.tiers] == pytest.approx(
        [1.5 * 19 / 74, 19 / 74, 0.0], rel=1e-15
    )
    assert deployment.charge == 15.0
    assert deployment.sources == deployment.names == ("phone", "edge", "cloud")


def test_a_wide_layer_before_a_small_last_tier_costs_more() -> None:
    pricing = Pricing("operations", {"phone": BASE, "cloud": SMALL})
    phone, cloud = own_tiers(pricing, (2, 6)).tiers
    assert phone.price == pytest.approx(3 * 74 / 19, rel=1e-15)
    assert cloud.price == 9.0


def test_the_inner_width_counts_too() -> None:
    """A layer whose feed-forward network is as wide as its tokens: 2·T·6·w² + 4·T²·w."""
    narrow = ModelShape(384, 384)
    scale, _ = Pricing("operations", {"phone": narrow, "cloud": SMALL}).scales
    work = 2 * 128 * 6 * 384**2 + 4 * 128**2 * 384
    assert scale == pytest.approx(work / 478_150_656, rel=1e-15)


def test_by_layers_a_layer_is_a_layer() -> None:
    deployment = own_tiers(Pricing("layers", OWN), (2, 6, 12))
    assert deployment.prices == (3.0, 8.5, 18.0)


@given(
    st.lists(st.integers(1, 24), min_size=3, max_size=3).map(sorted),
    st.integers(1, 2000),
    st.lists(st.floats(0, 50), min_size=5, max_size=5),
)
def test_equal_widths_are_priced_as_one_model(
    layers: list[int], width: int, prices: list[float]
) -> None:
    """To the last digit, whatever the width and the paper's prices."""
    costs, shape = CostModel(*prices), ModelShape.of_width(width)
    own = own_tiers(Pricing("operations", dict.fromkeys(OWN, shape)), tuple(layers), costs)
    one = Deployment.paper(layers, costs, tuple(OWN))
    assert own.prices == one.prices
    for mine, theirs in zip(own.to_json(), one.to_json(), strict=True):
        assert mine | {"source": ""} == theirs


def test_models_of_their_own_need_not_deepen_and_one_model_must() -> None:
    assert own_tiers(Pricing("layers", OWN), (6, 2, 4)).exits == (6, 2, 4)
    with pytest.raises(ConfigError, match="each at least as deep"):
        CostModel().tiers((6, 2), ("phone", "dc"), sources=("one", "one"))
    with pytest.raises(ConfigError, match="layers from 1 on"):
        own_tiers(Pricing("layers", OWN), (2, 0, 4))


@pytest.mark.parametrize("given", [{"sources": ("a", "b")}, {"scales": (1.0,)}])
def test_each_tier_needs_a_source_and_a_scale(given: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="3 tiers need as many sources and scales"):
        CostModel().tiers((2, 3, 6), **given)


def test_the_rule_is_stored_and_told() -> None:
    pricing = Pricing("operations", OWN, ("edge",))
    assert Pricing.of_json(pricing.to_json()) == pricing
    assert pricing.to_json()["scales"] == {"phone": float(RATIO), "edge": float(RATIO), "cloud": 1}
    told = pricing.told()
    assert "over those of a layer of the cloud, at 128 tokens: phone 0.257, edge 0.257" in told
    assert "the prices of edge were set" in told
    assert "priced alike on every model" in Pricing("layers", OWN).told()


def test_a_deployment_carries_its_rule() -> None:
    deployment = own_tiers(Pricing("operations", OWN), (2, 6, 12))
    assert deployment.pricing is not None
    stored = deployment.pricing.to_json()
    again = Deployment.of_json(deployment.to_json(), {"mobile_layer": 1.5}, stored)
    assert again == deployment
    assert hash(again) == hash(deployment)


@pytest.mark.parametrize(
    "stored",
    [
        None,
        [],
        {"by": "layers"},
        {"shapes": {}},
        {"by": "layers", "shapes": {"a": {"width": 2}}},
        {"by": "layers", "shapes": {"a": {"width": "x", "intermediate": 4}}},
    ],
)
def test_what_is_no_rule(stored: Any) -> None:
    with pytest.raises(ConfigError):
        Pricing.of_json(stored)


def test_another_rule_is_refused() -> None:
    with pytest.raises(ConfigError, match="expected layers or operations, got 'flops'"):
        check_price_by("flops")
    with pytest.raises(ConfigError, match="need the shape of a layer of every tier"):
        Pricing("operations", {})
