"""What a tracker is told, as values by name."""

from __future__ import annotations

import re

import numpy as np
import pytest

from dimec.settings.run import RunSettings
from dimec.training.stages import EpochRecord
from dimec.training.telling import (
    ledger_text,
    plain,
    values_of,
    values_of_fit,
    values_of_ledger,
    values_of_map,
    values_of_pools,
)
from support.builders import dynamics, ledger_of, make_trace, points


def test_the_task_score_stands_beside_the_accuracy() -> None:
    record = EpochRecord(4, 0.5, 2.0, 1.0, (0.7, 0.8), (0.1, 0.2), 2, (0.6, 0.4))
    assert values_of(record, (2, 6), "mcc") == {
        "loss": 0.5,
        "stage": 2,
        "seconds/training": 2.0,
        "seconds/validation": 1.0,
        "accuracy/exit-2": 0.7,
        "accuracy/exit-6": 0.8,
        "mcc/exit-2": 0.1,
        "mcc/exit-6": 0.2,
        "validation_loss/exit-2": 0.6,
        "validation_loss/exit-6": 0.4,
    }


def test_settings_are_told_as_plain_values() -> None:
    settings = RunSettings.of({"data": {"task": "csv:a.csv"}, "training": {"epochs": 7}, "seed": 3})
    told = plain(settings)
    assert told["training.epochs"] == 7
    assert told["data.task"] == "csv:a.csv"
    assert told["seed"] == 3
    assert all(isinstance(value, bool | int | float | str) for value in told.values())


def test_pools_are_counted_and_placed_on_the_map() -> None:
    # α 0.6 and β 0.02: two easy samples, one medium, none hard.
    data_map = points([0.9, 0.7, 0.8], [0.01, 0.0, 0.09])
    told = values_of_pools(data_map, 0.6, 0.02, ("mobile", "edge", "cloud"))
    assert told["pools/easy/samples"] == 2
    assert told["pools/easy/share"] == pytest.approx(2 / 3)
    assert told["pools/easy/confidence"] == pytest.approx(0.8)
    assert told["pools/easy/variability"] == pytest.approx(0.05)  # √0.01 and √0
    assert told["pools/medium/samples"] == 1
    assert told["pools/medium/variability"] == pytest.approx(0.3)
    assert told["pools/hard/samples"] == told["pools/hard/share"] == 0
    assert "pools/hard/confidence" not in told  # of no sample there is no mean
    assert set(values_of_pools(data_map, 0.6, None, ("phone", "dc box"))) == {
        *(f"pools/{name}/{what}" for name in ("phone",) for what in ("samples", "share")),
        *(f"pools/phone/{what}" for what in ("confidence", "variability", "correctness")),
        *(f"pools/dc box/{what}" for what in ("samples", "share")),
    }


def test_the_map_is_told_of_every_exit() -> None:
    logits = np.random.default_rng(0).standard_normal((3, 2, 6, 2))
    recorded = dynamics(logits, [0, 1] * 3, (2, 4))
    told = values_of_map(recorded)
    for layer in recorded.exits:
        place = recorded.data_map(layer)
        assert told[f"map/exit-{layer}/confidence"] == pytest.approx(place.confidence.mean())
        assert told[f"map/exit-{layer}/variability"] == pytest.approx(place.std.mean())
        assert told[f"map/exit-{layer}/correctness"] == pytest.approx(place.correctness.mean())
    assert len(told) == 3 * len(recorded.exits)


def test_one_epoch_makes_no_map() -> None:
    assert values_of_map(dynamics(np.zeros((1, 1, 2, 2)), [0, 1])) == {}


def test_the_numbers_of_a_fit_are_told_and_nothing_else() -> None:
    record = {"alpha": 0.6, "beta": None, "lam": 0.02, "tiers": [1, 2], "learns_online": True}
    assert values_of_fit(record) == {"fit/alpha": 0.6, "fit/lam": 0.02}


def test_a_ledger_is_told_row_by_row_under_names_that_every_tracker_takes() -> None:
    ledger = ledger_of(make_trace(40))
    told = values_of_ledger(ledger)
    assert len(told) == 5 * len(ledger.rows)
    assert all(re.fullmatch(r"[\w ./-]+", name) for name in told)
    row = ledger.row("all-edge")
    assert told["ledger/all-edge/accuracy"] == row.accuracy
    assert told["ledger/all-edge/reduction"] == row.reduction
    table = ledger_text(ledger).splitlines()
    assert len({line.count("|") for line in table}) == 1
    assert [line.split(" | ")[0] for line in table[2:]] == [
        f"| {one.policy}" for one in ledger.rows
    ]
    (told_row,) = [line for line in table if line.startswith("| all-edge |")]
    assert f"{row.drop:.4f}" in told_row
    assert np.isfinite(list(told.values())).all()
