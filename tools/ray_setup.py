"""Build .ray/, an environment with Ray and this checkout's dimec, or see that it is up to date.

``python tools/ray_setup.py`` installs what ``tools/ray.lock`` pins for ``dimec[ray]``. It
stands apart from .venv, which would grow by some forty packages that nothing else needs, on
platforms that Ray has no wheels for. ``--lock`` resolves the lock file anew, with the versions of
requirements.lock.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import setup_env
from setup_env import SetupError, count_packages, digest, keep_current, run_step, venv_python
from setup_progress import StepProgress

ROOT = setup_env.ROOT
LOCK = ROOT / "tools" / "ray.lock"
# Beside dimec[ray]: what installs dimec itself.
BESIDE = ("hatchling", "editables")

HEADER = """\
# The packages of .ray/, the environment of Ray that make conformance uses: installed without
# dependencies, hashes checked (tools/ray_setup.py). What requirements.lock has too is of its
# versions. Written by: .venv/bin/python tools/ray_setup.py --lock
"""


def install(folder: Path, lock: int) -> None:
    """Make the environment; install the pinned packages and, editable, dimec."""
    with StepProgress("1/3 environment of Ray"):
        setup_env.make_venv(folder)
    log = folder / "setup.log"
    pip = [str(venv_python(folder)), "-m", "pip", "install", "--progress-bar", "off", "--no-deps"]
    command = [*pip, "--require-hashes", "--only-binary", ":all:", "-r", str(LOCK)]
    count = count_packages(LOCK.read_text(encoding="utf-8"))
    run_step("2/3 its packages, hashes checked", command, lock=lock, log=log, total=count)
    own = [*pip, "--no-index", "--no-build-isolation", "--editable", str(ROOT)]
    run_step("3/3 dimec itself", own, lock=lock, log=log)


def wanted_stamp(folder: Path) -> str:
    """What an up-to-date environment in the folder was built from."""
    python = f"{sys.version_info.major}.{sys.version_info.minor} {sys.base_prefix}"
    project = (ROOT / "pyproject.toml").read_bytes()
    return digest(LOCK.read_bytes(), project, python.encode(), os.fsencode(folder))


def set_up(root: Path = ROOT) -> Path:
    """Build what is missing under root/.ray; does nothing when nothing is. Returns the folder.

    Raises:
        SetupError: it could not be installed, as where Ray has no wheel for this machine.
    """
    folder = root / ".ray"
    keep_current(folder, lambda: wanted_stamp(folder), install)
    return folder


def pins(text: str) -> dict[str, str]:
    """Name → version of the packages in the text of a lock file."""
    return dict(re.findall(r"^([\w.-]+)==([^\s;\\]+)", text, flags=re.MULTILINE))


def write_lock() -> None:
    """Resolve tools/ray.lock anew. Raises when uv fails."""
    known = pins((ROOT / "requirements.lock").read_text(encoding="utf-8"))
    with tempfile.TemporaryDirectory() as folder:
        constraints, more = Path(folder) / "constraints.txt", Path(folder) / "more.in"
        constraints.write_text("".join(f"{k}=={v}\n" for k, v in known.items()), encoding="utf-8")
        more.write_text("\n".join(BESIDE) + "\n", encoding="utf-8")
        command = [sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--no-config"]
        command += ["--universal", "--python-version", "3.11", "--fork-strategy", "fewest"]
        command += ["--generate-hashes", "--no-header", "--no-annotate", "--no-emit-index-url"]
        command += ["--no-emit-find-links", "--extra", "ray", "--constraints", str(constraints)]
        command += [str(ROOT / "pyproject.toml"), str(more)]
        body = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    LOCK.write_text(HEADER + body, encoding="utf-8")
    print(f"lock: {count_packages(body)} packages in {LOCK.name}")


def main() -> int:
    """Set up, or resolve anew. Returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lock", action="store_true", help="resolve tools/ray.lock anew")
    if parser.parse_args().lock:
        write_lock()
        return 0
    try:
        set_up()
    except (SetupError, OSError) as error:
        print(f"ray: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
