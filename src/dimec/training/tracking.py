"""What a training tells an experiment tracker, through accelerate: settings, losses, scores.

A tracker is told of an epoch once its checkpoint stands, and ``tracking/KIND.json`` in the run
directory says up to which epoch it was: a resumed training goes on in the same run of the tracker,
and tells it first what a kill kept from it. Of an epoch whose telling was itself cut off it is told
twice, the same. What comes after training (:mod:`dimec.training.told_later`) goes there too.

Which tracker is no setting of a run, for it changes nothing of what is trained. So it is not handed
from one training to the next (a grid, tiers with a model each, a cross-fitting), but holds for all
that begin within :func:`tracking_to`.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, redirect_stdout
from contextvars import ContextVar
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from dimec.base.errors import ConfigError, shown
from dimec.base.plugins import loaded, named
from dimec.base.progress import Progress
from dimec.base.storage import read_json, write_json
from dimec.runs.trackers import FOLDER, TRACKERS, check_tracker
from dimec.training.telling import plain, values_of, values_of_map

if TYPE_CHECKING:
    from accelerate import Accelerator

    from dimec.cartography import TrainingDynamics
    from dimec.runs.workspace import RunDirectory
    from dimec.settings.run import RunSettings
    from dimec.training.stages import EpochRecord

PROJECT = "dimec"  # trackio's project, MLflow's experiment

_wanted: ContextVar[tuple[str, Path] | None] = ContextVar("tracker", default=None)


@contextmanager
def tracking_to(kind: str | None, out: Path | str) -> Iterator[None]:
    """Have every training in the block told to a tracker; None to none.

    Args:
        kind: one of :data:`dimec.runs.trackers.TRACKERS`, or of another package.
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
    """Tells the tracker that is wanted, if any, of one training; a context that closes it.

    A tracker that cannot be begun with ends the training before its first epoch. One that is lost
    later, as a server may be, does not: what it was to be told waits for the next epoch, and in the
    end for ``dimec track``.

    Args:
        accelerator: of the training; its first process tells.
        run: the run directory.
        settings: of the run.
        progress: told that the tracker could not be.
    """

    def __init__(
        self,
        accelerator: Accelerator,
        run: RunDirectory,
        settings: RunSettings,
        progress: Progress,
    ) -> None:
        wanted = _wanted.get()
        self._kept: KeptRun | None = None
        self._progress = progress
        self._waiting: list[Callable[[KeptRun], object]] = []
        if wanted is not None and accelerator.is_main_process:
            self._kept = KeptRun(accelerator, run, settings, *wanted)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        if self._kept is None:
            return
        with self._forgiven():
            self._kept.close(error)

    def tell(self, record: EpochRecord, exits: Sequence[int], metric: str) -> None:
        """Log an epoch, unless the tracker knows it already."""
        self._tell(lambda kept: kept.tell_epoch(record, exits, metric))

    def tell_map(self, dynamics: TrainingDynamics) -> None:
        """Log where the data map's samples lie on average, once all epochs are over."""
        self._tell(lambda kept: kept.tell("map", values_of_map(dynamics)))

    def _tell(self, what: Callable[[KeptRun], object]) -> None:
        """Tell this, after what waits: a tracker takes no epoch after a later one."""
        if self._kept is None:
            return
        self._waiting.append(what)
        with self._forgiven():
            while self._waiting:
                self._waiting[0](self._kept)
                del self._waiting[0]

    @contextmanager
    def _forgiven(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # whatever a tracker of somebody else raises
            told = shown(f"{type(error).__name__}: {error}", 200)
            self._progress.say(f"the tracker could not be told, and training goes on: {told}")


class KeptRun:
    """A run in a tracker, and in the run directory what it was told.

    Args:
        accelerator: through which it is told; the first process's.
        run: the run directory.
        settings: of the run.
        kind: of the tracker.
        out: the run directory that a user named, which the name in the tracker begins with.

    Attributes:
        name: in the tracker.
        epochs: how many of them it was told of.
    """

    def __init__(
        self,
        accelerator: Accelerator,
        run: RunDirectory,
        settings: RunSettings,
        kind: str,
        out: Path,
    ) -> None:
        self._accelerator, self._kind = accelerator, kind
        self._place = run.path / FOLDER / f"{kind}.json"
        known = read_json(self._place, "dimec train") if self._place.exists() else {}
        self.name: str = known.get("name") or f"{_name(run.path, out)}-{secrets.token_hex(3)}"
        self._parts: dict[str, Any] = known.get("parts", {})
        told = plain(settings)
        accelerator.log_with = [_made(kind, run, self.name, known, told)]
        with _aside():
            accelerator.init_trackers(PROJECT, None if known else told)
        (self._made,) = accelerator.trackers
        self._id = self._made.tracker.info.run_id if kind == "mlflow" else None
        self.epochs: int = known.get("epochs", 0)
        if known and kind == "trackio":
            self.epochs = _steps_in_trackio(self._made.tracker, self.epochs)
        self._keep()

    @property
    def parts(self) -> tuple[str, ...]:
        """What it was told of beside the epochs."""
        return tuple(self._parts)

    def tell_epoch(self, record: EpochRecord, exits: Sequence[int], metric: str) -> bool:
        """Log an epoch, unless the tracker knows it already; whether it did."""
        if record.epoch < self.epochs:
            return False
        self._accelerator.log(values_of(record, exits, metric), step=record.epoch + 1)
        self.epochs = record.epoch + 1
        self._keep()
        return True

    def tell(
        self, part: str, values: Mapping[str, float], files: Sequence[Path] = (), text: str = ""
    ) -> bool:
        """Log what there is once, ``"map"`` or ``"ledger"``, unless the tracker knows just this.

        Args:
            part: its name.
            values: name → value; the step is 1 for the first time that the part is told, then 2, …
            files: that are kept as artefacts, where the tracker keeps any.
            text: in Markdown, in place of the files.

        Returns:
            Whether the tracker was told.
        """
        digest = hashlib.sha256(json.dumps(dict(values), sort_keys=True).encode())
        for file in files:
            digest.update(file.read_bytes())
        times, before = self._parts.get(part, (0, ""))
        if not values or digest.hexdigest() == before:
            return False
        self._accelerator.log(dict(values), step=times + 1)
        if files and not self._keep_files(part, files):
            self._accelerator.log({part: text}, step=times + 1)
        self._parts[part] = (times + 1, digest.hexdigest())
        self._keep()
        return True

    def _keep_files(self, part: str, files: Sequence[Path]) -> bool:
        """Whether the tracker keeps files, and so keeps these."""
        if self._kind == "trackio":  # whose artefacts are a project's, and not a run's
            name = self.name.replace("/", ".")
            for file in files:
                self._made.tracker.log_artifact(file, name=f"{name}.{file.stem}", type=part)
            return True
        if (keep := getattr(self._made, "log_artifact", None)) is None:
            return False
        for file in files:
            keep(str(file), part)
        return True

    def close(self, error: BaseException | None = None) -> None:
        """Close the tracker's run; it can be gone on with.

        Args:
            error: what ended the training, if anything did.
        """
        with _aside():
            if error is not None and self._kind == "mlflow":
                import mlflow

                mlflow.end_run("FAILED" if isinstance(error, Exception) else "KILLED")
            if self._kind == "trackio":
                import trackio

                trackio.finish()  # its tracker's leaves a second end for when the process exits
                return
            # Not end_training(), which would part the processes for good.
            self._made.finish()

    def _keep(self) -> None:
        known = {"name": self.name, "id": self._id, "epochs": self.epochs}
        write_json(self._place, {**known, "parts": self._parts} if self._parts else known)


def _aside() -> AbstractContextManager[object]:
    """Where a tracker greets and takes its leave: not on standard output, which has results."""
    return redirect_stdout(sys.stderr)


def _steps_in_trackio(run: Any, marked: int) -> int:
    """How many epochs a trackio run holds, which it is told of as steps 1, 2, ….

    It writes what it is told up to half a second later, so that a kill may take from it what the
    run directory says it knows. It knows the last step that it holds; where a version of it does
    not say so, the directory's word stands.
    """
    following = getattr(run, "_next_step", None)
    return min(marked, max(0, following - 1)) if isinstance(following, int) else marked


def _name(path: Path, out: Path) -> str:
    """A training's name: that of the run, and where in it the training is."""
    path, parent = path.resolve(), out.resolve().parent
    return path.relative_to(parent).as_posix() if path.is_relative_to(parent) else path.name


def _made(
    kind: str, run: RunDirectory, name: str, known: Mapping[str, Any], settings: Mapping[str, Any]
) -> Any:
    """accelerate's tracker, for a new run or the known one."""
    from accelerate import tracking

    if kind not in TRACKERS:
        return made_by_package(kind, name, run.path / FOLDER / kind, bool(known), settings)
    if kind == "tensorboard":
        return tracking.TensorBoardTracker(kind, run.path / FOLDER)
    if kind == "trackio":
        # Which keeps the settings that a run was last begun with, and no later ones.
        return tracking.TrackioTracker(PROJECT, name=name, resume="allow", config=dict(settings))
    return tracking.MLflowTracker(PROJECT, run_id=known.get("id"), run_name=name)


def made_by_package(
    kind: str, name: str, folder: Path, resumed: bool, settings: Mapping[str, Any]
) -> Any:
    """The tracker that another package makes.

    Its entry point is called with keywords: ``name``, of the training, which no other has and a
    resumed one keeps; ``folder``, for files of its own, not yet made; ``resumed``, whether it was
    made for this training before; and ``settings`` by name. It returns a ``GeneralTracker``, whose
    ``log`` gets numbers by name and the step; one that has ``log_artifact(path, group)`` keeps
    files, any other gets a text in their place.

    Raises:
        ConfigError: the package cannot be loaded, or makes something else.
    """
    from accelerate.tracking import GeneralTracker

    plugin = named("trackers", kind)
    assert plugin is not None  # or check_tracker would have refused it
    make = loaded(plugin)
    try:
        made = make(name=name, folder=folder, resumed=resumed, settings=dict(settings))
    except Exception as error:
        raise ConfigError(
            f"the tracker {kind!r} ({plugin.value}) of the package {plugin.told} cannot be made: "
            f"{type(error).__name__}: {shown(str(error), 120)}; repair or uninstall it"
        ) from error
    if not isinstance(made, GeneralTracker):
        raise ConfigError(
            f"the tracker {kind!r} ({plugin.value}) of the package {plugin.told} made a "
            f"{type(made).__name__}; expected a GeneralTracker of accelerate"
        )
    return made
