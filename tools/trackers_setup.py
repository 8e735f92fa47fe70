"""Build .trackers/, an environment with trackio and MLflow, or see that it is up to date.

``python tools/trackers_setup.py`` installs what ``tools/trackers.lock`` pins. It stands on .venv,
whose packages it sees behind its own: the lock file has what .venv lacks, and the few that MLflow
and trackio want in older versions, such as pyarrow, for which they can be no part of .venv.
``--lock`` resolves the lock file anew.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import sysconfig
import tempfile
import tomllib
from pathlib import Path

import setup_env
from ray_setup import pins
from setup_env import SetupError, count_packages, digest, keep_current, run_step, venv_python
from setup_progress import StepProgress

ROOT = setup_env.ROOT
LOCK = ROOT / "tools" / "trackers.lock"
EXTRAS = ("mlflow", "trackio")

HEADER = """\
# The packages of .trackers/, the environment of the experiment trackers that make conformance uses:
# those that .venv lacks, and those that it has in other versions; installed without dependencies,
# hashes checked. Written by: .venv/bin/python tools/trackers_setup.py --lock
"""


def install(folder: Path, lock: int) -> None:
    """Make the environment, install the pinned packages, and show it those of .venv."""
    with StepProgress("1/2 environment of the trackers"):
        setup_env.make_venv(folder)
    pip = [str(venv_python(folder)), "-m", "pip", "install", "--progress-bar", "off", "--no-deps"]
    run_step(
        "2/2 their packages, hashes checked",
        [*pip, "--require-hashes", "--only-binary", ":all:", "-r", str(LOCK)],
        lock=lock,
        log=folder / "setup.log",
        total=count_packages(LOCK.read_text(encoding="utf-8")),
    )
    own = sysconfig.get_path("purelib", vars={"base": str(folder), "platbase": str(folder)})
    line = f"import site; site.addsitedir({_behind()!r})\n"
    (Path(own) / "behind.pth").write_text(line, encoding="utf-8")


def _behind() -> str:
    """Where the packages are that this environment stands on: those of the Python that runs."""
    return sysconfig.get_path("purelib")


def wanted_stamp(folder: Path) -> str:
    """What an up-to-date environment in the folder was built from."""
    python = f"{sys.version_info.major}.{sys.version_info.minor} {sys.base_prefix} {_behind()}"
    return digest(LOCK.read_bytes(), python.encode(), os.fsencode(folder))


def set_up(root: Path = ROOT) -> Path:
    """Build what is missing under root/.trackers; does nothing when nothing is.

    Returns:
        The folder.

    Raises:
        SetupError: it could not be installed.
    """
    folder = root / ".trackers"
    keep_current(folder, lambda: wanted_stamp(folder), install)
    return folder


def requirements() -> list[str]:
    """The trackers as dimec's extras name them; what training needs is in .venv."""
    with (ROOT / "pyproject.toml").open("rb") as stream:
        extras = tomllib.load(stream)["project"]["optional-dependencies"]
    return [one for name in EXTRAS for one in extras[name] if not one.startswith("dimec[")]


def lacking(resolved: str, present: str) -> str:
    """Of a resolved lock file the packages that another does not have in the same version.

    Example:
        >>> lacking("a==1 \\\\\\n    --hash=x\\nb==2 \\\\\\n    --hash=y\\n", "a==1\\nb==3\\n")
        'b==2 \\\\\\n    --hash=y\\n'
    """
    known = pins(present)
    entries = re.split(r"^(?=[\w.-]+==)", resolved, flags=re.MULTILINE)
    return "".join(
        entry for entry in entries for name, at in pins(entry).items() if known.get(name) != at
    )


def write_lock() -> None:
    """Resolve tools/trackers.lock anew, with the versions of requirements.lock where they will do.

    Raises:
        CalledProcessError: uv fails.
    """
    present = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as folder:
        resolved, wanted = Path(folder) / "resolved.lock", Path(folder) / "wanted.in"
        wanted.write_text("".join(f"{one}\n" for one in requirements()), encoding="utf-8")
        # What the file has that it is to write, uv prefers.
        resolved.write_text(present, encoding="utf-8")
        command = [sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--no-config"]
        command += ["--universal", "--python-version", "3.11", "--fork-strategy", "fewest"]
        command += ["--generate-hashes", "--no-header", "--no-annotate", "--no-emit-index-url"]
        command += ["--no-emit-find-links", "--output-file", str(resolved), str(wanted)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        body = lacking(resolved.read_text(encoding="utf-8"), present)
    LOCK.write_text(HEADER + body, encoding="utf-8")
    print(f"lock: {count_packages(body)} packages in {LOCK.name}")


def main() -> int:
    """Set up, or resolve anew. Returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lock", action="store_true", help="resolve tools/trackers.lock anew")
    if parser.parse_args().lock:
        write_lock()
        return 0
    try:
        set_up()
    except (SetupError, OSError) as error:
        print(f"trackers: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
