"""``dimec traces``: the collection of recorded traces that comes with a checkout."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dimec.cli.command import Command
from dimec.cli.common import AsJson, print_json, print_next, show_columns

if TYPE_CHECKING:
    from dimec.traces.collection import Entry

traces_app = typer.Typer(
    help="What models said of known tasks, recorded: policies are fitted and compared on it "
    "without any training. The collection comes with a checkout; DIMEC_TRACES names another "
    "folder, or an address.",
    no_args_is_help=True,
)
Name = Annotated[
    str,
    typer.Argument(
        metavar="NAME",
        help="As dimec traces list tells it, or a folder that dimec trace import made.",
    ),
]


@traces_app.command("list", cls=Command)
def list_(as_json: AsJson = False) -> None:
    """List the traces of the collection: TASK/MODEL-RECIPE/SEED, and how right each tier is.

    Example:

        dimec traces list
    """
    from dimec.report.blocks import Column
    from dimec.traces.collection import Collection

    collection = Collection.open()
    entries = [collection.entry(name) for name in collection.names()]
    if as_json:
        print_json([{"name": entry.name, **told(entry)} for entry in entries])
        return
    show_columns(
        Column("name", [entry.name for entry in entries], words=True),
        Column("rows", [f"{entry.card.rows['test']:,}" for entry in entries]),
        Column("tiers, test %", [" / ".join(_shares(entry)) for entry in entries]),
        title=f"{len(entries)} recorded trainings at {collection.source.told}",
    )
    print_next("evaluate", "--trace", entries[0].name if entries else "NAME", "--systems", "all")


@traces_app.command(cls=Command)
def show(name: Name, as_json: AsJson = False) -> None:
    """Show the card of one training: what made its traces, of what rows, and how right it is.

    Both traces are read and checked against it.

    Example:

        dimec traces show sst2/minilm-own/0
    """
    from dimec.traces.card import SPLITS
    from dimec.traces.collection import find

    entry = find(name)
    card = entry.card
    for split in SPLITS:
        entry.trace(split)
    if as_json:
        print_json({"name": entry.name, **card.model_dump(mode="json")})
        return
    print(f"{entry.name}: {card.task}, {card.source}")
    rows = ", ".join(f"{count:,} {split}" for split, count in card.rows.items())
    backbone = card.backbone
    if not isinstance(backbone, str):
        backbone = ", ".join(f"{tier} {model}" for tier, model in backbone.items())
    print(f"rows: {rows}")
    print(f"model: {backbone}; recipe {card.recipe}, seed {card.seed}, of {card.date}")
    for tier, share in zip(card.tiers, _shares(entry), strict=True):
        print(f"  {tier.name}: layer {tier.layer}, right on {share} % of the test rows")
    shares = (f"{exit_} {100 * share:.1f} %" for exit_, share in card.test_accuracy.items())
    print(f"  exits: {', '.join(shares)}")
    print(f"licence of the texts, which are not in it: {card.licence}")
    print("both traces are whole, by their digests")


@traces_app.command(cls=Command)
def get(
    name: Name,
    out: Annotated[Path, typer.Option(metavar="FILE", help="Where to write the trace.")],
    split: Annotated[str, typer.Option(help="test or validation.")] = "test",
    as_json: AsJson = False,
) -> None:
    """Write a trace of the collection as a run has it: one file that dimec.Trace.load reads.

    Example:

        dimec traces get sst2/minilm-own/0 --out sst2-test.safetensors
    """
    from dimec.traces.collection import find

    trace = find(name).trace(split)
    trace.save(out)
    if as_json:
        print_json({"trace": str(out), "samples": len(trace), "exits": list(trace.exits)})
        return
    print(f"{out}: {len(trace):,} samples of {trace.task}, {len(trace.exits)} exits")


def told(entry: Entry) -> dict[str, Any]:
    """What a list says of traces, as JSON values."""
    card = entry.card
    keys = ("task", "backbone", "recipe", "seed", "rows", "test_accuracy", "date")
    tiers = {tier.name: tier.layer for tier in card.tiers}
    return {**{key: getattr(card, key) for key in keys}, "tiers": tiers}


def _shares(entry: Entry) -> list[str]:
    """Of each tier the share of right answers on the test split, in percent."""
    from dimec.traces.card import exit_name

    shares = entry.card.test_accuracy
    exits = [exit_name(tier.layer, tier.source) for tier in entry.card.tiers]
    return [f"{100 * shares[name]:.1f}" for name in exits]
