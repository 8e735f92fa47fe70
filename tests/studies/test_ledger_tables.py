"""A stored ledger becomes Markdown tables."""

from __future__ import annotations

from typing import Any

from dimec_studies.ledger_tables import ledger_tables

CONTEXT = {
    "task": "vader/movies",
    "train_rows": 3000,
    "samples": 1060,
    "backbone": "minilm-l6",
    "exits": [2, 3, 6],
}


def a_run(seed: int, accuracy: float, drop: float, task: str = "some") -> dict[str, Any]:
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
    fit = {"name": "some grid", "context": CONTEXT, "ledger": [row]}
    return {"task": task, "seed": seed, "fits": [fit, {**fit, "name": "another"}]}


def test_one_seed_shows_the_bootstrap_interval() -> None:
    table = ledger_tables({"runs": [a_run(0, 0.8, 0.02)]})
    assert "3,000 training and 1,060 test rows" in table
    assert "some grid, seed 0:" in table
    row = (
        "| dimec-fixed | 80.0 | 2.00 (1.00 to 3.00) | 1.00 (-1.00 to 3.00) | 6.00 | 33.3 "
        "| 25 / 25 / 50 |"
    )
    assert table.splitlines()[-1] == row


def test_below_one_seed_stands_where_the_knobs_are_set() -> None:
    """A point is as ``curves.json`` has it."""
    point = {
        **{"drop": 0.0038, "drop_low": -0.006, "drop_high": 0.013, "lam": 0.005, "settings": {}},
        **{"reduction": 0.473, "reduction_low": 0.443, "reduction_high": 0.503},
    }
    run = a_run(0, 0.8, 0.02)
    run["fits"] = [
        {
            **run["fits"][0],
            "allowed": 0.005,
            "within": [
                {"policy": "dimec-fixed", "title": "x", "point": None},
                {"policy": "cascade", "title": "Cascade", "point": point},
            ],
        }
    ]
    made = ledger_tables({"runs": [run]})
    assert "at most 0.5 points:" in made
    assert made.splitlines()[-2:] == [
        "| dimec-fixed | none within it |  |  |",
        "| cascade | λ 0.005 | 0.38 (-0.60 to 1.30) | 47.3 (44.3 to 50.3) |",
    ]
    both = ledger_tables({"runs": [run, {**run, "seed": 1}]})
    assert "at most" not in both


def test_several_seeds_show_mean_and_standard_deviation() -> None:
    runs = [a_run(0, 0.80, 0.01), a_run(1, 0.82, 0.03)]
    table = ledger_tables({"runs": runs})
    assert "mean ± standard deviation over seeds 0, 1" in table
    # By hand: accuracies 80 and 82 deviate by 1.414, drops 1 and 3 likewise.
    row = "| dimec-fixed | 81.0 ± 1.4 | 2.00 ± 1.41 | 1.00 | 6.00 | 33.3 | 25 / 25 / 50 |"
    assert table.splitlines()[-1] == row


def test_each_task_and_fit_has_a_table_of_its_own() -> None:
    runs = [a_run(0, 0.8, 0.01), a_run(1, 0.8, 0.01), a_run(0, 0.7, 0.01, "other")]
    text = ledger_tables({"runs": runs})
    titles = [line for line in text.splitlines() if line.endswith(":")]
    assert [title.rpartition("6, ")[2] for title in titles] == [
        "some grid, mean ± standard deviation over seeds 0, 1:",
        "another, mean ± standard deviation over seeds 0, 1:",
        "some grid, seed 0:",
        "another, seed 0:",
    ]
