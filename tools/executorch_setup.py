"""Build .executorch/, an environment with ExecuTorch on top of .venv, or see that it is current.

``python tools/executorch_setup.py``, run by .venv's Python, installs what ``tools/executorch.lock``
pins: what ``dimec[executorch]`` needs beyond .venv, whose packages it sees. It stands apart because
transformers imports the torchao that comes with it wherever it is installed, which takes seconds
and prints lines at every start. ``--lock`` resolves the lock file anew, with the versions of
requirements.lock.
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
from setup_env import SetupError, count_packages, digest, keep_current, run_step, venv_python
from setup_progress import StepProgress

ROOT = setup_env.ROOT
LOCK = ROOT / "tools" / "executorch.lock"
# Published as source only, in Python: built by the setuptools of .venv.
SOURCE_ONLY = "antlr4-python3-runtime"

HEADER = """\
# The packages of .executorch/, the environment of ExecuTorch that make conformance uses: those that
# .venv has not, installed without dependencies, hashes checked (tools/executorch_setup.py).
# Written by: .venv/bin/python tools/executorch_setup.py --lock
"""


def install(folder: Path, lock: int) -> None:
    """Make the environment, let it see .venv's packages, and install the pinned ones."""
    with StepProgress("1/2 environment of ExecuTorch"):
        setup_env.make_venv(folder)
        place = sysconfig.get_path("purelib", vars={"base": str(folder)}, scheme=_scheme())
        Path(place, "below.pth").write_text(f"import site; site.addsitedir({base()!r})\n", "utf-8")
    pip = [str(venv_python(folder)), "-m", "pip", "install", "--progress-bar", "off", "--no-deps"]
    binary = ["--only-binary", ":all:", "--no-binary", SOURCE_ONLY, "--no-build-isolation"]
    run_step(
        "2/2 its packages, hashes checked",
        [*pip, "--require-hashes", *binary, "-r", str(LOCK)],
        lock=lock,
        log=folder / "setup.log",
        total=count_packages(LOCK.read_text(encoding="utf-8")),
    )


def _scheme() -> str:
    return "nt_venv" if os.name == "nt" else "posix_venv"


def base() -> str:
    """Where the environment that runs this has its packages."""
    return sysconfig.get_path("purelib")


def wanted_stamp(folder: Path) -> str:
    """What an up-to-date environment in the folder was built from."""
    python = f"{sys.version_info.major}.{sys.version_info.minor} {sys.base_prefix} {base()}"
    below = (ROOT / "requirements.lock").read_bytes()
    return digest(LOCK.read_bytes(), below, python.encode(), os.fsencode(folder))


def set_up(root: Path = ROOT) -> Path:
    """Build what is missing under root/.executorch; does nothing when nothing is. The folder.

    Raises:
        SetupError: it could not be installed, as where ExecuTorch has no wheel for this machine.
    """
    folder = root / ".executorch"
    keep_current(folder, lambda: wanted_stamp(folder), install)
    return folder


def pins(text: str) -> dict[str, str]:
    """Name → version of the packages in the text of a lock file."""
    return dict(re.findall(r"^([\w.-]+)==([^\s;\\]+)", text, flags=re.MULTILINE))


def beyond(body: str, known: dict[str, str]) -> str:
    """The text of a lock file without the packages that are there already.

    Example:
        >>> beyond("a==1 \\\\\\n    --hash=x\\nb==2 \\\\\\n    --hash=y\\n", {"a": "1"})
        'b==2 \\\\\\n    --hash=y\\n'
    """
    blocks = re.split(r"^(?=[\w.-]+==)", body, flags=re.MULTILINE)
    return "".join(block for block in blocks if pins(block).keys() - known.keys())


def write_lock() -> None:
    """Resolve tools/executorch.lock anew. Raises when uv fails."""
    known = pins((ROOT / "requirements.lock").read_text(encoding="utf-8"))
    with (ROOT / "pyproject.toml").open("rb") as stream:
        extra = tomllib.load(stream)["project"]["optional-dependencies"]["executorch"]
    wanted = [each for each in extra if not each.startswith("dimec[")]
    with tempfile.TemporaryDirectory() as folder:
        constraints, names = Path(folder) / "constraints.txt", Path(folder) / "names.in"
        constraints.write_text("".join(f"{k}=={v}\n" for k, v in known.items()), encoding="utf-8")
        names.write_text("\n".join(wanted) + "\n", encoding="utf-8")
        command = [sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--no-config"]
        command += ["--universal", "--python-version", "3.11", "--fork-strategy", "fewest"]
        command += ["--generate-hashes", "--no-header", "--no-annotate", "--no-emit-index-url"]
        command += ["--no-emit-find-links", "--constraints", str(constraints), str(names)]
        body = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    own = beyond(body, known)
    LOCK.write_text(HEADER + own, encoding="utf-8")
    print(f"lock: {count_packages(own)} packages in {LOCK.name}")


def main() -> int:
    """Set up, or resolve anew. Returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lock", action="store_true", help="resolve tools/executorch.lock anew")
    if parser.parse_args().lock:
        write_lock()
        return 0
    try:
        set_up()
    except (SetupError, OSError) as error:
        print(f"executorch: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
