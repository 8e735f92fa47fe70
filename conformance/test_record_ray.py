"""``dimec trace record --engine ray``: the trace of the local engine, by actors of a cluster."""

from __future__ import annotations

import os
import subprocess
import sysconfig
from pathlib import Path

from dimec.traces.trace import Trace
from support.tiny import command, dimec, environment, reviews, write_reviews

SIZE = 13_000  # four parts
_ROOT = Path(__file__).resolve().parents[1]


def test_a_trace_is_that_of_the_local_engine(ray_python: str, run: Path, tmp_path: Path) -> None:
    rows = write_reviews(tmp_path / "rows.csv", reviews(SIZE, seed=9))
    words = ("trace", "record", run, "--task", f"csv:{rows}", "--workers", "2", "--out")
    local, ray = tmp_path / "local.safetensors", tmp_path / "ray.safetensors"
    by_local = dimec(*words, local)
    assert by_local.code == 0, by_local.err
    # What made the run makes the graphs: torch, of this environment, whose packages come first.
    paths = os.pathsep.join((str(_ROOT / "src"), sysconfig.get_path("purelib")))
    by_ray = subprocess.run(
        [ray_python, *command(*words, ray, "--engine", "ray")[1:]],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env=environment(PYTHONPATH=paths),
    )
    assert by_ray.returncode == 0, by_ray.stderr
    assert by_ray.stdout == by_local.out.replace(str(local), str(ray))
    assert len(Trace.load(ray)) == SIZE
    assert ray.read_bytes() == local.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == [local.name, ray.name, rows.name]
