"""How long the recorded traces take to be listed, and one to be loaded, each in a fresh process."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass

from benchmarks.harness import seconds
from benchmarks.imports import command_line
from benchmarks.results import Figure, Result

GOAL = 1.0
NAME = "sst2/minilm-joint/0/test"  # of the largest task
_LOAD = f"import dimec; print(len(dimec.load_trace({NAME!r})))"


@dataclass(frozen=True)
class Sizes:
    """``repeats``: how often each process is started."""

    repeats: int = 15


def run(sizes: Sizes, seed: int) -> Result:
    """Start each process in turn, ``repeats`` times; a first start of each is not counted."""
    commands = {
        "dimec traces list": [*command_line(), "traces", "list", "--json"],
        "load_trace": [sys.executable, "-c", _LOAD],
    }
    times: dict[str, list[float]] = {name: [] for name in commands}
    said: dict[str, bytes] = {}
    for repeat in range(sizes.repeats + 1):
        for name, command in commands.items():

            def start(name: str = name, command: list[str] = command) -> None:
                said[name] = _output(command)

            taken = seconds(start)
            if repeat:
                times[name].append(taken)
    figures = tuple(Figure.of(name, values, goal=GOAL) for name, values in times.items())
    trainings, rows = len(json.loads(said["dimec traces list"])), int(said["load_trace"])
    note = (
        f"{trainings} trainings are listed, and {NAME} has {rows:,} rows; each includes the start "
        "of the interpreter"
    )
    return Result(figures, (note,), {"seconds": times})


def _output(command: list[str]) -> bytes:
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=True).stdout
