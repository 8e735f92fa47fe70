"""The tiers of records: which exits they are, in what order, and what their answers cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from dimec.base.errors import ConfigError, option
from dimec.settings.exits import named_tiers
from dimec.settings.lists import tiers_of
from dimec.tiers.names import check_tier_names
from dimec.tiers.tier import LARGEST_PRICE
from dimec.traces.card import CardTier
from dimec.traces.records import Records


def are_layers(tiers: str | None) -> bool:
    """Whether tiers are told by their layers, and not by the columns of models."""
    parts = () if tiers is None else tiers.split(",")
    return all(part.rpartition("=")[2].strip().isdecimal() for part in parts)


def priced_tiers(
    records: Records, tiers: str | None, costs: Mapping[str, float], per: int
) -> tuple[tuple[CardTier, ...], Records]:
    """The tiers with the prices that are known, and the records with their models in that order.

    A model of a correctness table is a tier, from the cheapest on unless ``tiers`` says otherwise.
    An answer's cost is the mean of its column, and is charged by the visit.

    Args:
        records: of all samples.
        tiers: as it was typed; None for all models, or three exits.
        costs: tier → the cost of an answer, in place of the column's.
        per: they are told per so many answers.

    Raises:
        ConfigError: no such exits, costs of no tier, or a model whose cost nobody knows.
    """
    if not records.outcomes_only:
        return _of_layers(records, tiers, costs, per), records
    names = records.sources
    check_tier_names(costs, option("costs"), names)
    told = dict(zip(names, records.mean_costs.tolist(), strict=True)) | dict(costs)
    if missing := [name for name in names if np.isnan(told[name])]:
        raise ConfigError(
            f"nobody says what an answer of {missing[0]} costs; give it with "
            f"{option('costs')} {missing[0]}=NUMBER, or in a column {missing[0]}_cost"
        )
    order = range(len(names)) if tiers else sorted(range(len(names)), key=lambda k: told[names[k]])
    rows = list(order)
    ordered = replace(
        records,
        sources=tuple(names[at] for at in rows),
        probabilities=records.probabilities[:, rows],
        costs=records.costs[:, rows],
    )
    made = [
        CardTier(name=name, layer=1, source=name, price=_price(name, told[name], per))
        for name in ordered.sources
    ]
    return tuple(made), ordered


def _of_layers(
    records: Records, tiers: str | None, costs: Mapping[str, float], per: int
) -> tuple[CardTier, ...]:
    """Tiers of one model that is cut; without a cost they have the paper's prices by layers."""
    exits = tuple(layer for layer in records.exits if layer)
    chosen = tiers_of(option("tiers"), tiers, "2,3,6") or _usual(exits)
    names, layers = named_tiers(chosen)
    if missing := [layer for layer in layers if layer not in exits]:
        raise ConfigError(
            f"{option('tiers')}: the table has no exit {missing[0]}; it has "
            f"{', '.join(map(str, exits))}"
        )
    check_tier_names(costs, option("costs"), names)
    means = dict(zip(records.exits, records.mean_costs.tolist(), strict=True))
    made = []
    for name, layer in zip(names, layers, strict=True):
        cost = costs.get(name, means[layer])
        price = None if np.isnan(cost) else _price(name, cost, per)
        made.append(CardTier(name=name, layer=layer, price=price))
    return tuple(made)


def _price(name: str, cost: float, per: int) -> tuple[float, float, float]:
    """Of a layer, of sending, of a visit."""
    if not 0 <= per * cost <= LARGEST_PRICE:
        raise ConfigError(
            f"an answer of {name} costs {cost:g}; expected a number from 0 on, give it with "
            f"{option('costs')} {name}=NUMBER"
        )
    return 0.0, 0.0, per * cost


def _usual(exits: tuple[int, ...]) -> tuple[int, ...]:
    """Three exits: at a third, at half and at the end where they are, else first, middle and last.

    Example:
        >>> _usual((1, 2, 3, 4, 5, 6)), _usual((1, 5, 8, 12)), _usual((2, 6))
        ((2, 3, 6), (1, 8, 12), (2, 6))
    """
    if not exits:
        raise ConfigError("the table has no exit from layer 1 on; name the exits by their layers")
    last = exits[-1]
    third = (max(1, last // 3), max(1, last // 2), last)
    if set(third) <= set(exits):
        return tuple(dict.fromkeys(third))
    return tuple(dict.fromkeys((exits[0], exits[len(exits) // 2], last)))
