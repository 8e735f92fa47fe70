"""``dimec evaluate``: the ledger of every policy on the test trace."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from dimec.cli.common import (
    AsJson,
    RunOrNone,
    TraceName,
    open_run_or_trace,
    print_json,
    print_next,
    progress_bar,
    show_curves,
    show_ledger,
    show_scenarios,
)
from dimec.cli.track import tell_trackers


def evaluate(
    path: RunOrNone = None,
    trace: TraceName = None,
    draws: Annotated[int, typer.Option(help="Of the bootstrap.")] = 1000,
    seed: Annotated[int, typer.Option(help="Of the bootstrap.")] = 0,
    systems: Annotated[
        str | None,
        typer.Option(
            help="Systems of the literature to compare with, such as deebert,splitee, or all; "
            "each is fitted on the validation split. They want a run with --exits all.",
        ),
    ] = None,
    scenario: Annotated[
        str | None,
        typer.Option(
            help="Show also milliseconds, millijoules and money in this scenario, such as "
            "phone-4g, or all. report/scenarios.json has them in any case.",
        ),
    ] = None,
    scenarios: Annotated[
        Path | None,
        typer.Option(help="A TOML file of scenarios in place of the package's own."),
    ] = None,
    curves: Annotated[
        bool,
        typer.Option(
            help="Also the whole accuracy-cost curve of each policy with a knob: the paper's "
            "router, the run's own policy, and --systems. report/curves.json has them.",
        ),
    ] = True,
    ledger_file: Annotated[
        Path | None,
        typer.Option(
            "--ledger",
            metavar="FILE",
            help="Write the ledger as a table too, for pandas and others: .parquet or .arrow. "
            "report/ledger.json has it in any case.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Replay every policy on the test trace and draw up the ledger of accuracy and cost.

    Examples:

        dimec evaluate runs/mine --systems all

        dimec evaluate --trace sst2/minilm-own/0 --systems all --ledger sst2.parquet
    """
    from dimec.base.tables import check_table_file
    from dimec.tiers.scenario_file import Scenarios

    if ledger_file is not None:
        check_table_file(ledger_file, "--ledger")  # before the work
    known = Scenarios.load(scenarios)
    if scenario is not None and scenario != "all":
        known.scenario(scenario)  # an unknown name is refused before the work
    run = open_run_or_trace(path, trace)
    if trace is not None and not run.policy_path.exists():
        told = run.fit_default()
        print(f"nothing was fitted: fitted {told}, as dimec fit --policy would", file=sys.stderr)
    names = () if systems is None else tuple(systems.split(","))
    with progress_bar() as progress:
        ledger = run.evaluate(
            draws=draws,
            seed=seed,
            systems=names,
            scenarios=known,
            curves=curves,
            progress=progress,
        )
    if ledger_file is not None:
        ledger.to_parquet(ledger_file)
    tell_trackers(run)
    if as_json:
        print_json(ledger.to_dicts())
        return
    show_ledger(ledger)
    if curves:
        show_curves(run.report_path)
    if scenario is not None:
        show_scenarios(run.report_path, known.names if scenario == "all" else (scenario,))
    print_next("report", run.path)
