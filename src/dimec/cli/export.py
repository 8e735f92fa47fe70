"""``dimec export``: a fitted run to the folders that the tiers run from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dimec.base.errors import ConfigError, quoted
from dimec.cli.common import (
    AsJson,
    RunPath,
    open_run,
    print_json,
    print_next,
    progress_bar,
    show_columns,
)

if TYPE_CHECKING:
    from dimec.training.export.bundles import ExportReport, TierReport
    from dimec.training.export.phone.writing import PhoneReport
    from dimec.training.export.verdict import Parity
    from dimec.web.site import SiteReport

_MB = 1e6


def export(
    path: RunPath,
    out: Annotated[Path, typer.Argument(metavar="BUNDLE", help="The folder to write.")],
    int8: Annotated[
        str | None,
        typer.Option(
            help="Tiers with 8-bit weights by name, such as mobile or mobile,edge; or all. The "
            "others get fp32."
        ),
    ] = None,
    looks: Annotated[
        str | None,
        typer.Option(
            help="Exits before the first tier's own at which a policy may stop, such as 1,2, or "
            "none; all by default. The first tier's layers are cut there."
        ),
    ] = None,
    triton: Annotated[
        Path | None,
        typer.Option(help="Write a Triton model repository of all tiers but the first here too."),
    ] = None,
    triton_backend: Annotated[
        str,
        typer.Option(help="onnxruntime, or python for builds of Triton without that backend."),
    ] = "onnxruntime",
    triton_instances: Annotated[
        int, typer.Option(help="Copies of each model that Triton runs side by side.")
    ] = 1,
    web: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Write a site here too, for any web server: in a browser it is the first tier.",
        ),
    ] = None,
    web_tier: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=URL",
            help="Where the site's page reaches a tier; repeatable. The page asks for the others. "
            "The tier's server has to let it: dimec serve --cors-origin.",
        ),
    ] = None,
    executorch: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Write the first tier for a phone's own app here too: programs for ExecuTorch "
            "(XNNPACK, fp32), tokenizer, policy, and golden vectors to test a reader with.",
        ),
    ] = None,
    force: Annotated[
        bool,
        typer.Option(
            "--force",
            help="Take an int8 tier also where it differs from the model on more than 1 % of "
            "the rows, or where the rows are too few to show 98 %.",
        ),
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the bundle that is there.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Export a fitted run to a bundle: a folder a tier, such as mobile/, edge/ and cloud/.

    Each has all that it needs. The graphs are run on real validation text and have to answer as the
    trained model does. The bundle appears all at once, at the end; one of the same run that is
    there already is taken as it is.

    Examples:

        dimec export runs/mine bundles/mine

        dimec export runs/mine bundles/small --int8 all --triton bundles/triton

        dimec export runs/mine bundles/mine --web site --web-tier cloud=https://cloud.example

        dimec export runs/mine bundles/mine --executorch phone
    """
    run = open_run(path)
    addresses = _addresses(web_tier or ())
    if web is not None:
        _check_site(web, out, addresses, run.deployment().names[1:])
    named = run.deployment().names if int8 == "all" else filter(None, (int8 or "").split(","))
    with progress_bar() as progress:
        report = run.export(
            out,
            int8=tuple(named),
            looks=_layers(looks),
            triton=triton,
            triton_backend=triton_backend,  # type: ignore[arg-type]  # checked where it is used
            triton_instances=triton_instances,
            executorch=executorch,
            force=force,
            overwrite=overwrite,
            progress=progress,
        )
    site = None if web is None else _write_site(out, web, addresses)
    if as_json:
        print_json(report.to_dict() | ({} if site is None else {"web": str(site.path)}))
        return
    _show(report)
    print(f"exported {path} to {out}")
    if report.triton:
        print(f"Triton repository: {report.triton}")
    if report.phone is not None:
        print(_phone_line(report.phone))
    if site is not None:
        print(f"site: {site.path}, {site.files} files of {site.bytes / _MB:.1f} MB")
    print_next("up", out)


