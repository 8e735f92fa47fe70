"""Build .kserve/, the environment with KServe's own types, or see that it is up to date.

``python tools/kserve_setup.py`` installs the package ``kserve`` with what its types need. It stands
apart from .venv because the rest of it wants older versions of what dimec uses.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import setup_env
from setup_env import SetupError, count_packages, digest, keep_current, run_step, venv_python
from setup_progress import StepProgress

ROOT = setup_env.ROOT
LOCK = ROOT / "tools" / "kserve.lock"


def install(folder: Path, lock: int) -> None:
    """Make the environment and install the pinned packages."""
    with StepProgress("1/2 environment of KServe's types"):
        setup_env.make_venv(folder)
    pip = [str(venv_python(folder)), "-m", "pip", "install", "--progress-bar", "off", "--no-deps"]
    run_step(
        "2/2 its packages, hashes checked",
        [*pip, "--require-hashes", "--only-binary", ":all:", "-r", str(LOCK)],
        lock=lock,
        log=folder / "setup.log",
        total=count_packages(LOCK.read_text(encoding="utf-8")),
    )


def wanted_stamp(folder: Path) -> str:
    """What an up-to-date environment in the folder was built from."""
    python = f"{sys.version_info.major}.{sys.version_info.minor} {sys.base_prefix}"
    return digest(LOCK.read_bytes(), python.encode(), os.fsencode(folder))


def set_up(root: Path = ROOT) -> Path:
    """Build what is missing under root/.kserve; does nothing when nothing is. Returns the folder.

    Raises:
        SetupError: it could not be installed.
    """
    folder = root / ".kserve"
    keep_current(folder, lambda: wanted_stamp(folder), install)
    return folder


def main() -> int:
    """Set up. Returns the exit code."""
    try:
        set_up()
    except (SetupError, OSError) as error:
        print(f"kserve: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
