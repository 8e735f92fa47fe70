"""Coverage is printed by room, and one that is far too low is an error."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from coverage_table import count_lines, table

ROOT = Path(__file__).resolve().parents[2]


def file(run: int, missed: int) -> dict[str, Any]:
    return {"summary": {"covered_lines": run, "missing_lines": missed}}


def test_lines_are_summed_by_room_and_100_is_said_of_whole_rooms_only() -> None:
    files = {
        "src/dimec/runs/run.py": file(1999, 1),
        "src/dimec/mobile/core.py": file(3, 1),
        "src/dimec/mobile/links/tls.py": file(2, 4),
        "src/dimec/base/errors.py": file(7, 0),
        "src/dimec/empty/__init__.py": file(0, 0),
    }
    rooms = count_lines({"files": files})
    assert rooms == {
        "base": (7, 0),
        "empty": (0, 0),
        "mobile": (5, 5),
        "runs": (1999, 1),
    }
    assert [line.split() for line in table(rooms).splitlines()] == [
        ["coverage", "lines", "missed", "%"],
        ["base", "7", "0", "100.0"],
        ["empty", "0", "0", "100.0"],
        ["mobile", "10", "5", "50.0"],
        ["runs", "2000", "1", "99.9"],
        ["all", "2017", "6", "99.7"],
    ]


@pytest.mark.parametrize(("floor", "said"), [("87.5", ""), ("88", "87.5 % of the lines ran")])
def test_fewer_lines_than_the_floor_are_an_error(tmp_path: Path, floor: str, said: str) -> None:
    """So that a measurement that has seen nothing does not pass for one."""
    written = tmp_path / "coverage.json"
    written.write_text(json.dumps({"files": {"src/dimec/runs/run.py": file(7, 1)}}))
    command = [sys.executable, str(ROOT / "tools" / "coverage_table.py"), str(written)]
    done = subprocess.run([*command, "--floor", floor], capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[-1].split() == ["all", "8", "1", "87.5"]
    assert said in done.stderr
    assert done.returncode == bool(said)
