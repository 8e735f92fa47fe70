"""``dimec inspect``: what a bundle or a run holds, what its tiers take, and whether it is sound."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dimec.base.errors import CorruptArtefactError, shown
from dimec.cli.common import AsJson, fetched, print_json, show_columns
from dimec.cli.streams import json_text

if TYPE_CHECKING:
    from dimec.bundle.folders import TierBundle
    from dimec.runs.inspecting import TierFacts

_MB = 1e6


def inspect(
    path: Annotated[
        Path,
        typer.Argument(metavar="BUNDLE|RUN", help="A bundle, the folder of one tier, or a run."),
    ],
    as_json: AsJson = False,
) -> None:
    """Check every file of a bundle against its hash, and show what each tier takes.

    Start time, memory and the time of an answer are those of a new process that loads the tier's
    graphs; the base is the runtime without a graph. Of a run it shows each tier's model: size,
    operations, and milliseconds where its encoder has a layer profile.
    """
    path = fetched(path)
    if (path / "training.json").is_file():
        _inspect_run(path, as_json)
    else:
        _inspect_bundle(path, as_json)


def _inspect_run(path: Path, as_json: bool) -> None:
    from dimec.cli.common import open_run
    from dimec.runs.inspecting import inspected
    from dimec.tiers.latency import RATE_TOKENS

    run = open_run(path)
    deployment, tiers = inspected(run)
    pricing = deployment.pricing
    if as_json:
        print_json(
            {
                "model": run.training()["model"],
                "fitted": run.policy_path.exists(),
                "deployment": deployment.to_json(),
                "pricing": None if pricing is None else pricing.to_json(),
                "tiers": [asdict(tier) for tier in tiers],
            }
        )
        return
    _show_run(tiers)
    print(f"an answer: one text of {RATE_TOKENS} tokens; operations of its layers alone")
    for machine in dict.fromkeys(tier.machine for tier in tiers if tier.machine):
        print(f"milliseconds: by the layer profile, {shown(machine)}")
    if pricing is not None:
        print(pricing.told())
    if not run.policy_path.exists():
        print("not fitted: the tiers of training, at the paper's prices")
    print(f"model: {shown(str(run.training()['model']))}")


def _show_run(tiers: list[TierFacts]) -> None:
    from dimec.report.blocks import Column

    show_columns(
        Column("tier", [tier.tier for tier in tiers], words=True),
        Column("model", [shown(tier.model, 60) for tier in tiers], words=True),
        Column("layers", [str(tier.layers) for tier in tiers]),
        Column("exits", [",".join(map(str, tier.exits)) for tier in tiers]),
        Column("width", [str(tier.shape.width) for tier in tiers]),
        Column("parameters, M", [f"{tier.parameters / _MB:.1f}" for tier in tiers]),
        Column("MB", [f"{tier.weight_bytes / _MB:.1f}" for tier in tiers]),
        Column("MFLOPs", [f"{tier.operations / 1e6:,.0f}" for tier in tiers]),
        Column("ms", [_or_dash(tier.milliseconds) for tier in tiers]),
        Column("λ", [f"{tier.price:.4g}" for tier in tiers]),
    )


def _or_dash(milliseconds: float | None) -> str:
    return "-" if milliseconds is None else f"{milliseconds:.1f}"


def _inspect_bundle(path: Path, as_json: bool) -> None:
    from dimec.bundle.footprint import measure_footprint

    tiers = _tiers(path)
    manifest, (policy, pricing) = tiers[0].manifest, _policy(tiers[0])
    rows = [{**_facts(tier, pricing), **asdict(measure_footprint(tier.path))} for tier in tiers]
    golden = _golden(path)
    if as_json:
        print_json(
            {
                "labels": list(manifest.labels),
                "deployment": manifest.deployment.to_json(),
                "policy": policy,
                "pricing": pricing,
                "provenance": manifest.provenance,
                "golden": golden,
                "tiers": rows,
            }
        )
        return
    _show(rows)
    inner = "; an inner width of 4 widths is assumed" if pricing is None else ""
    print(
        "an answer: one text of 128 tokens here, on one thread; operations of its layers "
        f"alone{inner}"
    )
    if "models" in manifest.provenance:
        _show_models(rows)
    # As JSON: a label may have a comma of its own, or what a terminal would act on.
    print(f"labels: {json_text(manifest.labels)}")
    prices = (f"{tier.name} {tier.price:g}" for tier in manifest.deployment.tiers)
    print(f"an answer in λ: {', '.join(prices)}")
    if pricing is not None:
        from dimec.tiers.pricing import Pricing

        print(shown(Pricing.of_json(pricing).told()))
    if policy:
        print(f"policy: {shown(policy['name'])} (kind {shown(policy['kind'])})")
        print(f"its settings: {json_text(policy['settings'])}")
        if policy["contract"] is not None:
            from dimec.contract.promise import Promise

            print(f"contract: {Promise.of_json(policy['contract']).told()}")
        if (needs := _needs(policy)) is not None:
            print(needs)
    for name in ("task", "backbone", "model", "date"):
        if name in manifest.provenance:
            print(f"{name}: {shown(str(manifest.provenance[name]))}")
    if golden is not None:
        print(f"golden vectors: {golden['inputs']} inputs")
    print("every file is whole and unaltered")


def _golden(path: Path) -> dict[str, Any] | None:
    """What there is of golden vectors; None in a tier's folder, and in an earlier version's bundle.

    Raises:
        CorruptArtefactError: they are of other tiers or labels than the bundle's.
    """
    from dimec.bundle.folders import is_whole, read_manifest
    from dimec.bundle.golden import Golden
    from dimec.bundle.manifest import GOLDEN

    if not is_whole(path) or GOLDEN not in (manifest := read_manifest(path)).files:
        return None
    golden = Golden.load(path)
    if (golden.versions, golden.labels) != (manifest.versions, manifest.labels):
        raise CorruptArtefactError(
            f"{path / GOLDEN} is of another export than {path}; make the bundle again with: "
            "dimec export"
        )
    return {"inputs": len(golden.inputs), "learns": golden.learns}


def _tiers(path: Path) -> list[TierBundle]:
    from dimec.bundle.folders import TierBundle, is_whole, verify_bundle

    if is_whole(path):
        return list(verify_bundle(path)[1].values())
    return [TierBundle.open(path)]


def _policy(tier: TierBundle) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    """Kind, name, settings and contract of the first tier's policy, and how layers are priced.

    Neither for any other tier. The policy is not made: its kind may be of a package that is not
    installed here.
    """
    if not tier.manifest.is_first:
        return None, None
    from dimec.base.storage import parse_json

    name = "policy.json"
    record = parse_json(tier.read(name), tier.path / name, "dimec export")
    if not isinstance(record, dict):
        raise CorruptArtefactError(f"{tier.path / name} holds no policy")
    told = {key: str(record.get(key, "")) for key in ("kind", "name")}
    found = record.get("fitted_on")
    fitted_on = found if isinstance(found, dict) else {}
    policy = {"settings": record.get("settings", {}), "contract": fitted_on.get("contract")}
    if "package" in record:
        from dimec.policies.kinds import package_told

        policy["package"] = dict(
            zip(("name", "version"), package_told(record["package"]), strict=True)
        )
    return {**told, **policy}, fitted_on.get("pricing")


def _needs(policy: dict[str, Any]) -> str | None:
    """The package that a policy needs, and whether it is installed; None for dimec's own."""
    from importlib.metadata import PackageNotFoundError, version

    if not (package := policy.get("package")):
        return None
    name, made_with = package["name"], package["version"]
    try:
        here = version(name)
    except (PackageNotFoundError, ValueError):
        return f"it needs the package {name} {made_with}, which is not installed here"
    at = "installed here" if here == made_with else f"of which {shown(here, 40)} is installed here"
    return f"it needs the package {name} {made_with}, {at}"


def _facts(tier: TierBundle, pricing: dict[str, Any] | None) -> dict[str, Any]:
    from dimec.tiers.latency import RATE_TOKENS, ModelShape
    from dimec.tiers.pricing import Pricing

    manifest = tier.manifest
    own = manifest.deployment.tiers[manifest.names.index(manifest.tier)]
    shapes = {} if pricing is None else Pricing.of_json(pricing).shapes
    shape = shapes.get(manifest.tier, ModelShape.of_width(manifest.width))
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
        "operations": manifest.exit * float(shape.layer_flops(RATE_TOKENS)),
        "price": own.price,
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
        Column("MFLOPs", [f"{row['operations'] / 1e6:,.0f}" for row in rows]),
        Column("answer ms", [f"{1e3 * row['answer_seconds']:.1f}" for row in rows]),
        Column("λ", [f"{row['price']:.4g}" for row in rows]),
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
