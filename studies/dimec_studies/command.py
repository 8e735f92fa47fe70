"""``dimec reproduce``: the paper's tables and figures, from a study profile to stored results.

The entry point ``reproduce`` of the group ``dimec.studies`` names :data:`app`.
"""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dimec.base.errors import ConfigError, DataError
from dimec.cli.command import HELP_OPTIONS, Command
from dimec.cli.common import print_json, progress_bar
from dimec.cli.idle import Idle
from dimec.settings.lists import layers_of

if TYPE_CHECKING:
    from dimec_studies.plan import Plan

NAME_HELP = (
    "An item of --profile: table1, table2, fig1, fig3, fig4, fig5, cartography, robustness, "
    "ledger, of profile look savings, contained, signals, resplits, of own and encoders tiers, of "
    "small and base traces, beyond and promises, which are of the trace collection; or all, which "
    "is what the profile is for. The name of a study profile: all of it. "
    "contract and fleet, for which nothing is trained: how often a contract's tests accept, and "
    "what many mobiles do on recorded traces, in simulations. Or "
    "docs, to write every table and figure of the documentation again from the stored results."
)

_OF_RUNS = ("profile", "out", "data_dir", "tasks", "seeds", "backbone", "tiers", "max_train_rows")


def _profiles_told() -> str:
    """The packaged study profiles, each with what its file says that it is."""
    packaged = files(__package__).joinpath("profiles").iterdir()
    values = [tomllib.loads(file.read_text("utf-8")) for file in packaged]
    return ", ".join(sorted(f"{one['name']} ({one['about']})" for one in values))


def _are_whole_profiles(names: Sequence[str]) -> bool:
    from dimec_studies.plan import PROFILES, SIMULATIONS

    return {*names} <= {*PROFILES, *SIMULATIONS, "docs"}


def _train_nothing(names: Sequence[str]) -> bool:
    from dimec_studies.plan import SIMULATIONS

    return {*names} <= {*SIMULATIONS, "docs"}


class StudyCommand(Command):
    """The command, with the options that do nothing beside others."""

    idle = (
        Idle(
            "reproduce",
            (*_OF_RUNS, "epochs", "workers"),
            lambda given: _train_nothing(given["names"]),
            "with docs alone, or contract or fleet, for which nothing is trained",
        ),
        Idle(
            "reproduce",
            ("profile",),
            lambda given: _are_whole_profiles(given["names"]),
            "beside names of study profiles alone; give the one or the other",
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
    names: Annotated[list[str], typer.Argument(metavar="NAME...", help=NAME_HELP)],
    profile: Annotated[
        str,
        typer.Option(help=f"A study profile: {_profiles_told()}, or a TOML file in their form."),
    ] = "small",
    out: Annotated[
        Path, typer.Option(help="Folder of the trained runs; they are reused and resumed.")
    ] = Path("runs/reproduction"),
    results: Annotated[
        Path, typer.Option(help="Folder of the results; each goes to studies/PROFILE/ITEM.json.")
    ] = Path("results"),
    docs: Annotated[
        Path, typer.Option(help="Folder of reproduction.md, its figures, and pages with tables.")
    ] = Path("docs"),
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
    collection: Annotated[
        Path | None,
        typer.Option(help="Folder of the trace collection, for traces; default: the checkout's."),
    ] = None,
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

        dimec reproduce base --data-dir glue

        dimec reproduce movies

        dimec reproduce look

        dimec reproduce traces --profile small --tasks qqp --seeds 0

        dimec reproduce table1 --backbone bert-base-uncased --tiers 4,6,12 --tasks mrpc --seeds 0
    """
    from dimec_studies.plan import Plan

    _check_names(names)
    if data_dir is not None and not data_dir.is_dir():
        raise DataError(f"--data-dir: {data_dir} is no folder; name the one with the GLUE files")
    if workers < 1:
        raise ConfigError(f"--workers: expected at least 1, got {workers}")
    changes: dict[str, Any] = {
        "tasks": None if tasks is None else tasks.split(","),
        "seeds": _whole_numbers("--seeds", seeds),
        "backbone": backbone,
        "tiers": layers_of("--tiers", tiers),
        "max_train_rows": max_train_rows,
        "epochs": epochs,
    }
    work = [(plan.changed(**changes), items) for plan, items in _wanted(names, Plan.load(profile))]
    paths = []
    with progress_bar() as progress:
        from dimec_studies.docs import STUDIES, write_docs
        from dimec_studies.items import reproduce as make
        from dimec_studies.runs import Workshop

        if "contract" in names:
            from dimec_studies.contracts import make as simulate

            paths.append(simulate(results / STUDIES))
            progress.say(f"stored {paths[-1]}")
        if "fleet" in names:
            from dimec_studies.fleets import make as simulate_fleet

            paths.append(simulate_fleet(results / STUDIES, progress=progress))
            progress.say(f"stored {paths[-1]}")
        folder = None if data_dir is None else str(data_dir)
        for plan, items in work:
            workshop = Workshop(plan, out / plan.runs_name, folder, workers, progress, collection)
            for item in items:
                paths.append(make(item, workshop, results / STUDIES))
                progress.say(f"stored {paths[-1]}")
        paths += write_docs(results, docs)
    if as_json:
        print_json([str(path) for path in paths])
        return
    for path in paths:
        print(path)


def _check_names(names: Sequence[str]) -> None:
    from dimec_studies.plan import ITEMS, PROFILES, SIMULATIONS

    for name in names:
        if name not in (*ITEMS, *PROFILES, *SIMULATIONS, "all", "docs"):
            raise ConfigError(
                f"no item is named {name!r}; there are {', '.join((*ITEMS, *SIMULATIONS))}, all "
                f"and docs, and the study profiles {', '.join(PROFILES)}"
            )


def _wanted(names: Sequence[str], plan: Plan) -> list[tuple[Plan, Sequence[str]]]:
    """What is asked for: items of the plan, or ``all`` of it, and whole study profiles.

    What goes into the trace collection has tasks, seeds and recipes of its own, and so a plan.
    """
    from dimec_studies.plan import COLLECTION_ITEMS, PROFILES, SIMULATIONS, Plan

    others = (*PROFILES, *SIMULATIONS, "all", "docs")
    items = [name for name in names if name not in others]
    whole = [Plan.load(name) for name in names if name in PROFILES]
    first: Sequence[str] = plan.items if "all" in names else items
    asked = [(plan, first), *((one, one.items) for one in whole)]
    found: list[tuple[Plan, Sequence[str]]] = []
    for one, of_it in asked:
        if rest := [item for item in of_it if item not in COLLECTION_ITEMS]:
            found.append((one, rest))
        if of_collection := [item for item in of_it if item in COLLECTION_ITEMS]:
            found.append((one.of_collection(), of_collection))
    return found


def _whole_numbers(option: str, text: str | None) -> tuple[int, ...] | None:
    if text is None:
        return None
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise ConfigError(f"{option}: expected numbers such as 0,1,2, got {text!r}") from None
