"""Train a run from Python."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dimec.base.errors import ConfigError, option
from dimec.base.progress import NoProgress, Progress
from dimec.runs.run import Run
from dimec.runs.trackers import Told, check_tracker, trackers_of
from dimec.runs.workspace import RunDirectory

if TYPE_CHECKING:
    from dimec.settings.run import RunSettings


def train(
    *,
    out: Path | str,
    task: Any = None,
    backbone: str = "minilm-l6",
    exits: Sequence[int] | str | None = None,
    overwrite: bool = False,
    track: str | None = None,
    progress: Progress | None = None,
    seed: int = 0,
    **options: Any,
) -> Run:
    """Train a multi-exit classifier and record its dynamics and traces.

    Args:
        out: the run directory; an interrupted run goes on, a finished one is taken as it is.
        task: ``glue/NAME``, ``vader/NAME``, a file (``csv:PATH``; tsv, jsonl, json, parquet alike),
            or files for each split: ``{"train": "a.csv", "test": "b.csv"}``, which the options
            ``train``, ``validation`` and ``test`` name as well. Or a table in memory, or a mapping
            of splits to tables (:func:`dimec.load_task`): the run directory keeps its rows.
        backbone: a folder, a hub name, or a packaged encoder: ``minilm-l6``, ``mpnet-base``.
        exits: layers with a classifier, or ``"all"``; by default a third, a half and all layers.
        overwrite: discard what ``out`` holds.
        track: ``"tensorboard"``, ``"trackio"``, ``"mlflow"`` or a tracker of another package, which
            is told of each epoch; :func:`track` tells it of what comes after.
        progress: where to report to, for example :class:`dimec.base.progress.RichProgress`.
        seed: of the split, the initialisation and the order.
        options: any other setting of ``DataSettings``, ``ModelSettings``, ``TrainingSettings`` or
            ``DistillationSettings`` in :mod:`dimec.settings`; and ``tier``, in place of backbone
            and exits: for each tier a mapping of ``name``, ``model`` and ``layer``.

    Raises:
        DimecError: see :func:`dimec.training.train_run`.
    """
    check_tracker(track)
    values: dict[str, Any] = {"exits": exits, **options}
    if not options.get("tier"):
        values["backbone"] = backbone
    intake = None
    if isinstance(task, Mapping) and all(isinstance(part, str | Path) for part in task.values()):
        values |= {str(split): str(file) for split, file in task.items()}
    elif task is None or isinstance(task, str | Path):
        values["task"] = None if task is None else str(task)
    else:
        from dimec.runs.intake import take_in_table

        progress = progress or NoProgress()
        settings, intake = take_in_table(
            task, values, seed, RunDirectory(out), progress, settings_of
        )
    if intake is None:
        settings = settings_of(values, seed)
    from dimec.data.backbones import with_own_tiers
    from dimec.training import train_run

    settings = with_own_tiers(settings)

    run = train_run(
        settings, out, overwrite=overwrite, progress=progress, intake=intake, track=track
    )
    return Run(run.path)


def track(run: RunDirectory, to: str | None = None) -> dict[str, Told]:
    """Tell trackers of a trained run what they do not know of it: what was fitted, the ledger.

    ``dimec fit`` and ``dimec evaluate`` do so for a run that was trained with ``--track``.

    Args:
        run: trained; fitted and evaluated, or not yet.
        to: the tracker; by default each that was told of the run's training.

    Returns:
        What each tracker knows of it now.

    Raises:
        DimecError: see :func:`dimec.training.told_later.tell_run`.
    """
    kinds = trackers_of(run) if to is None else (to,)
    for kind in kinds:
        check_tracker(kind)
    run.training()  # a run that is not trained is refused before torch is loaded
    run.require_model()
    if not kinds:
        raise ConfigError(
            f"no tracker was told of the training of {run.path}; name one with {option('to')}, "
            f"such as {option('to', 'tensorboard')}"
        )
    from dimec.training.told_later import tell_run

    return {kind: tell_run(run, kind) for kind in kinds}


def settings_of(values: dict[str, Any], seed: int) -> RunSettings:
    """Settings from flat names; None leaves a setting at its default.

    Raises:
        ConfigError: an unknown name, a value that is out of range, or one that does nothing.
    """
    from dimec.settings.distillation import refuse_idle
    from dimec.settings.run import GROUPS, RunSettings

    nested: dict[str, Any] = {name: {} for name in GROUPS}
    for key, value in values.items():
        if key == "tier":
            nested |= {"tiers": value or ()}
            continue
        homes = [name for name, group in GROUPS.items() if key in group.model_fields]
        if not homes:
            raise ConfigError(f"unknown setting {key!r}")
        if value is not None:
            nested[homes[0]][key] = value
    settings = RunSettings.of({**nested, "seed": seed})
    refuse_idle(settings.distillation, settings.training.recipe)
    return settings
