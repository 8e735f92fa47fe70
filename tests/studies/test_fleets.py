"""The simulated fleet's study: rows of every seed, differences with intervals, and its tables."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dimec.fleet.accounts import summary
from dimec.fleet.simulate import simulate
from dimec_studies.fleet_tables import fleet_tables
from dimec_studies.fleets import FleetPlan, busy, half_width, make

PLAN = FleetPlan(
    seeds=(0, 1),
    trace="mrpc/minilm-joint/0",
    mobiles=6,
    hours=8.0,
    busy_mobiles=10,
    busy_hours=0.5,
    policies=("bert-cloud", "dimec-adaptive-quantile"),
    layers=((2, 3),),
)


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    path = make(tmp_path_factory.mktemp("studies"), PLAN)
    assert Path(*path.parts[-2:]) == Path("simulations/fleet.json")
    made: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return made


def test_a_row_is_the_mean_of_simulations_of_its_seeds(
    record: dict[str, Any], tmp_path: Path
) -> None:
    row = record["policies"][0]
    settings = busy(PLAN, row["policy"])
    each = [
        summary(simulate(settings.model_copy(update={"seed": seed}), tmp_path))
        for seed in PLAN.seeds
    ]
    for name in ("accuracy", "cost", "usd_per_1000"):
        values = [one[name] for one in each]
        assert row[name] == pytest.approx([np.mean(values), half_width(values)])
    assert row["cloud_askings"][0] == pytest.approx(1.0, abs=0.2)  # all texts go there


def test_gains_are_taken_seed_by_seed(record: dict[str, Any]) -> None:
    by = {(one["mobiles"], one["way"]): one for one in record["sharing"]}
    assert len(by) == 6
    for kind in ("alike", "unlike"):
        alone, shared = by[kind, "alone"], by[kind, "shared"]
        assert alone["reward_gain"] == [0.0, 0.0]
        gain = shared["reward"][0] - alone["reward"][0]
        assert shared["reward_gain"][0] == pytest.approx(gain)
        assert shared["dispersion"][0] < alone["dispersion"][0]
        assert "dispersion" not in by[kind, "fixed"]


def test_half_an_interval_is_students() -> None:
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((4000, 5))
    held = np.mean([abs(row.mean()) <= half_width(row) for row in rows])
    assert abs(held - 0.95) < 4 * np.sqrt(0.95 * 0.05 / 4000)
    assert half_width([3.0]) == 0.0


def test_tables_have_a_row_each(record: dict[str, Any]) -> None:
    tables = fleet_tables(record)
    lines = {name: text.splitlines()[2:] for name, text in tables.items()}
    assert {name: len(rows) for name, rows in lines.items()} == {
        "fleet-policies": 2,
        "fleet-sharing": 6,
        "fleet-layers": 1,
    }
    assert "| bert-cloud |" in lines["fleet-policies"][0]
    assert "+" not in lines["fleet-sharing"][1]  # alone is what gains are over
