"""From an item's name to its stored result."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from dimec.base.errors import ConfigError
from dimec_studies.plan import ITEMS, LOOK_ITEMS, LookItem
from dimec_studies.runs import Workshop
from dimec_studies.study import store

Study = Callable[[Workshop], dict[str, Any]]


def _table1(workshop: Workshop) -> dict[str, Any]:
    from dimec_studies.table import table

    return table("table1", workshop, list(workshop.plan.tasks))


def _table2(workshop: Workshop) -> dict[str, Any]:
    from dimec_studies.table import table

    return table("table2", workshop, list(workshop.plan.table2))


def _figure(name: str) -> Study:
    def study(workshop: Workshop) -> dict[str, Any]:
        from dimec_studies import maps

        made: Study = getattr(maps, name)
        return made(workshop)

    return study


def _robustness(workshop: Workshop) -> dict[str, Any]:
    from dimec_studies.robustness import robustness

    return robustness(workshop)


def _cartography(workshop: Workshop) -> dict[str, Any]:
    from dimec_studies.subsets import cartography

    return cartography(workshop)


def _ledger(workshop: Workshop) -> dict[str, Any]:
    from dimec_studies.ledgers import ledger

    return ledger(workshop)


def _tiers(workshop: Workshop) -> dict[str, Any]:
    from dimec_studies.own_tiers import tiers

    return tiers(workshop)


def _traces(workshop: Workshop) -> dict[str, Any]:
    from dimec_studies.collected import traces

    return traces(workshop)


def _beyond(workshop: Workshop) -> dict[str, Any]:
    from dimec_studies.beyond import beyond

    return beyond(workshop)


def _promises(workshop: Workshop) -> dict[str, Any]:
    from dimec_studies.promises import promises

    return promises(workshop)


def _look(name: LookItem) -> Study:
    def study(workshop: Workshop) -> dict[str, Any]:
        from dimec_studies import look

        return look.make(name, workshop)

    return study


STUDIES: Mapping[str, Study] = MappingProxyType(
    {
        "table1": _table1,
        "table2": _table2,
        **{name: _figure(name) for name in ("fig1", "fig3", "fig4", "fig5")},
        "cartography": _cartography,
        "robustness": _robustness,
        "ledger": _ledger,
        **{name: _look(name) for name in LOOK_ITEMS},
        "tiers": _tiers,
        "traces": _traces,
        "beyond": _beyond,
        "promises": _promises,
    }
)
assert tuple(STUDIES) == ITEMS


def reproduce(item: str, workshop: Workshop, results: Path) -> Path:
    """Make one item: train what is missing, replay, and store the result.

    Started again after a kill it goes on: finished runs are taken as they are, an unfinished one
    after its last finished epoch.

    Args:
        item: one of :data:`dimec_studies.plan.ITEMS`.
        workshop: the plan, and where its runs lie.
        results: folder of the results; the item goes to ``RESULTS/PROFILE/ITEM.json``.

    Raises:
        ConfigError: no such item.
        DimecError: as training and fitting raise it.
    """
    if item not in STUDIES:
        raise ConfigError(f"no item is named {item!r}; there are {', '.join(ITEMS)}, and all")
    workshop = replace(workshop, results=results)
    return store(results, workshop.plan, STUDIES[item](workshop))
