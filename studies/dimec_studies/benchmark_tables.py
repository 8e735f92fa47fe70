"""Tables for the documentation, made of stored results, so that no figure is copied by hand.

``goals`` lists what was promised and what was found; ``figures`` is a grid of all figures whose
names have the form ``row: column``. :mod:`dimec_studies.docs` puts both into the documentation.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from dimec.base.storage import read_json
from dimec_studies.units import formatted

Record = Mapping[str, Any]  # a benchmark's part of a stored result


def benchmark_tables(results: Path) -> dict[str, str]:
    """All tables, by the name in their marker; of each benchmark the newest stored result."""
    tables = {}
    for name, record in newest(results).items():
        tables[f"bench-{name}"] = figures_table(record)
        tables[f"bench-{name}-goals"] = goals_table(record)
    return tables


def newest(results: Path) -> dict[str, Record]:
    """Each benchmark's newest record; of several on one day the file whose name sorts last."""
    stored = [read_json(path, "make bench") for path in sorted(results.glob("*.json"))]
    found: dict[str, Record] = {}
    for report in sorted(stored, key=lambda report: str(report["date"])):
        found |= report["benchmarks"]
    return found


def goals_table(record: Record) -> str:
    """What has a goal: figure, range of the repeats, goal, and whether it was met."""
    rows = [("what", "figure", "goal", "")]
    for figure in record["figures"]:
        if figure["goal"] is None:
            continue
        sign = "≥" if figure.get("at_least") else "≤"
        goal = f"{sign} {_shown(figure['goal'], figure['unit'])}"
        rows.append((figure["name"], _cell(figure), goal, "met" if figure["met"] else "missed"))
    return _markdown(rows, "-::-")


def figures_table(record: Record) -> str:
    """A grid of the figures named ``row: column``, medians; others as rows of one column.

    It is turned on its side where it would be wider than high.
    """
    cells: dict[str, dict[str, str]] = {}
    columns: dict[str, None] = {}
    for figure in record["figures"]:
        row, colon, column = figure["name"].partition(": ")
        column = column if colon else "figure"
        columns[column] = None
        cells.setdefault(row, {})[column] = _shown(figure["value"], figure["unit"])
    rows = [("", *columns)]
    rows += [(row, *(found.get(column, "") for column in columns)) for row, found in cells.items()]
    if len(columns) > len(cells):
        rows = list(zip(*rows, strict=True))
    return _markdown(rows, "-" + ":" * (len(rows[0]) - 1))


def _cell(figure: Mapping[str, Any]) -> str:
    """``value (low to high)``, without the range where there was one measurement."""
    value, low, high = (_shown(figure[key], figure["unit"]) for key in ("value", "low", "high"))
    return value if low == high else f"{value} ({low} to {high})"


def _shown(value: float, unit: str) -> str:
    return formatted(value, unit).replace(" x", "×")


def _markdown(rows: Iterable[tuple[str, ...]], alignment: str) -> str:
    """A table with a heading; ``alignment`` has ``:`` for each column of numbers."""
    lines = [f"| {' | '.join(row)} |" for row in rows]
    rule = "|".join("---:" if sign == ":" else "---" for sign in alignment)
    return "\n".join([lines[0], f"|{rule}|", *lines[1:]])
