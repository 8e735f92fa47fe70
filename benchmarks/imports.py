"""How long ``import dimec`` and ``dimec --help`` take, from starting the interpreter to its end."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from benchmarks.harness import seconds
from benchmarks.results import Figure, Result

IMPORT_GOAL, HELP_GOAL = 0.3, 0.5
# The names load on first use; these are those that a router or an evaluation needs.
_LIGHT = "CentroidRouter, CostModel, DataMap, Ledger, Trace, build_pools, evaluate"


@dataclass(frozen=True)
class Sizes:
    """``repeats``: how often each command is started."""

    repeats: int = 15


def run(sizes: Sizes, seed: int) -> Result:
    """Start each command in turn, ``repeats`` times; a first start of each is not counted."""
    commands = {
        "python -c pass": [sys.executable, "-c", "pass"],
        "import dimec": [sys.executable, "-c", "import dimec"],
        "its names without torch": [sys.executable, "-c", f"from dimec import {_LIGHT}"],
        "dimec --help": [*command_line(), "--help"],
    }
    times: dict[str, list[float]] = {name: [] for name in commands}
    for repeat in range(sizes.repeats + 1):
        for name, command in commands.items():
            taken = seconds(lambda command=command: _start(command))  # type: ignore[misc]
            if repeat:
                times[name].append(taken)
    goals = {"import dimec": IMPORT_GOAL, "dimec --help": HELP_GOAL}
    figures = tuple(Figure.of(name, values, goal=goals.get(name)) for name, values in times.items())
    note = "each includes the start of the interpreter, which 'python -c pass' shows alone"
    return Result(figures, (note,), {"seconds": times})


def command_line() -> list[str]:
    """What starts dimec: its script, where it is installed."""
    script = Path(sys.executable).parent / "dimec"
    return [str(script)] if script.exists() else [sys.executable, "-m", "dimec"]


def _start(command: list[str]) -> None:
    subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=True)
