"""``dimec simulate``: a fleet of mobiles, its links, and the queues at edge and cloud."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from dimec.base.errors import ConfigError
from dimec.cli.common import AsJson, print_json, progress_bar, show_columns


def simulate(
    fleet: Annotated[
        Path | None,
        typer.Argument(metavar="FLEET", help="The TOML file of the fleet.", show_default=False),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER", help="For fleet.json and fleet.html; default runs/fleet/NAME."
        ),
    ] = None,
    example: Annotated[
        bool, typer.Option("--example", help="Print a file with every setting, and stop.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Simulate many mobiles on recorded traces: latency, load, cost, and what tiers must bear.

    Texts arise on every mobile, a fitted policy decides, askings travel over links that change
    and queue at edge and cloud. Also told: how many servers each tier takes, what sharing what the
    mobiles learnt gains, and what other layers m and n would do. The same file gives the same
    bytes. A file to begin with: dimec simulate --example > fleet.toml

    Example:

        dimec simulate fleet.toml --out runs/fleet
    """
    from dimec.fleet.settings import FleetSettings
    from dimec.fleet.settings import example as example_file

    if example and fleet is not None:
        raise ConfigError(
            f"--example prints a file and reads none, so leave {fleet} out; to begin with it: "
            f"dimec simulate --example > {fleet}"
        )
    if example:
        print(example_file(), end="")
        return
    if fleet is None:
        raise ConfigError(
            "expected the TOML file of a fleet, got none; dimec simulate --example prints one"
        )
    settings = FleetSettings.load(fleet)
    folder = out or Path("runs/fleet") / fleet.stem
    with progress_bar() as progress:
        from dimec.fleet.result import simulate_into

        result = simulate_into(settings, folder, progress)
    if as_json:
        print_json({"out": str(folder), **_short(result)})
        return
    _show(result, folder)


def _short(result: dict[str, Any]) -> dict[str, Any]:
    """All but what changes over time, which fleet.json has."""
    told = {key: value for key, value in result["result"].items() if key != "hours"}
    return {**told, **{key: result[key] for key in ("sizing", "sharing", "layers")}}


def _show(result: dict[str, Any], folder: Path) -> None:
    from dimec.fleet.page import sentences
    from dimec.fleet.result import PAGE
    from dimec.report.blocks import Column

    for line in sentences(result):
        print(line)
    tiers = result["result"]["tiers"]
    show_columns(
        Column("tier", list(tiers), words=True),
        Column("askings", [f"{one['askings']:,}" for one in tiers.values()]),
        Column("wait p99, ms", [f"{one['wait_ms']['p99']:.4g}" for one in tiers.values()]),
        Column("utilisation %", [f"{100 * one['utilisation']:.3g}" for one in tiers.values()]),
        Column(
            "servers it takes",
            [f"{one['stations']} x {one['servers']}" for one in result["sizing"].values()],
        ),
    )
    print(f"page: {folder / PAGE}")
