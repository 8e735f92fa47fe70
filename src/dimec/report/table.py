"""The ledger as a table in the terminal."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from dimec.report.blocks import Column, fit_columns
from dimec.report.wording import (
    METRIC_TITLES,
    fitted_names,
    interval,
    ledger_notes,
    number,
    percent,
    single_tier_sentences,
)

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from dimec.evaluation.ledger import Ledger, LedgerRow

# Tried in this order until one fits: whether the intervals have columns of their own, and the
# spaces added between columns.
_LAYOUTS = ((True, 2), (True, 1), (True, 0), (False, 1), (False, 0))


def ledger_tables(ledger: Ledger, *, width: int) -> list[Table]:
    """The ledger, one row a policy in the ledger's order, with notes on how to read it.

    Args:
        ledger: fractions; the table shows percent, points and λ.
        width: characters of a line. Where they are few, the intervals stand below their values
            instead of beside them, which fits 80; where they are fewer, the columns stand in
            several tables below each other.
    """
    for wide, gap in _LAYOUTS:
        tables = _build(ledger, wide, gap, width)
        if len(tables) == 1:
            break
    return tables


def _build(ledger: Ledger, wide: bool, gap: int, width: int) -> list[Table]:
    from rich import box
    from rich.text import Text

    names = [row.policy if wide else row.policy.replace("@", "@\n", 1) for row in ledger.rows]
    cells = [_cells(row, ledger, wide) for row in ledger.rows]
    columns = [Column("\npolicy", names, words=True)]
    for place, title in enumerate(_titles(ledger, wide)):
        columns.append(Column(title, [row[place] for row in cells]))
    routers = set(fitted_names(ledger))
    first = single_tier_sentences(ledger)
    return fit_columns(
        columns,
        width,
        gap=gap,
        box=box.SIMPLE_HEAD,
        styles=["bold" if row.policy in routers else None for row in ledger.rows],
        title=Text("\n".join(first) + "\n", style="bold") if first else None,
        caption=Text("\n" + "\n".join(ledger_notes(ledger)), style="dim"),
    )


def ledger_text(ledger: Ledger, *, width: int = 100) -> str:
    """The table as plain text, without colours; no line is longer than ``width``."""
    console = _plain_console(width)
    with console.capture() as capture:
        console.print(*ledger_tables(ledger, width=width), sep="\n")
    return "\n".join(line.rstrip() for line in capture.get().splitlines()) + "\n"


def _plain_console(width: int) -> Console:
    import io

    from rich.console import Console

    return Console(
        file=io.StringIO(),
        width=width,
        color_system=None,
        force_terminal=False,
        legacy_windows=False,
    )


def _titles(ledger: Ledger, wide: bool) -> list[str]:
    """Column titles behind the policy's, each on two lines."""
    metric = f"\n{METRIC_TITLES.get(ledger.metric_name, ledger.metric_name)}"
    bounds = ["95 %\ninterval"] if wide else []
    return [
        "accu-\nracy %",
        *(
            []
            if ledger.metric_name == "accuracy"
            else [metric if wide else metric.replace("\nMatthews", "Mat-\nthews")]
        ),
        "drop\npoints",
        *bounds,
        "cost\nλ",
        "reduc-\ntion %",
        *bounds,
        *(f"{tier}\n%" for tier in ledger.tiers),
    ]


def _cells(row: LedgerRow, ledger: Ledger, wide: bool) -> list[str]:
    """The texts of one row, in the order of the titles."""
    drop = [percent(row.drop), interval(row.drop_low, row.drop_high)]
    reduction = [percent(row.reduction), interval(row.reduction_low, row.reduction_high)]
    return [
        percent(row.accuracy),
        *([] if ledger.metric_name == "accuracy" else [number(row.metric, 3)]),
        *(drop if wide else ["\n".join(drop)]),
        number(row.cost),
        *(reduction if wide else ["\n".join(reduction)]),
        *[_share(row.shares.get(tier, math.nan)) for tier in ledger.tiers],
    ]


def _share(fraction: float) -> str:
    return percent(fraction).replace("100.0", "100")
