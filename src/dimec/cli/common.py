"""What the commands share: arguments that recur, parsing, printing."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dimec.base.errors import MissingArtefactError
from dimec.cli.streams import json_text

if TYPE_CHECKING:
    from rich.console import Console

    from dimec.base.progress import RichProgress
    from dimec.evaluation.ledger import Ledger
    from dimec.report.blocks import Column
    from dimec.runs.run import Run
    from dimec.tiers.costs import CostModel

_COLUMNS = 80  # of a table that goes to a file or a pipe

RunPath = Annotated[
    Path, typer.Argument(metavar="RUN", help="The run directory that dimec train made.")
]
# Of the commands that take recorded traces too.
RunOrNone = Annotated[
    Path | None,
    typer.Argument(
        metavar="RUN",
        help="The run directory that dimec train made; with --trace where the work goes, by "
        "default runs/traces/NAME.",
        show_default=False,
    ),
]
TraceName = Annotated[
    str | None,
    typer.Option(
        "--trace",
        metavar="NAME",
        help="In place of a trained run: traces of the collection (dimec traces list), or of a "
        "folder that dimec trace import made.",
    ),
]
CONTRACT = "Contract"  # the panel of its options
Bound = Annotated[
    str | None,
    typer.Option(
        "--bound",
        metavar="NAME",
        help="The test that promises it, in place of the one that suits: exact, betting, "
        "clopper-pearson, hoeffding-bentkus, disagreement (which needs no labels), or one that "
        "dimec plugins lists.",
        rich_help_panel=CONTRACT,
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON on stdout.")]


def open_run(path: Path) -> Run:
    from dimec.runs.run import Run

    if not path.is_dir():
        raise MissingArtefactError(
            f"{path} is no run directory; make one with: "
            + shell_line("dimec", "train", "--out", path)
        )
    return Run(path)


def open_run_or_trace(path: Path | None, trace: str | None) -> Run:
    """The run at a path, or one of recorded traces, which is made where there is none."""
    if trace is None and path is None:
        raise typer.BadParameter(
            "expected the run directory that dimec train made, or --trace NAME for traces of the "
            "collection; got neither",
            param_hint="RUN",
        )
    if trace is None:
        assert path is not None
        return open_run(path)
    from dimec.runs.run import Run

    return Run.of_trace(trace, path)


def progress_bar() -> RichProgress:
    from dimec.base.progress import RichProgress

    return RichProgress()


def fetched(place: Path) -> Path:
    """The folder of a path, or of ``hub:ORG/NAME``, whose pull is told on standard error."""
    from dimec.hub.kept import is_on_hub, local_folder

    if not is_on_hub(place):
        return place
    with progress_bar() as progress:
        return local_folder(place, progress)


def results_console() -> Console:
    """Where tables go: standard output, as wide as its terminal.

    In a file or a pipe they are as wide as ``COLUMNS`` says, whatever terminal standard input and
    standard error have: rich would take theirs.
    """
    from rich.console import Console

    if sys.stdout.isatty():
        return Console()
    columns = os.environ.get("COLUMNS", "")
    return Console(width=int(columns) if columns.isdecimal() and int(columns) else _COLUMNS)


def show_columns(*columns: Column, title: str = "") -> None:
    """Columns as a table on standard output, or as several where its lines are too short."""
    from dimec.report.blocks import Columns

    results_console().print(Columns(columns, title=title))


def show_ledger(ledger: Ledger) -> None:
    from dimec.report import ledger_tables

    console = results_console()
    console.print(*ledger_tables(ledger, width=console.width), sep="\n")


def show_curves(report: Path) -> None:
    """What each policy of ``curves.json`` saves at half a point, as a table; none without any."""
    from rich.text import Text

    from dimec.evaluation.curves import Curves
    from dimec.report.curves import saving_columns, saving_note, saving_title

    curves = Curves.load(report)
    if curves.curves:
        print()
        show_columns(*saving_columns(curves), title=saving_title())
        print()
        results_console().print(Text(saving_note(curves), style="dim"))


def show_scenarios(report: Path, names: Sequence[str]) -> None:
    """What ``dimec evaluate`` wrote to ``scenarios.json``, as a table a scenario, or why not."""
    from dimec.base.storage import read_json
    from dimec.report.blocks import Column

    rows = read_json(report / "scenarios.json", "dimec evaluate")
    if not rows:
        print(
            "no milliseconds, millijoules and money: nobody knows how wide the layers behind these "
            "recorded traces are; costs are in the ledger",
            file=sys.stderr,
        )
        return
    figures = {
        "milliseconds": "milliseconds",
        "millijoules of the phone": "millijoules",
        "USD per 1,000": "usd_per_1000",
    }
    for name in names:
        told = [row for row in rows if row["scenario"] == name]
        columns = [Column("policy", [row["policy"] for row in told], words=True)]
        for title, key in figures.items():
            columns.append(Column(title, [f"{row[key]:.4g}" for row in told]))
        show_columns(*columns, title=f"scenario {name}")


def costs_of(*prices: float | None) -> CostModel:
    """The paper's prices, and in their place what is given, in the order of fit's options."""
    from dimec.tiers.costs import CostModel

    names = ("mobile_layer", "edge_layer", "offload_edge", "offload_cloud", "cloud_charge")
    given = {name: p for name, p in zip(names, prices, strict=True) if p is not None}
    return CostModel(**given)


def print_json(value: Any) -> None:
    print(json_text(value, indent=2))


def print_next(*words: object) -> None:
    """The command that comes next, as it can be typed: paths are quoted where a shell needs it."""
    print(f"next: {shell_line('dimec', *words)}")


def shell_line(*words: object) -> str:
    """The words as one command of a shell; a path that begins with a dash is no option."""
    return shlex.join(
        f"./{word}" if isinstance(word, Path) and str(word).startswith("-") else str(word)
        for word in words
    )
