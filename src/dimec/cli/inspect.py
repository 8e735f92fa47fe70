"""``dimec inspect``: what a bundle holds, and whether it is sound."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dimec.cli.common import AsJson, print_json

if TYPE_CHECKING:
    from dimec.bundle import TierBundle

_MB = 1e6


def inspect(
    path: Annotated[
        Path, typer.Argument(metavar="BUNDLE", help="A bundle, or the folder of one tier.")
    ],
    as_json: AsJson = False,
) -> None:
    """Check every file of a bundle against its hash, and show what each tier takes.

    Start time and memory are those of a new process that loads the tier's graphs and answers
    once; the base is the runtime without a graph.
    """
    from dimec.footprint import measure_footprint

    tiers = _tiers(path)
    rows = [{**_facts(tier), **asdict(measure_footprint(tier.path))} for tier in tiers]
    manifest = tiers[0].manifest
    costs = {name: price for name, price in manifest.costs.items() if price is not None}
    if as_json:
        print_json(
            {
                "exits": list(manifest.exits),
                "labels": list(manifest.labels),
                "costs": manifest.costs,
                "provenance": manifest.provenance,
                "tiers": rows,
            }
        )
        return
    _show(rows)
    # As JSON: a label may have a comma of its own, or what a terminal would act on.
    print(f"labels: {json.dumps(manifest.labels)}")
    print(f"costs in λ: {', '.join(f'{name} {price:g}' for name, price in costs.items())}")
    for name in ("task", "backbone", "model", "date"):
        if name in manifest.provenance:
            print(f"{name}: {manifest.provenance[name]}")
    print("every file is whole and unaltered")


def _tiers(path: Path) -> list[TierBundle]:
    from dimec.bundle import MANIFEST, TierBundle, verify_bundle
    from dimec.costs import TIER_NAMES

    if any((path / tier / MANIFEST).exists() for tier in TIER_NAMES):
        return list(verify_bundle(path)[1].values())
    return [TierBundle.open(path)]


def _facts(tier: TierBundle) -> dict[str, Any]:
    manifest = tier.manifest
    return {
        "tier": manifest.tier,
        "exit": manifest.exit,
        "precision": manifest.precision,
        "version": manifest.version,
        "disk_bytes": tier.size,
    }


def _show(rows: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table()
    heads = ("tier", "exit", "weights", "version", "disk MB", "start ms", "memory MB")
    for head in heads:
        left = head in ("tier", "weights")
        table.add_column(head, justify="left" if left else "right", no_wrap=True)
    for row in rows:
        table.add_row(
            row["tier"],
            str(row["exit"]),
            row["precision"],
            row["version"],
            f"{row['disk_bytes'] / _MB:.1f}",
            f"{1e3 * row['start_seconds']:.0f}",
            f"{row['memory_bytes'] / _MB:.0f}",
        )
    Console().print(table)
    print(f"of the memory, the runtime without a graph: {rows[0]['base_bytes'] / _MB:.0f} MB")
