"""Print how much of each room of the package the tests ran, from what slipcover wrote.

Lines that only child processes run (servers, workers that are killed) count as not run.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path, PurePath
from typing import Any

WIDTH = 16


def room(path: str) -> str:
    """``mobile`` for src/dimec/mobile/core.py, ``run`` for src/dimec/runs/run.py."""
    return PurePath(path).parts[2].removesuffix(".py")


def count_lines(measured: Mapping[str, Any]) -> dict[str, tuple[int, int]]:
    """Lines that ran and lines that did not, by room, in the order of names.

    Args:
        measured: slipcover's JSON: ``files`` by path, each with a ``summary``.
    """
    sums: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for path, file in measured["files"].items():
        sums[room(path)][0] += file["summary"]["covered_lines"]
        sums[room(path)][1] += file["summary"]["missing_lines"]
    return {name: (run, missed) for name, (run, missed) in sorted(sums.items())}


def whole(rooms: Mapping[str, tuple[int, int]]) -> tuple[int, int]:
    """Lines that ran and lines that did not, of all rooms."""
    return sum(run for run, _ in rooms.values()), sum(missed for _, missed in rooms.values())


def percent(run: int, missed: int) -> float:
    """What ran; rounded down, so that 100 is said only where no line is missing."""
    return 1000 * run // (run + missed) / 10 if run + missed else 100.0


def table(rooms: Mapping[str, tuple[int, int]]) -> str:
    """A line a room and one for all: name, lines, lines that did not run, per cent that ran."""
    rows = [f"{'coverage':{WIDTH}} lines missed     %"]
    for name, (run, missed) in [*rooms.items(), ("all", whole(rooms))]:
        rows.append(f"{name:{WIDTH}} {run + missed:5} {missed:6} {percent(run, missed):5.1f}")
    return "\n".join(rows)


def main() -> None:
    """Parse and print. Leaves with an error where fewer lines ran than the floor asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("json", type=Path, help="what slipcover wrote")
    parser.add_argument("--floor", type=float, default=0.0, help="the least per cent that must run")
    given = parser.parse_args()
    rooms = count_lines(json.loads(given.json.read_text("utf-8")))
    print(table(rooms))
    share = percent(*whole(rooms))
    if share < given.floor:
        raise SystemExit(f"coverage: {share} % of the lines ran, fewer than {given.floor:g} %")


if __name__ == "__main__":
    main()
