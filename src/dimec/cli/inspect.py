"""``dimec inspect``: what a bundle holds, and whether it is sound."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dimec.base.errors import CorruptArtefactError, shown
from dimec.cli.common import AsJson, print_json, show_columns
from dimec.cli.streams import json_text

if TYPE_CHECKING:
    from dimec.bundle.folders import TierBundle

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
    from dimec.bundle.footprint import measure_footprint

    tiers = _tiers(path)
    rows = [{**_facts(tier), **asdict(measure_footprint(tier.path))} for tier in tiers]
    manifest, policy = tiers[0].manifest, _policy(tiers[0])
    if as_json:
        print_json(
            {
                "labels": list(manifest.labels),
                "deployment": manifest.deployment.to_json(),
                "policy": policy,
                "provenance": manifest.provenance,
                "tiers": rows,
            }
        )
        return
    _show(rows)
    if "models" in manifest.provenance:
        _show_models(rows)
    # As JSON: a label may have a comma of its own, or what a terminal would act on.
    print(f"labels: {json_text(manifest.labels)}")
    prices = (f"{tier.name} {tier.price:g}" for tier in manifest.deployment.tiers)
    print(f"an answer in λ: {', '.join(prices)}")
    if policy:
        print(f"policy: {shown(policy['name'])} (kind {shown(policy['kind'])})")
        print(f"its settings: {json_text(policy['settings'])}")
        if policy["contract"] is not None:
            from dimec.contract.promise import Promise

            print(f"contract: {Promise.of_json(policy['contract']).told()}")
    for name in ("task", "backbone", "model", "date"):
        if name in manifest.provenance:
            print(f"{name}: {shown(str(manifest.provenance[name]))}")
    print("every file is whole and unaltered")


def _tiers(path: Path) -> list[TierBundle]:
    from dimec.bundle.folders import TierBundle, is_whole, verify_bundle

    if is_whole(path):
        return list(verify_bundle(path)[1].values())
    return [TierBundle.open(path)]


def _policy(tier: TierBundle) -> dict[str, Any] | None:
    """Kind, name, settings and contract of the first tier's policy; None for any other tier.

    It is not made: its kind may be of a package that is not installed here.
    """
    if not tier.manifest.is_first:
        return None
    from dimec.base.storage import parse_json

    name = "policy.json"
    record = parse_json(tier.read(name), tier.path / name, "dimec export")
    if not isinstance(record, dict):
        raise CorruptArtefactError(f"{tier.path / name} holds no policy")
    told = {key: str(record.get(key, "")) for key in ("kind", "name")}
    fitted_on = record.get("fitted_on")
    contract = fitted_on.get("contract") if isinstance(fitted_on, dict) else None
    return {**told, "settings": record.get("settings", {}), "contract": contract}


def _facts(tier: TierBundle) -> dict[str, Any]:
    manifest = tier.manifest
    return {
        "tier": manifest.tier,
        "exit": manifest.exit,
        "segments": list(manifest.segments),
        "precision": manifest.precision,
        "takes": manifest.takes,
        "model": manifest.model_of(manifest.tier),
        "backbone": manifest.backbone_of(manifest.tier),
        "version": manifest.version,
        "disk_bytes": tier.size,
    }


def _show(rows: list[dict[str, Any]]) -> None:
    from dimec.report.blocks import Column

    show_columns(
        Column("tier", [row["tier"] for row in rows], words=True),
        # A tier in segments can stop at each of these, and the last is its exit.
        Column("exit", [",".join(map(str, row["segments"] or [row["exit"]])) for row in rows]),
        Column("weights", [row["precision"] for row in rows]),
        Column("version", [row["version"] for row in rows]),
        Column("disk MB", [f"{row['disk_bytes'] / _MB:.1f}" for row in rows]),
        Column("start ms", [f"{1e3 * row['start_seconds']:.0f}" for row in rows]),
        Column("memory MB", [f"{row['memory_bytes'] / _MB:.0f}" for row in rows]),
    )
    print(f"of the memory, the runtime without a graph: {rows[0]['base_bytes'] / _MB:.0f} MB")


def _show_models(rows: list[dict[str, Any]]) -> None:
    """Of tiers with a model each: whose it is, and what the tier is sent."""
    from dimec.report.blocks import Column

    print()
    show_columns(
        Column("tier", [row["tier"] for row in rows], words=True),
        Column("takes", [row["takes"] for row in rows], words=True),
        Column("layers", [str(row["exit"]) for row in rows]),
        Column("model", [_short(row["backbone"]) for row in rows], words=True),
    )
    print()


def _short(backbone: object) -> str:
    """The end of an encoder's name or folder."""
    return shown(str(backbone or "-").rstrip("/").rsplit("/", 1)[-1], 40)
