"""The experiment trackers that a training can be told to."""

from __future__ import annotations

import importlib.util

from dimec.base.errors import ConfigError, MissingExtraError

# Each by the name of its package, and of the extra that installs it.
TRACKERS = {"tensorboard": "track", "trackio": "trackio", "mlflow": "mlflow"}


def check_tracker(kind: str | None) -> None:
    """Whether there is such a tracker here; None is none.

    Raises:
        ConfigError: an unknown one.
        MissingExtraError: its package is not installed.
    """
    if kind is None:
        return
    if kind not in TRACKERS:
        raise ConfigError(f"expected the tracker {' or '.join(TRACKERS)}, got {kind!r}")
    if importlib.util.find_spec(kind) is None:
        raise MissingExtraError(kind, TRACKERS[kind], f"tracking with {kind}")
