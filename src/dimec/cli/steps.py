"""``dimec fit`` and ``dimec report``: the first and the last step after training."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dimec.base.errors import ConfigError
from dimec.cli.common import (
    CONTRACT,
    AsJson,
    Bound,
    RunOrNone,
    RunPath,
    TraceName,
    costs_of,
    open_run,
    open_run_or_trace,
    print_json,
    print_next,
    progress_bar,
    show_ledger,
)
from dimec.cli.track import tell_trackers
from dimec.settings.lists import numbers_of, pairs_of, prices_of, tiers_of

if TYPE_CHECKING:
    from dimec.runs.run import Run


def fit(
    path: RunOrNone = None,
    trace: TraceName = None,
    policy: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="dimec, the paper's router, or another system that can be served{policies}. Each "
            "is fitted on the validation split, and evaluate, report and export take it up. "
            "Default: dimec; under a contract, whichever keeps it at the least cost.",
        ),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="A setting of that system which is not to be chosen, such as threshold=0.9. May "
            "be repeated.",
        ),
    ] = None,
    lam: Annotated[
        float | None,
        typer.Option(
            "--lambda",
            help="λ, the weight of one unit of cost against confidence; default 0.02, useful "
            "0.005 to 0.03. Larger is cheaper.",
        ),
    ] = None,
    target_drop: Annotated[
        float | None,
        typer.Option(
            help="In place of --lambda: the cheapest router that loses at most so many points of "
            "accuracy on the validation split (no promise for other data).",
        ),
    ] = None,
    max_accuracy_drop: Annotated[
        float | None,
        typer.Option(
            metavar="POINTS",
            help="The cheapest policy that is shown to lose at most so many points of accuracy "
            "against the last tier, such as 0.5; exit code 3 where none is.",
            rich_help_panel=CONTRACT,
        ),
    ] = None,
    max_disagreement: Annotated[
        float | None,
        typer.Option(
            metavar="POINTS",
            help="In its place: that answers otherwise than the last tier on at most so many "
            "percent of texts. Needs no labels.",
            rich_help_panel=CONTRACT,
        ),
    ] = None,
    max_cost: Annotated[
        float | None,
        typer.Option(
            metavar="COST",
            help="In its place: the policy that loses least of those shown to cost at most so "
            "much on average, in λ.",
            rich_help_panel=CONTRACT,
        ),
    ] = None,
    confidence: Annotated[
        float | None,
        typer.Option(
            help="With which it is promised, 0.5 to 0.9999; default 0.95.",
            rich_help_panel=CONTRACT,
        ),
    ] = None,
    bound: Bound = None,
    calibration_share: Annotated[
        float | None,
        typer.Option(
            metavar="SHARE",
            help="Of the validation split, which tests and fits nothing; default 0.5, or none of "
            "it where --calibration-text is given.",
            rich_help_panel=CONTRACT,
        ),
    ] = None,
    calibration_text: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Texts to calibrate on: a table with the columns of training (id and label may "
            "be among them), or a text a line.",
            rich_help_panel=CONTRACT,
        ),
    ] = None,
    calibration_labels: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Labels for them, a table with id and label: those that dimec contract rows "
            "asks for.",
            rich_help_panel=CONTRACT,
        ),
    ] = None,
    grid: Annotated[
        str,
        typer.Option(
            help="quantile: β from the data's own variances. paper: the paper's values, which "
            "often leave the medium pool empty.",
        ),
    ] = "quantile",
    alphas: Annotated[
        str | None, typer.Option(help="Values of α, 0 to 1, such as 0.6,0.7.")
    ] = None,
    betas: Annotated[str | None, typer.Option(help="Values of β, at least 0.")] = None,
    tiers: Annotated[
        str | None,
        typer.Option(
            help="Exits of mobile,edge,cloud, among the trained ones, such as 2,3,6; 2,6 for "
            "mobile and cloud; or any with names, nearest first, phone=1,gateway=2,box=3,dc=6. "
            "Where tiers have a model each, their names with an exit of each."
        ),
    ] = None,
    mobile_layer: Annotated[float | None, typer.Option(help="λ_m; default 1.5.")] = None,
    edge_layer: Annotated[float | None, typer.Option(help="λ_e; default 1.")] = None,
    offload_edge: Annotated[float | None, typer.Option(help="o_e; default 2.5.")] = None,
    offload_cloud: Annotated[float | None, typer.Option(help="o_c; default 3.")] = None,
    cloud_charge: Annotated[
        float | None,
        typer.Option(help="γ; default λ_m·l - o_c, which is dimec's choice and not the paper's."),
    ] = None,
    tier_prices: Annotated[
        list[str] | None,
        typer.Option(
            "--tier-price",
            metavar="NAME=LAYER,SEND,VISIT",
            help="Prices of one tier in place of those above, such as box=1,2.5,0: of a layer, of "
            "sending, of a visit. May be repeated.",
        ),
    ] = None,
    price_by: Annotated[
        str,
        typer.Option(
            help="operations: where tiers have a model each, a layer costs by its operations "
            "against the last tier's. layers: a layer is a layer. Where widths are "
            "equal, both are the same.",
        ),
    ] = "operations",
    as_json: AsJson = False,
) -> None:
    """Choose the thresholds α and β, build the pools, and fit the router; or fit another system.

    All on the validation split: the test split is not looked at. Under a contract it is the
    cheapest policy that is shown to keep it, on rows that fitted nothing; where none is, the exit
    code is 3, and how near one came is told.

    Examples:

        dimec fit runs/mine --lambda 0.01

        dimec fit runs/mine --policy cascade --lambda 0.01

        dimec fit runs/mine --policy max-softmax-tiers --set threshold=0.9

        dimec fit runs/mine --max-accuracy-drop 0.5 --confidence 0.95

        dimec fit --trace sst2/minilm-own/0 --policy cascade
    """
    from dimec.tiers.pricing import check_price_by

    if target_drop is not None and not 0 <= target_drop < 100:
        raise ConfigError(
            f"--target-drop: expected points of accuracy from 0 to below 100, got {target_drop:g}"
        )
    of_tiers: dict[str, Any] = {
        "tiers": tiers_of("--tiers", tiers),
        "cost_model": costs_of(mobile_layer, edge_layer, offload_edge, offload_cloud, cloud_charge),
        "tier_prices": prices_of("--tier-price", tier_prices or ()),
        "price_by": check_price_by(price_by),
    }
    of_policy: dict[str, Any] = {  # checked where it is used
        "settings": pairs_of("--set", settings or ()),
        "lam": lam,
        "target_drop": None if target_drop is None else target_drop / 100,
        "grid": grid,
        "alphas": _each_once("--alphas", numbers_of("--alphas", alphas)),
        "betas": _each_once("--betas", numbers_of("--betas", betas)),
    }
    contract: dict[str, Any] = {
        "max_accuracy_drop": max_accuracy_drop,
        "max_disagreement": max_disagreement,
        "max_cost": max_cost,
        "confidence": confidence,
        "bound": bound,
        "calibration_share": calibration_share,
        "calibration_text": calibration_text,
        "calibration_labels": calibration_labels,
    }
    run = open_run_or_trace(path, trace)
    if any(value is not None for value in contract.values()):
        result: Any = _fit_contract(run, {"policy": policy, **contract, **of_tiers})
    else:
        result = run.fit(policy=policy or "dimec", **of_policy, **of_tiers)
    tell_trackers(run)
    if as_json:
        print_json(asdict(result))
        return
    from dimec.runs.fitting import FitResult, describe_fit
    from dimec.runs.system_fit import describe_system

    lines = describe_fit(result) if isinstance(result, FitResult) else describe_system(result)
    print("\n".join(lines))
    print_next("evaluate", run.path)


def _fit_contract(run: Run, options: dict[str, Any]) -> Any:
    """Fit under a contract; what is not given has the defaults of the program."""
    given = {name: value for name, value in options.items() if value is not None}
    with progress_bar() as progress:
        return run.fit_contract(**given, progress=progress)


def report(
    path: RunPath,
    seed: Annotated[int, typer.Option(help="Of the t-SNE.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Draw the figures and write one self-contained HTML page."""
    from dimec.evaluation.ledger import Ledger

    with progress_bar() as progress:
        run = open_run(path)
        page = run.report(seed=seed, progress=progress)
    if as_json:
        figures = sorted(str(file) for file in page.parent.glob("*.svg"))
        print_json({"report": str(page), "figures": figures})
        return
    show_ledger(Ledger.load(run.report_path))
    print(f"report: {page}")


def _each_once(option: str, values: tuple[float, ...] | None) -> tuple[float, ...] | None:
    for place, value in enumerate(values or ()):
        if value in (values or ())[:place]:
            raise ConfigError(f"{option}: {value:g} is there twice; give each value once")
    return values
