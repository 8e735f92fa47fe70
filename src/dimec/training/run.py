"""Train a run: one model with exits, or a model for each tier."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from dimec.base.progress import Progress
from dimec.runs.intake import Intake
from dimec.runs.workspace import RunDirectory
from dimec.settings.run import RunSettings
from dimec.training.cross_fit import train_cross_fitted
from dimec.training.loop import train_one
from dimec.training.own import train_own
from dimec.training.tracking import tracking_to


def train_run(
    settings: RunSettings,
    out: Path | str,
    *,
    overwrite: bool = False,
    progress: Progress | None = None,
    intake: Intake | None = None,
    track: str | None = None,
) -> RunDirectory:
    """Train a run, or go on with an interrupted one, or take a finished one as it is.

    Under ``accelerate launch`` with several processes, all of them call this; the batches are of
    the size asked for in all, and the first process does the writing.

    With ``cross_fit`` a model for each part of the training rows follows, trained without it; see
    :mod:`dimec.training.cross_fit`.

    Args:
        settings: of the run.
        out: the run directory.
        overwrite: discard the run that ``out`` holds, if its settings or data differ or not.
        progress: where to report to.
        intake: the rows, where they have been read; see :func:`dimec.runs.intake.take_in`.
        track: ``"tensorboard"``, ``"trackio"``, ``"mlflow"`` or a tracker of another package, which
            is told of each epoch; see :mod:`dimec.training.tracking`.

    Raises:
        ConfigError: settings that do not fit the encoder, or another run in ``out``.
        DataError: the data cannot be read or split.
        DivergedError: the loss is no longer a number.
        RunBusyError: another process works in ``out``.
        StorageError: the disk is full; finished epochs are kept.
        MissingExtraError: the tracker's package is not installed.
    """
    train: Callable[..., RunDirectory] = (
        train_own if settings.training.recipe == "own" else train_one
    )
    if settings.distillation.cross_fit:
        train = partial(train_cross_fitted, train)
    with tracking_to(track, out):
        return train(settings, out, overwrite=overwrite, progress=progress, intake=intake)
