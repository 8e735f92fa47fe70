"""Ledgers as tables of Arrow: a row a policy, a column for each of its figures, and back.

Shares of tiers are columns called ``share_TIER``. The name of the metric and what the figures rest
on are in the schema's metadata.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, fields
from typing import Any

from dimec.base.errors import CorruptArtefactError, DataError, quoted
from dimec.base.tables import distinct_columns, pyarrow_for, said_in, table_from, with_metadata
from dimec.evaluation.ledger_row import LedgerRow, share_key
from dimec.tiers.names import TIER_NAMES

KEY = "dimec.ledger"
MADE_BY = "dimec evaluate --ledger"
_SHARES = {share_key(name) for name in TIER_NAMES} | {"shares"}
FIGURES = tuple(field.name for field in fields(LedgerRow) if field.name not in _SHARES)


def ledger_table(
    rows: Sequence[LedgerRow], tiers: Sequence[str], metric_name: str, context: dict[str, Any]
) -> Any:
    """The table of a ledger's rows.

    Args:
        rows: of the policies.
        tiers: the names of all tiers, in order.
        metric_name: which score ``metric`` is.
        context: what the figures rest on, as JSON values.

    Raises:
        MissingExtraError: pyarrow is not installed.
    """
    arrow = pyarrow_for("a ledger as a table")
    names = [*FIGURES, *map(share_key, tiers)]
    distinct_columns(names, "the ledger")
    told = [{**asdict(row), **{share_key(t): row.shares.get(t) for t in tiers}} for row in rows]
    kinds = {"policy": arrow.string()}
    columns = {
        name: arrow.array([row[name] for row in told], kinds.get(name, arrow.float64()))
        for name in names
    }
    said = {"version": 1, "metric_name": metric_name, "tiers": list(tiers), "context": context}
    return with_metadata(arrow.table(columns), KEY, said)


def ledger_fields(source: Any) -> tuple[tuple[LedgerRow, ...], str, dict[str, Any]]:
    """The rows, the name of the metric and the context of what :func:`ledger_table` made.

    Raises:
        DataError: it is no such table, or lacks a column.
        CorruptArtefactError: it says of itself what no ledger is.
        MissingExtraError: pyarrow is not installed.
    """
    table = table_from(source, "a ledger")
    said = said_in(table, KEY, "Ledger.to_arrow", "read ledger.json with Ledger.load")
    tiers, metric_name, context = _checked(said)
    names = [*FIGURES, *map(share_key, tiers)]
    if missing := [name for name in names if name not in table.column_names]:
        raise DataError(
            f"expected a ledger's table with the column {quoted(missing[0])}, got one without; "
            "keep all columns of Ledger.to_arrow"
        )
    made = []
    for row in table.to_pylist():
        figures = {name: _or_none(row[name]) for name in FIGURES}
        shares = {tier: _or_none(row[share_key(tier)]) for tier in tiers}
        known = {tier: share for tier, share in shares.items() if share is not None}
        paper = {share_key(tier): known[tier] for tier in TIER_NAMES if tier in known}
        made.append(LedgerRow(**figures, **paper, shares=known))
    return tuple(made), metric_name, context


def _checked(said: dict[str, Any]) -> tuple[list[str], str, dict[str, Any]]:
    """Names of the tiers, name of the metric, and context, of the right types."""
    tiers, metric_name, context = (said.get(name) for name in ("tiers", "metric_name", "context"))
    whole = (
        said.get("version") == 1
        and isinstance(tiers, list)
        and all(isinstance(name, str) for name in (metric_name, *tiers))
    )
    if not whole or not isinstance(context, dict) or not isinstance(tiers, list):
        raise CorruptArtefactError(
            f"the table's metadata {KEY!r} is not that of a ledger; make it again with: {MADE_BY}"
        )
    return tiers, str(metric_name), context


def _or_none(value: Any) -> Any:
    """A figure, None for what pandas has made not-a-number of."""
    return None if value is None or value != value else value
