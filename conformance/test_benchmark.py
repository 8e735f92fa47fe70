"""The benchmark of our server against Triton runs, and finds both to answer alike."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def test_both_servers_are_measured_by_turns(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "results.json"
    command = [sys.executable, str(ROOT / "benchmarks" / "run.py"), "serving", "--run", str(run)]
    command += ["--texts=20", "--clients=3", "--threads=2", "--repeats=2", "--out", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    report = json.loads(out.read_text("utf-8"))["benchmarks"]["serving"]
    names = [figure["name"] for figure in report["figures"]]
    for precision in ("fp32", "int8"):
        for clients in ("1 client", "3 clients"):
            for what in ("answers a second", "p50", "p99"):
                assert f"{precision}, {clients}: dimec / Triton, {what}" in names
        assert report["runs"][precision]["triton"].startswith("Triton 2.")
    goals = {figure["name"]: figure for figure in report["figures"] if figure["goal"] is not None}
    assert len(goals) == 10  # and of the bare graph, one a precision
    for name, figure in goals.items():
        assert figure["at_least"] is name.endswith("answers a second")
