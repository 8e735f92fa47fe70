"""The ledger as a table in the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dimec.report.wording import (
    METRIC_TITLES,
    interval,
    ledger_notes,
    number,
    percent,
    router_names,
)

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from dimec.ledger import Ledger, LedgerRow

# Tried in this order until one fits: whether the intervals have columns of their own, and the
# spaces added between columns.
_LAYOUTS = ((True, 2), (True, 1), (True, 0), (False, 1), (False, 0))


def ledger_table(ledger: Ledger, *, width: int | None = None) -> Table:
    """The ledger, one row a policy in the ledger's order, with notes on how to read it.

    Args:
        ledger: fractions; the table shows percent, points and λ.
        width: columns of text that there are; by default the terminal's. Where it is narrow, the
            intervals stand below their values instead of beside them, which fits 80.
    """
    from rich.console import Console

    columns = width if width is not None else Console().width
    ruler = Console(width=1000)
    for wide, gap in _LAYOUTS:
        table = _build(ledger, wide, gap)
        if ruler.measure(table).maximum <= columns:
            break
    return table


def _build(ledger: Ledger, wide: bool, gap: int) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(
        box=box.SIMPLE_HEAD,
        padding=(0, gap, 0, 0),
        pad_edge=False,
        show_edge=False,
        caption=Text("\n" + "\n".join(ledger_notes(ledger)), style="dim"),
        caption_justify="left",
    )
    table.add_column("\npolicy", overflow="fold")
    for title in _titles(ledger, wide):
        # On a very narrow terminal an interval may take two lines; a number is never cut.
        table.add_column(title, justify="right", min_width=5)
    routers = set(router_names(ledger))
    for row in ledger.rows:
        cells = _cells(row, ledger.metric_name, wide)
        name = row.policy if wide else row.policy.replace("@", "@\n", 1)
        style = "bold" if row.policy in routers else None
        table.add_row(Text(name), *[Text(cell) for cell in cells], style=style)
    return table


def ledger_text(ledger: Ledger, *, width: int = 100) -> str:
    """The table as plain text, without colours; no line is longer than ``width``."""
    console = _plain_console(width)
    with console.capture() as capture:
        console.print(ledger_table(ledger, width=width))
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
        "mobile\n%",
        "edge\n%",
        "cloud\n%",
    ]


def _cells(row: LedgerRow, metric_name: str, wide: bool) -> list[str]:
    """The texts of one row, in the order of the titles."""
    drop = [percent(row.drop), interval(row.drop_low, row.drop_high)]
    reduction = [percent(row.reduction), interval(row.reduction_low, row.reduction_high)]
    return [
        percent(row.accuracy),
        *([] if metric_name == "accuracy" else [number(row.metric, 3)]),
        *(drop if wide else ["\n".join(drop)]),
        number(row.cost),
        *(reduction if wide else ["\n".join(reduction)]),
        *[_share(share) for share in (row.share_mobile, row.share_edge, row.share_cloud)],
    ]


def _share(fraction: float) -> str:
    return percent(fraction).replace("100.0", "100")
