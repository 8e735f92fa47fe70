"""The paper's grid search over batch sizes and learning rates (section V-C), as resumable runs."""

from __future__ import annotations

import math
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from dimec.base.errors import ConfigError, option
from dimec.base.progress import NoProgress, Progress
from dimec.base.storage import storage_errors, write_json
from dimec.runs.intake import Intake, take_in
from dimec.runs.trackers import point_name
from dimec.runs.workspace import RunDirectory
from dimec.settings.run import RunSettings
from dimec.training.loop import train_one
from dimec.training.prepare import give_up_weights, make_accelerator
from dimec.training.tracking import tracking_to

BATCH_SIZES = (8, 16, 32)
LEARNING_RATES = (1e-5, 2e-5, 3e-5, 4e-5, 5e-5)


@dataclass(frozen=True)
class GridPoint:
    """One point of the grid and how its best epoch scored on the validation split."""

    batch_size: int
    learning_rate: float
    score: float
    best_epoch: int
    seconds: float
    validation_loss: float | None = None  # none in grids of earlier versions

    @property
    def merit(self) -> tuple[float, float]:
        """What points are compared by: the score, then the lower loss."""
        loss = self.validation_loss
        return self.score, -math.inf if loss is None else -loss


def train_grid(
    settings: RunSettings,
    out: Path | str,
    *,
    batch_sizes: Sequence[int] = BATCH_SIZES,
    learning_rates: Sequence[float] = LEARNING_RATES,
    overwrite: bool = False,
    progress: Progress | None = None,
    intake: Intake | None = None,
    track: str | None = None,
) -> RunDirectory:
    """Train every point of the grid and make the best one the run in ``out``.

    The score is the last exit's on the validation split; of equals the lower loss wins, then the
    first in the order of the grid. Points lie in ``out/grid``; a point that is beaten keeps its
    record and its dynamics and gives up its weights and traces. Started again, it goes on where it
    was. ``track`` is that of :func:`dimec.training.train_run`; each point is told of by itself.

    Raises:
        ConfigError: an empty grid, several processes, or a run of its own in ``out``.
        DimecError: as :func:`dimec.training.train_run`.
    """
    progress = progress or NoProgress()
    points = [(size, rate) for size in batch_sizes for rate in learning_rates]
    if not points:
        raise ConfigError("the grid needs at least one batch size and one learning rate")
    if settings.training.recipe == "own":
        raise ConfigError(
            f"the grid trains one model a point, and the recipe 'own' several; leave "
            f"{option('grid')} out"
        )
    if settings.distillation.cross_fit:
        raise ConfigError(
            f"the grid trains its points once each; leave {option('cross_fit')} out, and cross-fit "
            "with what the grid finds best"
        )
    if make_accelerator().num_processes > 1:
        raise ConfigError("the grid trains one run at a time; start it without accelerate launch")
    target = RunDirectory(out)
    is_grid = target.grid_record_path.exists()
    if target.config_path.exists() and not (overwrite or is_grid):
        raise ConfigError(
            f"{out} holds a run that is no grid; choose another --out, or discard that run with "
            "--overwrite"
        )
    intake = intake or take_in(settings, progress)
    settings = settings.model_copy(update={"data": intake.data})
    best: tuple[GridPoint, RunDirectory] | None = None
    table = []
    for number, (size, rate) in enumerate(points, start=1):
        update = {"batch_size": size, "learning_rate": rate}
        training = settings.training.model_copy(update=update)
        one = settings.model_copy(update={"training": training})
        run = RunDirectory(target.grid_path / point_name(size, rate))
        progress.say(f"grid {number} of {len(points)}: batch size {size}, learning rate {rate:g}")
        if overwrite or not _is_beaten(run, one):
            with tracking_to(track, out):
                run = train_one(
                    one, run.path, overwrite=overwrite, progress=progress, intake=intake
                )
        point = _point(run, size, rate)
        table.append(point)
        if best is None or point.merit > best[0].merit:
            loser, best = best, (point, run)
            if loser is not None:
                _give_up(loser[1])
        else:
            _give_up(run)
    assert best is not None  # there is at least one point
    record: dict[str, object] = {
        "best": asdict(best[0]),
        "points": [asdict(point) for point in table],
    }
    return _promote(best[1], target, record)


def _is_beaten(run: RunDirectory, settings: RunSettings) -> bool:
    """Whether this point was trained with these settings and has given up its weights."""
    if not run.training_path.exists() or run.model_path.exists():
        return False
    return not run.settings().differences(settings)


def _point(run: RunDirectory, size: int, rate: float) -> GridPoint:
    record = run.training()
    history = record["history"]
    best = int(record["best_epoch"])
    seconds = sum(epoch["seconds"] + epoch["validation_seconds"] for epoch in history)
    losses = history[best].get("validation_loss")
    return GridPoint(
        size,
        rate,
        float(history[best]["metric"][-1]),
        best,
        round(seconds, 1),
        float(losses[-1]) if losses else None,
    )


def _give_up(run: RunDirectory) -> None:
    give_up_weights(run)
    for split in ("validation", "test"):
        run.trace_path(split).unlink(missing_ok=True)


def _promote(best: RunDirectory, target: RunDirectory, record: dict[str, object]) -> RunDirectory:
    """Copy the best point's artefacts to the top of the run directory.

    ``grid.json`` comes first: until the settings stand there too, a process that is killed must
    leave a directory that still tells it is a grid's. ``training.json`` comes last.
    """
    out = target.path
    with target.locked(), storage_errors(out):
        if target.training_path.exists():
            if target.training() == best.training() and target.model_path.exists():
                return target
            target.training_path.unlink()
        write_json(target.grid_record_path, record)
        for name in ("model", "dynamics"):
            shutil.rmtree(out / name, ignore_errors=True)
            shutil.copytree(best.path / name, out / name)
        for split in ("validation", "test"):
            shutil.copy2(best.trace_path(split), target.trace_path(split))
        if best.parity_path.exists():  # not in runs of earlier versions
            shutil.copy2(best.parity_path, target.parity_path)
        shutil.copy2(best.data_path, target.data_path)
        if best.survey_path.exists():  # points of old have none
            shutil.copy2(best.survey_path, target.survey_path)
        shutil.copy2(best.config_path, target.config_path)
        write_json(target.training_path, best.training())
    return target
