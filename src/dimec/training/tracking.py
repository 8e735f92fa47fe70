"""What a training tells an experiment tracker, through accelerate: settings, losses, scores.

A tracker is told of an epoch once its checkpoint stands, and ``tracking/KIND.json`` in the run
directory says up to which epoch it was: a resumed training goes on in the same run of the tracker,
and tells it first what a kill kept from it. Of an epoch whose telling was itself cut off it is told
twice, the same.

Which tracker is no setting of a run, for it changes nothing of what is trained. So it is not handed
from one training to the next (a grid, tiers with a model each, a cross-fitting), but holds for all
that begin within :func:`tracking_to`.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dimec.base.storage import read_json, write_json
from dimec.runs.trackers import check_tracker

if TYPE_CHECKING:
    from collections.abc import Sequence

    from accelerate import Accelerator

    from dimec.runs.workspace import RunDirectory
    from dimec.settings.run import RunSettings
    from dimec.training.stages import EpochRecord

PROJECT = "dimec"  # trackio's project, MLflow's experiment
FOLDER = "tracking"  # in the run directory

_wanted: ContextVar[tuple[str, Path] | None] = ContextVar("tracker", default=None)


@contextmanager
def tracking_to(kind: str | None, out: Path | str) -> Iterator[None]:
    """Have every training in the block told to a tracker; None to none.

    Args:
        kind: one of :data:`dimec.runs.trackers.TRACKERS`.
        out: the run directory that was asked for, from which each training has its name.

    Raises:
        ConfigError: an unknown tracker.
        MissingExtraError: its package is not installed.
    """
    check_tracker(kind)
    token = _wanted.set(None if kind is None else (kind, Path(out)))
    try:
        yield
    finally:
        _wanted.reset(token)


class Tracker:
    """Tells the tracker that is wanted, if any, of one training.

    Args:
        accelerator: of the training; its first process tells.
        run: the run directory.
        settings: of the run.
    """

    def __init__(self, accelerator: Accelerator, run: RunDirectory, settings: RunSettings) -> None:
        self._accelerator = accelerator
        self._told = 0
        self._started = False
        wanted = _wanted.get()
        if wanted is None or not accelerator.is_main_process:
            return
        kind, out = wanted
        self._place = run.path / FOLDER / f"{kind}.json"
        known = read_json(self._place, "dimec train") if self._place.exists() else {}
        self._name: str = known.get("name") or f"{_name(run.path, out)}-{secrets.token_hex(3)}"
        self._told = known.get("epochs", 0)
        told = plain(settings)
        accelerator.log_with = [_made(kind, run, self._name, known.get("id"), told)]
        accelerator.init_trackers(PROJECT, None if known else told)
        self._started = True
        (made,) = accelerator.trackers
        self._id = made.tracker.info.run_id if kind == "mlflow" else None
        self._keep()

    def tell(self, record: EpochRecord, exits: Sequence[int], metric: str) -> None:
        """Log an epoch, unless the tracker knows it already."""
        if not self._started or record.epoch < self._told:
            return
        self._accelerator.log(values_of(record, exits, metric), step=record.epoch + 1)
        self._told = record.epoch + 1
        self._keep()

    def finish(self) -> None:
        """Close the tracker's run."""
        # Not end_training(), which would part the processes for good.
        for tracker in self._accelerator.trackers if self._started else ():
            tracker.finish()

    def _keep(self) -> None:
        write_json(self._place, {"name": self._name, "id": self._id, "epochs": self._told})


def values_of(record: EpochRecord, exits: Sequence[int], metric: str) -> dict[str, float]:
    """What is logged of an epoch: name → value."""
    values = {
        "loss": record.loss,
        "stage": record.stage,
        "seconds/training": record.seconds,
        "seconds/validation": record.validation_seconds,
    }
    by_exit = {"accuracy": record.accuracy, "validation_loss": record.validation_loss or ()}
    by_exit |= {metric: record.metric}
    for name, of_exits in by_exit.items():
        for layer, value in zip(exits, of_exits, strict=False):
            values[f"{name}/exit-{layer}"] = value
    return values


def plain(settings: RunSettings) -> dict[str, Any]:
    """Settings by name, ``training.epochs``, as numbers and texts; none that is not given."""
    flat: dict[str, Any] = {}

    def add(at: str, value: Any) -> None:
        if isinstance(value, Mapping):
            for key, one in value.items():
                add(f"{at}.{key}" if at else key, one)
        elif isinstance(value, bool | int | float | str):
            flat[at] = value
        elif value not in (None, [], ()):
            flat[at] = str(value)

    add("", settings.model_dump(mode="json"))
    return flat


def _name(path: Path, out: Path) -> str:
    """A training's name: that of the run, and where in it the training is."""
    path, parent = path.resolve(), out.resolve().parent
    return path.relative_to(parent).as_posix() if path.is_relative_to(parent) else path.name


def _made(
    kind: str, run: RunDirectory, name: str, known: str | None, settings: Mapping[str, Any]
) -> Any:
    """accelerate's tracker, for a new run or the known one."""
    from accelerate import tracking

    if kind == "tensorboard":
        return tracking.TensorBoardTracker(kind, run.path / FOLDER)
    if kind == "trackio":
        # Which keeps the settings that a run was last begun with, and no later ones.
        return tracking.TrackioTracker(PROJECT, name=name, resume="allow", config=dict(settings))
    return tracking.MLflowTracker(PROJECT, run_id=known, run_name=name)
