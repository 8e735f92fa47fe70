"""The benchmark of the queues: what it makes of measurements, and one small run of it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from benchmarks.bundles import Scene
from benchmarks.harness import Measured
from benchmarks.queues import LOADS, PARTS, row_share, simulated, told
from benchmarks.run import main

from benchmarks import fleet, queues
from support.tiny import reviews


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


def test_a_small_run(tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(tiny_bundle, tmp_path / "fp32")
    (tmp_path / "texts.json").write_text(json.dumps([text for text, _ in reviews(4)]), "utf-8")
    source = {"backbone": "tiny", "exits": [1, 2, 4], "train_rows": 1, "task": "reviews"}
    source |= {"tokens_mean": 5.0, "tokens_max": 9}
    monkeypatch.setattr(queues, "scene", lambda run, seed: Scene(tmp_path, "", source))
    monkeypatch.setattr(queues, "in_fresh_process", lambda f, **o: Measured(f(**o), 1))
    out = tmp_path / "results.json"
    options = ["--texts=4", "--requests=12", "--repeats=1", "--out", str(out)]
    assert main(["queues", *options]) == 0
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
