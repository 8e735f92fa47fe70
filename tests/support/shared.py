"""What is dear to make and read by many tests: made once in a run of the suite."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """The folder that ``make`` fills: the same for every worker of the run.

    The first worker that needs it makes it, and others that need it meanwhile wait. What may take a
    lock in the folder, or be changed, is read through :func:`own_copy`.

    Args:
        factory: of the session.
        name: of the folder, one for each thing that is made.
        make: called with a folder that does not exist yet.
    """
    base = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent  # each worker has a folder of its own there
    folder = base / "shared" / name
    folder.parent.mkdir(exist_ok=True)
    made = folder.with_name(f"{name}.made")
    with FileLock(folder.with_name(f"{name}.lock")):
        if not made.exists():
            shutil.rmtree(folder, ignore_errors=True)  # of a worker that failed on the way
            make(folder)
            made.touch()
    return folder


def own_copy(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """This worker's copy of what :func:`made_once` makes."""
    return Path(shutil.copytree(made_once(factory, name, make), factory.mktemp(name) / name))
