"""``dimec reproduce``: the paper's tables and figures, from a profile to stored results.

The entry point ``reproduce`` of the group ``dimec.studies`` names :data:`app`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dimec.base.errors import ConfigError, DataError
from dimec.cli.command import HELP_OPTIONS, Command
from dimec.cli.common import print_json, progress_bar
from dimec.cli.idle import Idle
from dimec.settings.lists import layers_of

ITEM_HELP = (
    "table1, table2, fig1, fig3, fig4, fig5, cartography, robustness; all, which is what the "
    "profile is for; or docs, to write the page and its figures again from the stored results."
)

_OF_RUNS = ("profile", "out", "data_dir", "tasks", "seeds", "backbone", "tiers", "max_train_rows")


class StudyCommand(Command):
    """The command, with the options that do nothing beside others."""

    idle = (
        Idle(
            "reproduce",
            (*_OF_RUNS, "epochs", "workers"),
            lambda given: set(given["items"]) == {"docs"},
            "with docs alone, which is written from the stored results",
        ),
    )


app = typer.Typer(
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings=HELP_OPTIONS,
)


@app.command(cls=StudyCommand)
def reproduce(
    items: Annotated[list[str], typer.Argument(metavar="ITEM...", help=ITEM_HELP)],
    profile: Annotated[
        str,
        typer.Option(
            help="small (6 layers, a processor will do), deep (12 layers and few rows, table2 on a "
            "processor), base (12 layers, for a GPU), or a TOML file in their form."
        ),
    ] = "small",
    out: Annotated[
        Path, typer.Option(help="Folder of the trained runs; they are reused and resumed.")
    ] = Path("runs/reproduction"),
    results: Annotated[
        Path, typer.Option(help="Folder of the results; each goes to PROFILE/ITEM.json.")
    ] = Path("results/reproduction"),
    docs: Annotated[Path, typer.Option(help="Folder of reproduction.md and its figures.")] = Path(
        "docs"
    ),
    data_dir: Annotated[
        Path | None,
        typer.Option(help="Folder of the GLUE files; else DIMEC_DATA, else the hub."),
    ] = None,
    tasks: Annotated[
        str | None, typer.Option(help="Some of the profile's tasks, such as sst2,cola.")
    ] = None,
    seeds: Annotated[str | None, typer.Option(help="Such as 0,1,2.")] = None,
    backbone: Annotated[
        str | None,
        typer.Option(help="Another encoder: a folder, a hub name such as bert-base-uncased."),
    ] = None,
    tiers: Annotated[
        str | None, typer.Option(help="Exits of mobile,edge,cloud; default a third, half, all.")
    ] = None,
    max_train_rows: Annotated[
        int | None, typer.Option(help="In place of the profile's limits.")
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="In place of the profile's.")] = None,
    workers: Annotated[
        int, typer.Option(help="Runs trained side by side, each with its share of the cores.")
    ] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print the paths as JSON.")] = False,
) -> None:
    """Rebuild the paper's tables and figures, and the studies beyond it.

    Trains what is missing (every recipe, task and seed of the profile), replays every system on
    the same traces at the same prices, and stores the figures with all that they rest on. It can
    be killed at any moment: the same command goes on from there.

    Examples:

        dimec reproduce table1 --data-dir glue --workers 2

        dimec reproduce all --profile base --data-dir glue

        dimec reproduce table1 --backbone bert-base-uncased --tiers 4,6,12 --tasks mrpc --seeds 0
    """
    from dimec_studies.plan import ITEMS, Plan

    for item in items:
        if item not in (*ITEMS, "all", "docs"):
            raise ConfigError(
                f"no item is named {item!r}; there are {', '.join(ITEMS)}, all and docs"
            )
    if data_dir is not None and not data_dir.is_dir():
        raise DataError(f"--data-dir: {data_dir} is no folder; name the one with the GLUE files")
    if workers < 1:
        raise ConfigError(f"--workers: expected at least 1, got {workers}")
    plan = Plan.load(profile).changed(
        tasks=None if tasks is None else tasks.split(","),
        seeds=_whole_numbers("--seeds", seeds),
        backbone=backbone,
        tiers=layers_of("--tiers", tiers),  # type: ignore[arg-type]  # checked by the plan
        max_train_rows=max_train_rows,
        epochs=epochs,
    )
    wanted = list(plan.items) if "all" in items else [item for item in items if item != "docs"]
    paths = []
    with progress_bar() as progress:
        from dimec_studies.items import reproduce as make
        from dimec_studies.rendering import render
        from dimec_studies.runs import Workshop

        folder = None if data_dir is None else str(data_dir)
        workshop = Workshop(plan, out / plan.runs_name, folder, workers, progress)
        for item in wanted:
            paths.append(make(item, workshop, results))
            progress.say(f"stored {paths[-1]}")
        paths += render(results, docs)
    if as_json:
        print_json([str(path) for path in paths])
        return
    for path in paths:
        print(path)


def _whole_numbers(option: str, text: str | None) -> tuple[int, ...] | None:
    if text is None:
        return None
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise ConfigError(f"{option}: expected numbers such as 0,1,2, got {text!r}") from None
