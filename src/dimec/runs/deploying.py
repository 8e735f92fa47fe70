"""What a fit rests on: the validation rows, and tiers as they are given, at the prices set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np

from dimec.base.errors import ConfigError, MismatchError, option
from dimec.cartography import DataMap
from dimec.runs.workspace import RunDirectory
from dimec.settings.exits import named_tiers
from dimec.tiers.costs import CostModel
from dimec.tiers.deployment import Deployment
from dimec.tiers.names import check_tier_names
from dimec.tiers.tier import Tier
from dimec.traces.trace import Trace

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


@dataclass(frozen=True, eq=False)
class Basis:
    """What every fit of a run rests on.

    Attributes:
        trace: of the validation split.
        data_map: of the same samples, at the first tier's exit.
        deployment: the tiers at their prices.
    """

    trace: Trace
    data_map: DataMap
    deployment: Deployment


def basis_of(
    run: RunDirectory,
    tiers: Sequence[int] | Mapping[str, int] | None,
    costs: CostModel | None,
    prices: Mapping[str, Prices] | None,
) -> Basis:
    """The validation rows of a run, and the tiers to fit for.

    Args:
        run: trained.
        tiers: as :meth:`dimec.runs.run.Run.fit` takes them; None for those of training.
        costs: the paper's by default.
        prices: of tiers by name, see :func:`deploy`.

    Raises:
        ConfigError: exits that the model does not have, or prices of no tier.
        ArtefactError: the run is not trained, or damaged.
    """
    trace, dynamics = run.trace("validation"), run.dynamics()
    same_labels = np.array_equal(dynamics.labels, trace.labels)
    if dynamics.guids != trace.guids or not same_labels:
        raise MismatchError(f"the dynamics and the validation trace of {run.path} differ in rows")
    if tiers is None:
        tiers = dict(zip(run.tier_names(len(trace.tiers)), trace.tiers, strict=True))
    deployment = deploy(tiers, costs or CostModel(), prices or {})
    return Basis(trace, dynamics.data_map(deployment.exits[0]), deployment)
