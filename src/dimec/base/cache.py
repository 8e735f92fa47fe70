"""The folder of what was fetched and may be fetched again."""

from __future__ import annotations

import os
from pathlib import Path

from dimec.base.errors import ConfigError

CACHE_VARIABLE = "DIMEC_CACHE"


def cache_folder() -> Path:
    """``DIMEC_CACHE``, else ``XDG_CACHE_HOME/dimec``, else ``~/.cache/dimec``.

    Raises:
        ConfigError: a path begins with ``~``, and there is no home.
    """
    if chosen := os.environ.get(CACHE_VARIABLE):
        return _home_expanded(Path(chosen)).absolute()
    base = Path(os.environ.get("XDG_CACHE_HOME", ""))
    # The XDG specification has relative paths ignored.
    return (base if base.is_absolute() else _home_expanded(Path("~/.cache"))) / "dimec"


def _home_expanded(path: Path) -> Path:
    try:
        return path.expanduser()
    except RuntimeError:
        raise ConfigError(
            f"there is no home folder for the cache; set {CACHE_VARIABLE} to a folder"
        ) from None
