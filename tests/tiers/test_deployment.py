"""Deployments and tiers as data."""

from __future__ import annotations

import math
from typing import Any

import pytest

from dimec.base.errors import ConfigError
from dimec.tiers.costs import CostModel
from dimec.tiers.deployment import Deployment
from dimec.tiers.tier import Tier


def test_the_papers_deployment() -> None:
    deployment = Deployment.paper((4, 6, 12))
    assert deployment.names == ("mobile", "edge", "cloud")
    assert deployment.exits == (4, 6, 12)
    assert deployment.prices == (6.0, 8.5, 18.0)
    assert (deployment.layers, deployment.last, deployment.charge) == (12, 2, 15.0)
    assert deployment.costs == CostModel()
    assert len(deployment) == 3


def test_tiers_with_models_of_their_own_need_not_deepen() -> None:
    tiers = (Tier("phone", 6, source="tiny"), Tier("dc", 4, source="wide"))
    assert Deployment(tiers).sources == ("tiny", "wide")
    with pytest.raises(ConfigError, match="each at least as deep"):
        Deployment((Tier("phone", 6), Tier("dc", 4)))


def test_prices_of_their_own_have_no_structure_behind_them() -> None:
    deployment = Deployment((Tier("phone", 2, layer_price=2), Tier("dc", 6, visit_price=7)))
    assert deployment.prices == (4.0, 7.0)
    with pytest.raises(ConfigError, match="prices of their own"):
        _ = deployment.costs


def test_no_tier_and_one_name_twice_are_refused() -> None:
    with pytest.raises(ConfigError, match="at least one tier"):
        Deployment(())
    with pytest.raises(ConfigError, match="a name of its own for each of 2 tiers, got dc, dc"):
        Deployment((Tier("dc", 2), Tier("dc", 6)))


@pytest.mark.parametrize("name", ["", "Phone", "1st", "a b", "a/b", "..", "a" * 33, 7, None])
def test_names_that_no_tier_can_have(name: Any) -> None:
    with pytest.raises(ConfigError, match="a tier's name is up to 32 of a-z"):
        Tier(name, 2)


@pytest.mark.parametrize("price", ["layer_price", "send_price", "visit_price"])
@pytest.mark.parametrize("value", [-1, math.nan, math.inf, 2e12])
def test_prices_that_no_tier_can_have(price: str, value: float) -> None:
    with pytest.raises(ConfigError, match=f"{price} of the tier dc .* at least 0, got {value}"):
        Tier("dc", 2, **{price: value})  # type: ignore[arg-type]


@pytest.mark.parametrize("layer", [0, -1, 2.5, "x"])
def test_layers_that_no_tier_can_have(layer: Any) -> None:
    with pytest.raises(ConfigError, match="the tiers' exits"):
        Tier("dc", layer)
