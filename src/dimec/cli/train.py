"""``dimec train``: options to settings, and the training itself."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dimec.base.errors import ConfigError, DataError
from dimec.cli.common import AsJson, print_json, print_next, progress_bar
from dimec.cli.options import Taken, takes

if TYPE_CHECKING:
    from dimec.data.survey import Survey
    from dimec.runs.run import Run
    from dimec.settings.option import Setting
    from dimec.settings.run import RunSettings

_PARTS = ("train", "validation", "test")


def _settings() -> list[Setting]:
    """Every setting that a command line may have, in the order of the help."""
    from dimec.settings.option import settings_in
    from dimec.settings.run import GROUPS, RunSettings

    settings = settings_in(*GROUPS.values(), RunSettings).values()
    return [setting for setting in settings if not setting.option.python_only]


@takes(Taken(_settings, before="grid"))
def train(
    out: Annotated[Path, typer.Option(help="The run directory: made, resumed, or reused.")],
    config: Annotated[
        Path | None,
        typer.Option(
            help="A TOML file with the settings, such as a run's config.toml; options given here "
            "override it.",
        ),
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
    track: Annotated[
        str | None,
        typer.Option(
            metavar="TRACKER",
            help="tensorboard, trackio, mlflow, or one of another package: tell it the settings, "
            "of each epoch the losses and the exits' scores, and of what is fitted and evaluated "
            "later. A resumed run goes on in the same one there.",
        ),
    ] = None,
    as_json: AsJson = False,
    **given: Any,
) -> None:
    """Train a multi-exit classifier; record its training dynamics and traces.

    The run can be killed at any moment: the same command goes on after the last finished epoch.
    A finished run with the same settings is taken as it is.

    Examples:

        dimec train --task vader/movies --exits 2,3,6 --out runs/movies

        dimec train --train train.csv --validation dev.csv --test test.csv --out runs/mine

        dimec train --task csv:reviews.csv --backbone bert-base-uncased --exits 4,6,12
        --out runs/mine

        dimec train --task csv:reviews.csv --tier phone=minilm-l6:2 --tier edge=minilm-l6
        --tier cloud=mpnet-base --out runs/own

        dimec train --task vader/movies --out runs/movies --track tensorboard

        accelerate launch --num_processes 2 -m dimec train --task glue/sst2 --out runs/sst2
        (two GPUs; on processors: torchrun --nproc_per_node 2 -m dimec train …)
    """
    seed = given.pop("seed")
    run, survey = train_from(given, seed, config, out, grid, overwrite, track)
    if _rank() > 0:
        return
    record = run.training()
    if as_json:
        print_json({"run": str(run.path), **record, "survey": asdict(survey)})
        return
    if "own" in record:
        _print_own(run.path, record["own"])
    else:
        best = record["history"][record["best_epoch"]]
        print(f"trained {run.path}: best {_best_epochs(record)}")
        for layer, value in zip(record["exits"], best["accuracy"], strict=True):
            print(f"  exit {layer}: validation accuracy {100 * value:.1f} %")
    print_next("fit", run.path)


def _print_own(path: Path, tiers: Mapping[str, Any]) -> None:
    """What became of each tier's model."""
    print(f"trained {path}: {len(tiers)} tiers with a model each")
    for name, one in tiers.items():
        place = one["best_epoch"] + 1
        how = f"best epoch {place} of {one['epochs']}" if one["epochs"] else "taken as it is"
        told = ", ".join(
            f"exit {layer} {100 * value:.1f} %"
            for layer, value in zip(one["exits"], one["accuracy"], strict=True)
        )
        print(f"  {name}: {one['layers']} layers of {one['backbone']}, {how}; {told}")
        if "labelled_only" in one:
            gain = 100 * (one["accuracy"][-1] - one["labelled_only"][-1])
            texts = f"{one['unlabelled']:,} texts without labels"
            print(f"    {gain:+.1f} points by {texts}, at its last exit")


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
    track: str | None = None,
) -> tuple[Run, Survey]:
    """The trained run, and what there is to say of its rows."""
    from dimec.base.progress import NoProgress
    from dimec.data.backbones import with_own_tiers
    from dimec.runs.intake import check_claim, take_in
    from dimec.runs.run import Run
    from dimec.runs.trackers import check_tracker
    from dimec.runs.train import settings_of
    from dimec.runs.workspace import RunDirectory

    if config is not None:
        given, seed = _over_config(config, given, seed)
    elif given["task"] is None and not any(given[split] for split in _PARTS):
        raise ConfigError("say what to train on: --task vader/movies, or csv:FILE, or --config")
    check_tracker(track)
    settings = with_own_tiers(settings_of(given, 0 if seed is None else seed))
    with progress_bar() as progress:
        # Under accelerate launch the first process speaks for all.
        speaks = _rank() == 0
        intake = take_in(settings, progress if speaks else NoProgress(), lengths=speaks)
        settings = settings.model_copy(update={"data": intake.data})
        if not (grid or overwrite):
            check_claim(RunDirectory(out), settings, intake.fingerprint)
        _check_unlabelled(settings, out)
        if speaks:
            progress.say("loading torch")
        from dimec.training import train_grid, train_run

        start: Callable[..., Any] = train_grid if grid else train_run
        run = start(
            settings, out, overwrite=overwrite, progress=progress, intake=intake, track=track
        )
        return Run(run.path), intake.survey


def _check_unlabelled(settings: RunSettings, out: Path) -> None:
    """Tell before torch is loaded that there are no texts; a finished run needs them no more."""
    from dimec.runs.workspace import RunDirectory

    path = settings.distillation.unlabelled
    if (
        path is not None
        and not Path(path).exists()
        and not RunDirectory(out).training_path.exists()
    ):
        raise DataError(f"{path} does not exist; check the path that --unlabelled gives")


def _rank() -> int:
    """This process's number under a launcher."""
    return int(os.environ.get("RANK", "0"))


def _over_config(
    config: Path, given: dict[str, Any], seed: int | None
) -> tuple[dict[str, Any], int]:
    """The settings of a TOML file with the options that were given laid over them."""
    from dimec.base.storage import expanded
    from dimec.settings.data import keeps_splits
    from dimec.settings.run import GROUPS, RunSettings

    settings = RunSettings.load(expanded(config))
    flat: dict[str, Any] = {}
    for group in GROUPS:
        flat |= getattr(settings, group).model_dump()
    if given["task"] is not None:
        flat |= dict.fromkeys(_PARTS)
    elif any(given[split] is not None for split in _PARTS):
        flat["task"] = flat["split_column"] = None
    told = given["task"] is not None and any(map(keeps_splits, (given["task"], flat["task"])))
    if given["split_column"] is not None or flat["task"] is None or told:
        del flat["predefined_splits"]  # what is typed is more than what the file says of it
    flat["tier"] = [tier.model_dump() for tier in settings.tier] or None
    if given.get("tier") or flat["tier"] is None:
        flat["tier"] = given.get("tier")
    flat |= {key: value for key, value in given.items() if value is not None}
    return flat, settings.seed if seed is None else seed
