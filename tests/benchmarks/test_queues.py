"""The benchmark of the queues: what it makes of measurements, and one small run of it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from benchmarks.harness import Measured
from benchmarks.queues import LOADS, PARTS, row_share, simulated, told
from benchmarks.run import main

from benchmarks import bundles, fleet, queues


def test_the_share_of_a_row_is_that_of_runs_of_so_many() -> None:
    alone, share, batch = 0.01, 0.3, 16
    row = alone * (1 - share + share * batch) / batch
    assert row_share(row, alone, batch) == pytest.approx(share)
    assert row_share(2 * alone, alone, batch) == 1.0
    assert row_share(0.0, alone, batch) == 0.0


def test_a_station_that_batches_is_the_faster_one_under_load() -> None:
    rng = np.random.default_rng(0)
    moments, work = np.cumsum(rng.exponential(1.0, 2000)), np.full(2000, 0.95)
    batched, single = simulated(moments, work, 0.2)
    assert told(batched)["p99"] < told(single)["p99"]
    assert batched.min() >= 0.95 - 1e-9


def test_a_small_run(
    finished_run: Path, tmp_path: Path, one_trace: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (bundles, queues):
        monkeypatch.setattr(module, "in_fresh_process", lambda f, **o: Measured(f(**o), 1))
    out = tmp_path / "results.json"
    options = ["--texts=4", "--requests=12", "--repeats=1", "--run", str(finished_run)]
    assert main(["queues", *options, "--out", str(out)]) == 0
    bundles.scene.cache_clear()
    bundles._KEPT.pop().cleanup()
    read = json.loads(out.read_text("utf-8"))["benchmarks"]["queues"]
    assert len(read["figures"]) == 2 + 3 * len(LOADS) * len(PARTS)
    assert all(figure["value"] > 0 for figure in read["figures"][0:1] + read["figures"][2:])
    assert [one["load"] for one in read["runs"]["measured"]] == list(LOADS)


def test_a_small_fleet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fleet, "in_fresh_process", lambda f, **o: Measured(f(**o), 1))
    out = tmp_path / "results.json"
    assert main(["fleet", "--mobiles=20", "--texts=10", "--repeats=2", "--out", str(out)]) == 0
    read = json.loads(out.read_text("utf-8"))["benchmarks"]["fleet"]
    goals = [figure["goal"] for figure in read["figures"]]
    assert goals == [fleet.GOAL, fleet.LINEAR] * len(fleet.POLICIES) + [None]
    assert 100 < read["runs"]["inputs"] < 400
    for size in ("whole", "tenth"):
        assert [len(read["runs"][size][name]) for name in fleet.POLICIES] == [2] * 3
