"""The tables of ledgers in the documentation: from a stored ``ledger`` to Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import mean, stdev
from typing import Any

from dimec_studies.markdown import table


def ledger_tables(result: Mapping[str, Any]) -> str:
    """Markdown tables of a stored ``ledger``, one for each task and way of fitting.

    Figures are means over the seeds.

    With one seed the drop and the reduction carry their bootstrap intervals; with several, every
    figure carries its standard deviation over the seeds.
    """
    by_task: dict[str, list[Mapping[str, Any]]] = {}
    for run in result["runs"]:
        by_task.setdefault(run["task"], []).append(run)
    parts = []
    for runs in by_task.values():
        seeds = _seeds([run["seed"] for run in runs])
        for fits in zip(*(run["fits"] for run in runs), strict=True):
            ledgers = _table([fit["ledger"] for fit in fits])
            parts.append(f"{_what(fits[0])}, {seeds}:\n\n{ledgers}")
            if len(fits) == 1 and fits[0].get("within"):
                parts.append(_within(fits[0]))
    return "\n\n".join(parts)


def _what(fit: Mapping[str, Any]) -> str:
    context = fit["context"]
    return (
        f"{context['task']}, {context['train_rows']:,} training and {context['samples']:,} "
        f"test rows, encoder {context['backbone']} with exits "
        f"{', '.join(map(str, context['exits']))}, {fit['name']}"
    )


def _seeds(seeds: Sequence[int]) -> str:
    if len(seeds) == 1:
        return f"seed {seeds[0]}"
    return f"mean ± standard deviation over seeds {', '.join(map(str, seeds))}"


def _table(ledgers: Sequence[Sequence[Mapping[str, Any]]]) -> str:
    columns = (
        "policy",
        "accuracy %",
        "drop, points",
        "gain over random@, points",
        "cost, λ",
        "reduction %",
        "mobile / edge / cloud %",
    )
    lines = ["| " + " | ".join(columns) + " |", "|---" + "|---:" * (len(columns) - 1) + "|"]
    for rows in zip(*ledgers, strict=True):
        shares = [
            f"{100 * mean(row[f'share_{tier}'] for row in rows):.0f}"
            for tier in ("mobile", "edge", "cloud")
        ]
        cells = [
            rows[0]["policy"],
            _cell(rows, "accuracy", 100, 1),
            _cell(rows, "drop", 100, 2),
            _cell(rows, "gain", 100, 2),
            _cell(rows, "cost", 1, 2),
            _cell(rows, "reduction", 100, 1),
            " / ".join(shares),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _within(fit: Mapping[str, Any]) -> str:
    """Where the knob of each policy is set on validation rows, and what it does on test rows."""
    allowed = f"{100 * fit['allowed']:g}"
    told = f"Each policy's knob set on validation rows to lose at most {allowed} points:"
    rows = []
    for one in fit["within"]:
        point = one["point"]
        if point is None:
            rows.append([one["policy"], "none within it", "", ""])
            continue
        settings = {"λ": point["lam"]} if point["lam"] is not None else point["settings"]
        knob = ", ".join(f"{name} {value:g}" for name, value in settings.items())
        cells = (_cell([point], "drop", 100, 2), _cell([point], "reduction", 100, 1))
        rows.append([one["policy"], knob, *cells])
    header = ("policy", "knob", "drop on test rows, points", "reduction %")
    return f"{told}\n\n{table(header, rows, texts=2)}"


def _cell(rows: Sequence[Mapping[str, Any]], key: str, factor: float, digits: int) -> str:
    if any(row[key] is None for row in rows):
        return ""
    values = [factor * row[key] for row in rows]
    text = f"{mean(values):.{digits}f}"
    if len(rows) > 1:
        spread = stdev(values)
        return f"{text} ± {spread:.{digits}f}" if round(spread, digits) else text
    low, high = rows[0].get(f"{key}_low"), rows[0].get(f"{key}_high")
    if low is None or high is None or round(low - high, 9) == 0:
        return text
    return f"{text} ({factor * low:.{digits}f} to {factor * high:.{digits}f})"
