"""The contract's simulations: chances against enumeration, and what the tables say of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dimec_studies.contract_tables import TESTS, contract_tables
from dimec_studies.contracts import COUNTED, ContractPlan, make
from support import slow_contract as slow

PLAN = ContractPlan(
    rows=(30,),
    discordant=(0.2, 0.4),
    max_drops=(0.15,),
    draws=300,
    boundary=3,
    audited=400,
    peace=(0, 100),
    streams=60,
)


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    path = make(tmp_path_factory.mktemp("studies"), PLAN)
    assert Path(*path.parts[-2:]) == Path("simulations/contract.json")
    made: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return made


def test_acceptances_are_those_of_all_outcomes(record: dict[str, Any]) -> None:
    accepted = {
        name: np.array([accepts(30, x, y, 0.15, 0.05) for x, y in slow.outcomes(30)])
        for name, accepts in COUNTED.items()
    }
    cases = [one for one in record["tests"] if one["discordant"] is not None]
    assert len(cases) == 6
    for one in cases:
        share, drop = one["discordant"], one["true_drop"]
        chances = slow.chances(30, (share + drop) / 2, (share - drop) / 2)
        for name, held in accepted.items():
            assert one["accepted"][name] == pytest.approx(float(chances @ held), abs=1e-9)


def test_the_worst_is_the_worst_and_only_the_normal_interval_breaks_its_promise(
    record: dict[str, Any],
) -> None:
    (worst,) = (one for one in record["tests"] if one["discordant"] is None)
    for one in record["tests"]:
        if one["true_drop"] == 0.15 and one["discordant"] == 0.4:
            for name in COUNTED:
                assert one["accepted"][name] <= worst["accepted"][name] + 1e-12
    broken = {name for name, share in worst["accepted"].items() if share > 0.05}
    assert broken == {"normal"}


def test_monitors_speak_after_a_drift_and_seldom_before(record: dict[str, Any]) -> None:
    for one in record["monitors"]:
        assert one["false_alarms"] <= 0.2
        low, middle, high = (400 if delay is None else delay for delay in one["delay"])
        assert low <= middle <= high <= 400
    wide = [one for one in record["monitors"] if one["what"] == "differences"][-1]
    assert wide["after"] == 0.08
    assert wide["spoken"] > 0.8


def test_the_tables_have_every_case_and_test(record: dict[str, Any]) -> None:
    tables = contract_tables(record)
    assert set(tables) == {"contract-power", "contract-violations", "contract-monitor"}
    assert len(tables["contract-power"].splitlines()) == 2 + 4
    assert len(tables["contract-violations"].splitlines()) == 2 + 1 + 2
    assert len(tables["contract-monitor"].splitlines()) == 2 + len(record["monitors"])
    for title in TESTS.values():
        assert title in tables["contract-power"].splitlines()[0]
    assert "| 30 | 15 | the worst |" in tables["contract-violations"]
