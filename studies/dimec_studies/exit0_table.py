"""How good exit 0 is by itself, beside what else costs no layer: a table for the documentation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dimec_studies.markdown import table


def exit0_table(result: Mapping[str, Any]) -> dict[str, str]:
    """The table of ``results/exit0/alone.json``, by the name in its marker.

    A row a task, accuracy in percent on the rows of the task's own evaluation split; the best of
    a row is bold, and what a task has no use for is left blank.
    """
    methods = list(dict.fromkeys(name for one in result["rows"] for name in one["methods"]))
    rows = []
    for one in result["rows"]:
        told = {name: 100 * found["accuracy"] for name, found in one["methods"].items()}
        best = max(told.values())
        cells = [_cell(told.get(name), best) for name in methods]
        sizes = [f"{one['train_rows']:,}", f"{one['test_rows']:,}"]
        rows.append([one["task"], *sizes, *cells])
    return {"exit0-alone": table(["task", "rows to learn", "rows to judge", *methods], rows)}


def _cell(accuracy: float | None, best: float) -> str:
    if accuracy is None:
        return ""
    return f"**{accuracy:.1f}**" if accuracy == best else f"{accuracy:.1f}"
