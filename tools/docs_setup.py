"""Build .docs/, the environment that makes the site, or see that it is up to date.

``python tools/docs_setup.py`` installs what ``tools/docs.lock`` pins for the dependency group
``docs`` of pyproject.toml. It stands apart from .venv, since nothing else needs these packages;
dimec is not installed in it, for its docstrings are read and never imported. ``--lock`` resolves
the lock file anew.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

import setup_env
from setup_env import SetupError, count_packages, digest, keep_current, run_step, venv_python
from setup_progress import StepProgress

ROOT = setup_env.ROOT
LOCK = ROOT / "tools" / "docs.lock"

HEADER = """\
# The packages of .docs/, the environment that makes the site: installed without dependencies,
# hashes checked (tools/docs_setup.py). Written by: .venv/bin/python tools/docs_setup.py --lock
"""


def install(folder: Path, lock: int) -> None:
    """Make the environment and install the pinned packages."""
    with StepProgress("1/2 environment of the site"):
        setup_env.make_venv(folder)
    command = [str(venv_python(folder)), "-m", "pip", "install", "--progress-bar", "off"]
    command += ["--no-deps", "--require-hashes", "--only-binary", ":all:", "-r", str(LOCK)]
    count = count_packages(LOCK.read_text(encoding="utf-8"))
    log = folder / "setup.log"
    run_step("2/2 its packages, hashes checked", command, lock=lock, log=log, total=count)


def wanted_stamp(folder: Path) -> str:
    """What an up-to-date environment in the folder was built from."""
    python = f"{sys.version_info.major}.{sys.version_info.minor} {sys.base_prefix}"
    return digest(LOCK.read_bytes(), python.encode(), os.fsencode(folder))


def set_up(root: Path = ROOT) -> Path:
    """Build what is missing under root/.docs; does nothing when nothing is. Returns the folder.

    Raises:
        SetupError: it could not be installed, as where the package index is out of reach.
    """
    folder = root / ".docs"
    keep_current(folder, lambda: wanted_stamp(folder), install)
    return folder


def write_lock() -> None:
    """Resolve tools/docs.lock anew. Raises when uv fails."""
    command = [sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--no-config"]
    command += ["--universal", "--python-version", "3.11", "--fork-strategy", "fewest"]
    command += ["--generate-hashes", "--no-header", "--no-annotate", "--no-emit-index-url"]
    command += ["--no-emit-find-links", "--group", "docs"]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    LOCK.write_text(HEADER + done.stdout, encoding="utf-8")
    print(f"lock: {count_packages(done.stdout)} packages in {LOCK.name}")


def main() -> int:
    """Set up, or resolve anew. Returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lock", action="store_true", help="resolve tools/docs.lock anew")
    if parser.parse_args().lock:
        write_lock()
        return 0
    try:
        set_up()
    except (SetupError, OSError) as error:
        print(f"docs: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
