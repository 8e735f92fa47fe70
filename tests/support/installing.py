"""Packages of others, built and installed beside dimec, without a network."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

_OFFLINE = ("--no-deps", "--no-build-isolation", "--no-index", "--quiet")


def build_wheel(source: Path, folder: Path) -> Path:
    """The wheel of a package; what a build leaves is left in a copy."""
    copy = shutil.copytree(source, folder / "source")
    _pip("wheel", *_OFFLINE, "--wheel-dir", str(folder), str(copy))
    (wheel,) = folder.glob("*.whl")
    return wheel


def install(wheel: Path, folder: Path) -> str:
    """What PYTHONPATH has to be for a Python that finds a wheel's packages beside those here."""
    _pip("install", *_OFFLINE, "--target", str(folder), str(wheel))
    return beside(folder)


def beside(folder: Path) -> str:
    """PYTHONPATH for a folder of packages beside those here."""
    return os.pathsep.join([str(folder), *sys.path])


def write_package(folder: Path, name: str, files: Mapping[str, str], points: str) -> None:
    """An installed distribution of version 1.0, written by hand: modules and entry points."""
    for file, text in files.items():
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_text(text, "utf-8")
    metadata = folder / f"{name}-1.0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(points)


def _pip(*words: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pip", *words], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
