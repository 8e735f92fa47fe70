"""Install torch's CPU build, and never several gigabytes of CUDA packages by accident.

Runs inside the environment, after the locked packages. Which build ``pip install torch`` takes
depends on the platform and on where pip looks. So ask pip what it would take, read from the
metadata whether that is a CUDA build, and if so let uv fetch the CPU build: uv knows where the
torch project keeps it.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

_GPU_PACKAGE = re.compile(r"(nvidia|cuda)-|(pytorch-)?triton(-|$)")
_GPU_BUILD = re.compile(r"cu\d|rocm|xpu")


@dataclass(frozen=True)
class Candidate:
    """What pip would install: a version and its requirements, as its metadata has them."""

    version: str
    requires: tuple[str, ...]


def read_report(report: dict[str, Any]) -> Candidate:
    """Take torch out of a report of ``pip install --dry-run --no-deps --report``."""
    for item in report["install"]:
        metadata = item["metadata"]
        if canonicalize_name(metadata["name"]) == "torch":
            return Candidate(metadata["version"], tuple(metadata.get("requires_dist", ())))
    raise ValueError("pip's report does not mention torch")


def _needed_here(requirement: Requirement) -> bool:
    return requirement.marker is None or requirement.marker.evaluate({"extra": ""})


def gpu_requirements(requires: Iterable[str]) -> list[str]:
    """Names of the GPU packages among the requirements that apply on this platform."""
    parsed = [Requirement(line) for line in requires]
    names = [canonicalize_name(one.name) for one in parsed if _needed_here(one)]
    return sorted(name for name in names if _GPU_PACKAGE.match(name))


def pure_requirements(requires: Iterable[str]) -> list[str]:
    """The requirements that the lock file must hold: no GPU package on any platform, no extra."""
    kept = []
    for line in requires:
        one = Requirement(line)
        optional = one.marker is not None and "extra" in str(one.marker)
        if not optional and not _GPU_PACKAGE.match(canonicalize_name(one.name)):
            kept.append(str(one))
    return kept


def is_gpu_build(candidate: Candidate) -> bool:
    """Whether installing the candidate with its requirements would bring a GPU build here."""
    local = Version(candidate.version).local or ""
    return bool(_GPU_BUILD.match(local) or gpu_requirements(candidate.requires))


def ask_pip(version: str) -> Candidate | None:
    """Ask pip what it would take for torch; None when it finds nothing. Installs nothing."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        command = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed"]
        command += ["--no-deps", "--progress-bar", "off", "--report", str(report)]
        if subprocess.run([*command, f"torch=={version}"], check=False).returncode:
            return None
        return read_report(json.loads(report.read_text(encoding="utf-8")))


def _install(command: list[str]) -> bool:
    return subprocess.run([sys.executable, "-m", *command], check=False).returncode == 0


def install(version: str, flavour: str) -> str | None:
    """Install torch; return None, or one line that says why not and what to do."""
    wanted = f"torch=={version}"
    if flavour == "cuda":
        done = _install(["pip", "install", "--progress-bar", "off", wanted])
        return None if done else f"pip could not install {wanted} with its CUDA packages"
    candidate = ask_pip(version)
    if candidate is not None and not is_gpu_build(candidate):
        print(f"pip offers {candidate.version}, which needs no GPU packages", flush=True)
        command = ["pip", "install", "--no-deps", "--progress-bar", "off", wanted]
        done = _install(command)
        return None if done else f"pip found {wanted} but could not install it"
    print("pip offers no CPU build; asking uv for one", flush=True)
    command = ["uv", "pip", "install", "--python", sys.executable, "--no-deps"]
    if _install([*command, "--torch-backend=cpu", wanted]):
        return None
    offer = "nothing" if candidate is None else f"a GPU build ({candidate.version})"
    return (
        f"needs a CPU build of {wanted}, but pip offers {offer} and uv could not fetch one; "
        "point pip at a CPU build with PIP_INDEX_URL or PIP_FIND_LINKS, "
        "or accept the GPU build and its packages with DIMEC_TORCH=cuda"
    )


def main() -> int:
    """Parse, install, say what went wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("version", help="torch's version, such as 2.13.0")
    parser.add_argument("--flavour", choices=("cpu", "cuda"), default="cpu")
    arguments = parser.parse_args()
    problem = install(arguments.version, arguments.flavour)
    if problem:
        print(f"error: {problem}", flush=True)
    return 3 if problem else 0


if __name__ == "__main__":
    sys.exit(main())