def _addresses(typed: Sequence[str]) -> dict[str, str]:
    """Tier → address, of ``--web-tier``.

    Raises:
        ConfigError: no ``NAME=URL``, or one tier twice.
    """
    found: dict[str, str] = {}
    for word in typed:
        name, sign, url = word.partition("=")
        if not (name and sign and url):
            raise ConfigError(
                f"--web-tier: expected NAME=URL such as cloud=https://cloud.example, got "
                f"{quoted(word, 80)}"
            )
        if name in found:
            raise ConfigError(f"--web-tier: the tier {quoted(name, 40)} was given twice; give one")
        found[name] = url
    return found


def _check_site(
    web: Path, bundle: Path, addresses: Mapping[str, str], served: Sequence[str]
) -> None:
    """Refuse what cannot become a site, before minutes are spent on the bundle."""
    from dimec.web.assets import assets
    from dimec.web.site import check_site, check_tiers

    if web.absolute() == bundle.absolute() or bundle.absolute() in web.absolute().parents:
        raise ConfigError(f"--web {web} lies in the bundle's folder; name a folder of its own")
    check_site(web)
    check_tiers(addresses, served)
    assets()


def _write_site(bundle: Path, web: Path, addresses: Mapping[str, str]) -> SiteReport:
    from dimec.web.site import write_site

    return write_site(bundle, web, addresses)


def _phone_line(phone: PhoneReport) -> str:
    said = f"phone: {phone.app}, {len(phone.programs)} programs, {phone.bytes / _MB:.1f} MB"
    return f"{said}, max Δp {phone.parity.difference:.1e} on {phone.parity.rows:,} texts"


def _layers(typed: str | None) -> tuple[int, ...] | None:
    """The layers of ``--looks``.

    Raises:
        ConfigError: not "none", and no whole numbers either.
    """
    if typed is None or typed == "none":
        return None if typed is None else ()
    parts = typed.split(",")
    if not all(part.strip().isascii() and part.strip().isdigit() for part in parts):
        raise ConfigError(f"--looks: expected layers such as 1,2, or none, got {quoted(typed, 60)}")
    return tuple(int(part) for part in parts)


def _show(report: ExportReport) -> None:
    from dimec.report.blocks import Column

    heads = ("tier", "exit", "weights", "disk MB", "max Δp", "labels", "routes", "start ms")
    cells = zip(*map(_row, report.tiers), strict=True)  # 80 columns have room for them
    show_columns(
        *(
            Column(head, told, words=head in ("tier", "weights"))
            for head, told in zip((*heads, "RAM MB"), cells, strict=True)
        )
    )
    base, parity = report.tiers[0].footprint.base_bytes, report.tiers[0].parity
    print(
        "max Δp, labels, routes: beside the trained model's on "
        f"{parity.rows - parity.made_up:,} rows of the run and {parity.made_up} made-up texts"
    )
    for tier in report.tiers:
        if len(tier.segments) > 1:
            for each in tier.parity.exits:
                print(
                    f"{tier.tier}, exit {each.exit}: max Δp {each.difference:.1e}, "
                    f"labels {100 * each.agreement:.1f} %"
                )
        if tier.precision == "int8":
            print(f"{tier.tier} in int8: {_shown(tier.parity)}")
    print(f"start, RAM: of a new process; {base / _MB:.0f} MB are the runtime without a graph")


def _shown(parity: Parity) -> str:
    """What the agreement on these rows says of the texts to come."""
    from dimec.training.export.verdict import lower_bound

    share = min(parity.agreement, 1.0 if parity.routes is None else parity.routes)
    low = 100 * lower_bound(share, parity.rows)
    return f"{parity.rows:,} rows show an agreement of at least {low:.1f} % (95 % confidence)"


def _row(tier: TierReport) -> list[str]:
    parity, footprint = tier.parity, tier.footprint
    return [
        tier.tier,
        str(tier.exit),
        tier.precision,
        f"{tier.disk_bytes / _MB:.1f}",
        f"{parity.difference:.1e}",
        f"{100 * parity.agreement:.1f} %",
        "" if parity.routes is None else f"{100 * parity.routes:.1f} %",
        f"{1e3 * footprint.start_seconds:.0f}",
        f"{footprint.memory_bytes / _MB:.0f}",
    ]
