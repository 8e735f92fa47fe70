"""What the commands share: arguments that recur, parsing, printing."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dimec.errors import ConfigError, MissingArtefactError

if TYPE_CHECKING:
    from dimec.ledger import Ledger
    from dimec.progress import RichProgress
    from dimec.run import Run

# DEL and C1 controls, and what breaks lines or turns their direction.
_CONTROLS = re.compile("[\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")

RunPath = Annotated[
    Path, typer.Argument(metavar="RUN", help="The run directory that dimec train made.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON on stdout.")]


def open_run(path: Path) -> Run:
    from dimec.run import Run

    if not path.is_dir():
        raise MissingArtefactError(
            f"{path} is no run directory; make one with: dimec train --out {path}"
        )
    return Run(path)


def progress_bar() -> RichProgress:
    from dimec.progress import RichProgress

    return RichProgress()


def show_ledger(ledger: Ledger) -> None:
    from rich.console import Console

    from dimec.report import ledger_table

    Console().print(ledger_table(ledger))


def show_scenarios(report: Path, names: Sequence[str]) -> None:
    """What ``dimec evaluate`` wrote to ``scenarios.json``, as a table a scenario."""
    from rich.console import Console
    from rich.table import Table

    from dimec.storage import read_json

    rows = read_json(report / "scenarios.json", "dimec evaluate")
    for name in names:
        table = Table(title=f"scenario {name}", title_justify="left", box=None, pad_edge=False)
        table.add_column("policy")
        for title in ("milliseconds", "millijoules of the phone", "USD per 1,000"):
            table.add_column(title, justify="right")
        for row in rows:
            if row["scenario"] == name:
                figures = (row["milliseconds"], row["millijoules"], row["usd_per_1000"])
                table.add_row(row["policy"], *[f"{figure:.4g}" for figure in figures])
        Console().print(table)


def print_json(value: Any) -> None:
    print(json_text(value, indent=2))


def json_text(value: Any, indent: int | None = None) -> str:
    """JSON that is safe on a terminal: control characters beyond ASCII are escaped as well."""
    text = json.dumps(value, indent=indent, ensure_ascii=False)
    # The escapes are json's own for the same characters.
    return _CONTROLS.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def layers_of(option: str, text: str | None) -> tuple[int, ...] | str | None:
    if text is None or text == "all":
        return text
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise ConfigError(f"{option}: expected layers such as 4,6,12, got {text!r}") from None


def numbers_of(option: str, text: str | None) -> tuple[float, ...] | None:
    if text is None:
        return None
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise ConfigError(f"{option}: expected numbers such as 0.6,0.7, got {text!r}") from None
