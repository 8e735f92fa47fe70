"""The experiment trackers that a run can be told to: dimec's three, and those of other packages.

A package of others brings one by an entry point of the group ``dimec.trackers``: the tracker's name
for ``--track``, and a callable that makes an accelerate ``GeneralTracker``; see
:func:`dimec.training.tracking.made_by_package` for what it is given.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass

from dimec.base.errors import ConfigError, MissingExtraError
from dimec.base.plugins import named, names
from dimec.base.storage import read_json
from dimec.runs.workspace import RunDirectory

FOLDER = "tracking"  # in the run directory
# Each by the name of its package, and of the extra that installs it.
TRACKERS = {"tensorboard": "track", "trackio": "trackio", "mlflow": "mlflow"}


@dataclass(frozen=True)
class Told:
    """What a tracker knows of a run.

    Attributes:
        name: of the run there.
        epochs: how many it was told of.
        parts: what else it was told of: ``"map"``, ``"fit"``, ``"ledger"``.
        new: what of ``"epochs"`` and those it did not know before.
    """

    name: str
    epochs: int
    parts: tuple[str, ...]
    new: tuple[str, ...]


def check_tracker(kind: str | None) -> None:
    """Whether there is such a tracker here; None is none.

    Raises:
        ConfigError: an unknown one, or one that two packages bring.
        MissingExtraError: its package is not installed.
    """
    if kind is None:
        return
    if kind not in TRACKERS:
        if named("trackers", kind) is None:
            known = " or ".join((*TRACKERS, *names("trackers", TRACKERS)))
            raise ConfigError(f"expected the tracker {known}, got {kind!r}")
        return
    if importlib.util.find_spec(kind) is None:
        raise MissingExtraError(kind, TRACKERS[kind], f"tracking with {kind}")


def home_of(run: RunDirectory) -> RunDirectory:
    """The run directory whose training a tracker knows as this run's: of a grid its best point's.

    Raises:
        ArtefactError: the grid's record is damaged.
    """
    if not run.grid_record_path.exists():
        return run
    best = read_json(run.grid_record_path, f"dimec train --grid --out {run.typed}")["best"]
    return RunDirectory(run.grid_path / point_name(best["batch_size"], best["learning_rate"]))


def point_name(batch_size: int, learning_rate: float) -> str:
    """The folder of a point of a grid.

    Example:
        >>> point_name(8, 2e-5)
        'bs08-lr2e-05'
    """
    return f"bs{batch_size:02d}-lr{learning_rate:g}"


def trackers_of(run: RunDirectory) -> tuple[str, ...]:
    """The trackers that were told of a run's training, or of that of one of its tiers' models."""
    places = [run, home_of(run), *run.tier_runs().values()]
    found = (file.stem for one in places for file in (one.path / FOLDER).glob("*.json"))
    return tuple(sorted(set(found)))
