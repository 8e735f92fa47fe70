"""Tables are rebuilt from stored results, and those in the documents are the latest."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from dimec.settings.run import RunSettings
from experiments import (
    EXPERIMENTS,
    WITH_TABLES,
    all_tables,
    experiment_table,
    with_tables,
)

PLAN = {"fit": [{"name": "some grid"}]}
CONTEXT = {
    "task": "vader/movies",
    "train_rows": 3000,
    "samples": 1060,
    "backbone": "minilm-l6",
    "exits": [2, 3, 6],
}


def a_run(seed: int, accuracy: float, drop: float) -> dict[str, Any]:
    row = {
        "policy": "dimec-fixed",
        "accuracy": accuracy,
        "drop": drop,
        "drop_low": drop - 0.01,
        "drop_high": drop + 0.01,
        "gain": 0.01,
        "gain_low": -0.01,
        "gain_high": 0.03,
        "cost": 6.0,
        "reduction": 1 / 3,
        "reduction_low": 1 / 3,
        "reduction_high": 1 / 3,
        "share_mobile": 0.25,
        "share_edge": 0.25,
        "share_cloud": 0.5,
    }
    return {"seed": seed, "fits": [{"name": "some grid", "context": CONTEXT, "ledger": [row]}]}


def test_one_seed_shows_the_bootstrap_interval() -> None:
    table = experiment_table({"plan": PLAN, "runs": [a_run(0, 0.8, 0.02)]})
    assert "3,000 training and 1,060 test rows" in table
    assert "some grid, seed 0:" in table
    row = (
        "| dimec-fixed | 80.0 | 2.00 (1.00 to 3.00) | 1.00 (-1.00 to 3.00) | 6.00 | 33.3 "
        "| 25 / 25 / 50 |"
    )
    assert table.splitlines()[-1] == row


def test_several_seeds_show_mean_and_standard_deviation() -> None:
    runs = [a_run(0, 0.80, 0.01), a_run(1, 0.82, 0.03)]
    table = experiment_table({"plan": PLAN, "runs": runs})
    assert "mean ± standard deviation over seeds 0, 1" in table
    # By hand: accuracies 80 and 82 deviate by 1.414, drops 1 and 3 likewise.
    row = "| dimec-fixed | 81.0 ± 1.4 | 2.00 ± 1.41 | 1.00 | 6.00 | 33.3 | 25 / 25 / 50 |"
    assert table.splitlines()[-1] == row


def test_a_table_replaces_what_stands_between_its_markers() -> None:
    text = "before\n<!-- table: a -->\nold\n<!-- end -->\nafter"
    once = with_tables(text, {"a": "NEW"})
    assert once == "before\n<!-- table: a -->\n\nNEW\n\n<!-- end -->\nafter"
    assert with_tables(once, {"a": "NEW"}) == once


def test_an_unknown_table_is_an_error() -> None:
    with pytest.raises(KeyError, match="missing"):
        with_tables("<!-- table: missing --><!-- end -->", {})


@pytest.mark.parametrize("path", WITH_TABLES, ids=lambda path: path.name)
def test_the_tables_in_the_documents_are_those_of_the_stored_results(path: Path) -> None:
    text = path.read_text("utf-8")
    assert "<!-- table: " in text
    assert with_tables(text, all_tables()) == text


@pytest.mark.parametrize("path", sorted(EXPERIMENTS.glob("*.toml")), ids=lambda path: path.stem)
def test_every_experiment_is_a_valid_plan(path: Path) -> None:
    plan = tomllib.loads(path.read_text("utf-8"))
    assert plan["seeds"]
    assert plan["fit"]
    for seed in plan["seeds"]:
        RunSettings.of({**plan["settings"], "seed": seed})
