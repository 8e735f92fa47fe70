"""What a fit rests on: the validation rows, and tiers as they are given, at the prices set."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np

from dimec.base.errors import ConfigError, MismatchError, option
from dimec.cartography import DataMap
from dimec.runs.own_tiers import chosen_tiers, has_own_tiers, shapes_of
from dimec.runs.workspace import RunDirectory
from dimec.settings.exits import named_tiers
from dimec.tiers.costs import CostModel
from dimec.tiers.deployment import Deployment
from dimec.tiers.names import check_tier_names
from dimec.tiers.pricing import OPERATIONS, Pricing, check_price_by
from dimec.tiers.tier import Tier
from dimec.traces.trace import Trace

# Of a layer, of sending, of a visit, in units of λ.
Prices: TypeAlias = tuple[float, float, float]


def deploy(
    tiers: Sequence[int] | Mapping[str, int],
    costs: CostModel,
    prices: Mapping[str, Prices],
    pricing: Pricing | None = None,
) -> Deployment:
    """The tiers at the prices that a structure of costs makes, but for those that are set.

    Args:
        tiers: exits, or names with exits, the nearest first.
        costs: the structure.
        prices: of tiers by name, in place of the structure's.
        pricing: how the layers of tiers with models of their own are priced, each of the source
            that has its name; None where one model is cut.

    Raises:
        ConfigError: no such tiers, a price of a tier that there is not, or one of sending to the
            first, where the inputs are.
    """
    if pricing is not None and isinstance(tiers, Mapping):
        names, exits = tuple(tiers), tuple(tiers.values())
        pricing = replace(pricing, set_apart=tuple(name for name in names if name in prices))
        deployment = Deployment.paper(exits, costs, names, sources=names, pricing=pricing)
    else:
        names, exits = named_tiers(tiers)
        deployment = Deployment.paper(exits, costs, names)
    if not prices:
        return deployment
    _check_prices(prices, names)
    priced = tuple(_priced(tier, prices.get(tier.name)) for tier in deployment.tiers)
    return Deployment(priced, pricing=pricing)


def _check_prices(prices: Mapping[str, Prices], names: Sequence[str]) -> None:
    """Refuse prices of no tier, or of sending to the first."""
    check_tier_names(prices, option("tier_prices"), names)
    if names[0] in prices and prices[names[0]][1]:
        raise ConfigError(
            f"{option('tier_prices')}: nothing is sent to the first tier, {names[0]}; its price of "
            "sending is 0"
        )


def _priced(tier: Tier, prices: Prices | None) -> Tier:
    if prices is None:
        return tier
    layer, send, visit = prices
    return replace(tier, layer_price=layer, send_price=send, visit_price=visit)


@dataclass(frozen=True, eq=False)
class Basis:
    """What every fit of a run rests on.

    Attributes:
        trace: of the validation split.
        data_map: of the same samples, at the first tier's exit; None where traces are recorded
            without one.
        deployment: the tiers at their prices.
    """

    trace: Trace
    data_map: DataMap | None
    deployment: Deployment


def basis_of(
    run: RunDirectory,
    tiers: Sequence[int] | Mapping[str, int] | None,
    costs: CostModel | None,
    prices: Mapping[str, Prices] | None,
    price_by: str = OPERATIONS,
) -> Basis:
    """The validation rows of a run, and the tiers to fit for.

    Args:
        run: trained.
        tiers: as :meth:`dimec.runs.run.Run.fit` takes them; None for those of training.
        costs: the paper's by default.
        prices: of tiers by name, see :func:`deploy`.
        price_by: ``"operations"`` or ``"layers"``, where tiers have a model each.

    Raises:
        ConfigError: exits that the model does not have, prices of no tier, or no such rule.
        ArtefactError: the run is not trained, or damaged.
    """
    trace, rule = run.trace("validation"), check_price_by(price_by)
    if (recorded := run.recorded()) is None:
        _check_same_rows(run, trace)
    if has_own_tiers(trace):
        tiers = chosen_tiers(trace, tiers)
    elif tiers is None:
        tiers = dict(zip(run.tier_names(len(trace.tiers)), trace.tiers, strict=True))
    else:
        tiers = dict(zip(*named_tiers(tiers), strict=True))
    prices = {**_prices_of(recorded, tiers), **(prices or {})}
    if has_own_tiers(trace):
        if recorded is not None and not recorded["shapes"]:
            deployment = _at_prices(tiers, prices)
        else:
            pricing = Pricing(rule, shapes_of(run, trace, tiers))
            deployment = deploy(tiers, costs or CostModel(), prices, pricing)
    else:
        deployment = deploy(tiers, costs or CostModel(), prices)
    return Basis(trace, run.data_map(deployment.exits[0]), deployment)


def _check_same_rows(run: RunDirectory, trace: Trace) -> None:
    dynamics = run.dynamics()
    same_labels = np.array_equal(dynamics.labels, trace.labels)
    if dynamics.guids != trace.guids or not same_labels:
        raise MismatchError(f"the dynamics and the validation trace of {run.path} differ in rows")


def _prices_of(recorded: Mapping[str, Any] | None, names: Collection[str]) -> dict[str, Prices]:
    """The prices that recorded traces bring for tiers of these names."""
    tiers = [] if recorded is None else recorded["tiers"]
    priced = [one for one in tiers if one["price"] is not None and one["name"] in names]
    return {one["name"]: tuple(one["price"]) for one in priced}


def _at_prices(tiers: Mapping[str, int], prices: Mapping[str, Prices]) -> Deployment:
    """Tiers with a model each, of which nothing is known but prices.

    Raises:
        ConfigError: a tier has none.
    """
    if missing := [name for name in tiers if name not in prices]:
        raise ConfigError(
            f"nobody knows what an answer of {missing[0]} costs; give its price with "
            f"{option('tier_prices')}"
        )
    _check_prices(prices, tuple(tiers))
    made = [Tier(name, layer, *prices[name], source=name) for name, layer in tiers.items()]
    return Deployment(tuple(made))
