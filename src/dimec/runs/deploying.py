"""The deployment that a fit is for: tiers as they are given, at the prices that are set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TypeAlias

from dimec.base.errors import ConfigError, option
from dimec.settings.exits import named_tiers
from dimec.tiers.costs import CostModel
from dimec.tiers.deployment import Deployment
from dimec.tiers.names import check_tier_names
from dimec.tiers.tier import Tier

# Of a layer, of sending, of a visit, in units of λ.
Prices: TypeAlias = tuple[float, float, float]


def deploy(
    tiers: Sequence[int] | Mapping[str, int], costs: CostModel, prices: Mapping[str, Prices]
) -> Deployment:
    """The tiers at the prices that a structure of costs makes, but for those that are set.

    Args:
        tiers: exits, or names with exits, the nearest first.
        costs: the structure.
        prices: of tiers by name, in place of the structure's.

    Raises:
        ConfigError: no such tiers, a price of a tier that there is not, or one of sending to the
            first, where the inputs are.
    """
    names, exits = named_tiers(tiers)
    deployment = Deployment.paper(exits, costs, names)
    if not prices:
        return deployment
    check_tier_names(prices, option("tier_prices"), names)
    if names[0] in prices and prices[names[0]][1]:
        raise ConfigError(
            f"{option('tier_prices')}: nothing is sent to the first tier, {names[0]}; its price of "
            "sending is 0"
        )
    return Deployment(tuple(_priced(tier, prices.get(tier.name)) for tier in deployment.tiers))


def _priced(tier: Tier, prices: Prices | None) -> Tier:
    if prices is None:
        return tier
    layer, send, visit = prices
    return replace(tier, layer_price=layer, send_price=send, visit_price=visit)
