"""``dimec map``: what the data map of the training rows is good for."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, count
from pathlib import Path
from typing import Annotated

import typer

from dimec.cli.command import Command
from dimec.cli.common import AsJson, RunPath, open_run, print_json, print_next

_SHOWN = 5  # names of classes

map_app = typer.Typer(
    help="Choose training rows by the data map of a run trained with --record-train.",
    no_args_is_help=True,
)


@map_app.callback()
def _root() -> None:
    pass  # with it, the one command keeps its name


@map_app.command(cls=Command)
def select(
    path: RunPath,
    by: Annotated[
        str,
        typer.Option(
            help="ambiguous: the highest variability. easy: the highest confidence. hard: the "
            "lowest. random: for comparison."
        ),
    ],
    share: Annotated[float, typer.Option(help="Of the training rows, up to 1.")] = 0.33,
    exit_: Annotated[
        int | None,
        typer.Option("--exit", help="The layer whose dynamics count; default: the deepest."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Default: RUN/selections/KIND-SHARE.jsonl, with the exit and the seed."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the random choice.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Write the most ambiguous, easiest or hardest share of a run's training rows.

    Each class keeps at least one row, so that the rows can be trained on.

    Examples:

        dimec train --task glue/sst2 --record-train --out runs/sst2

        dimec map select runs/sst2 --by ambiguous --share 0.33 --out ambiguous.jsonl

        dimec train --task glue/sst2 --train-rows ambiguous.jsonl --out runs/ambiguous
    """
    from dimec.runs.selection import check_choice, select_rows, write_selection

    check_choice(by, share)
    run = open_run(path)
    selection = select_rows(run, by=by, share=share, exit_=exit_, seed=seed)
    if out is None:
        drawn = f"-seed{seed}" if by == "random" else ""
        name = f"{by}-{share:g}-exit{selection.exit}{drawn}.jsonl"
        out = run.selections_path / name
    write_selection(selection, out)
    places = selection.data_map
    means = {
        "confidence": float(places.confidence.mean()),
        "variability": float(places.std.mean()),
        "correctness": float(places.correctness.mean()),
    }
    if as_json:
        chosen = {"by": by, "share": share, "exit": selection.exit}
        sizes = {"rows": len(selection), "of": selection.of}
        print_json({"file": str(out), **chosen, **sizes, "kept": selection.kept, "mean": means})
        return
    print(
        f"{out}: {len(selection):,} of {selection.of:,} training rows, by exit {selection.exit}; "
        + ", ".join(f"mean {name} {value:.3f}" for name, value in means.items())
    )
    if selection.kept:
        print(f"kept one row each of classes that had none in the share: {_some(selection.kept)}")
    words = ("--config", run.config_path, "--train-rows", out)
    print_next("train", *words, "--out", _new_run(run.path, out.stem))


def _new_run(run: Path, name: str) -> Path:
    """A folder beside the run that is not there yet."""
    run = run if run.name not in ("", "..") else run.resolve()
    names = (f"{run.name}-{name}{again}" for again in chain([""], (f"-{k}" for k in count(2))))
    return next(path for path in map(run.with_name, names) if not path.exists())


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_SHOWN])
    return shown if len(names) <= _SHOWN else f"{shown} and {len(names) - _SHOWN} more"
