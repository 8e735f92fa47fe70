"""The figures' numbers in tables and sentences, against the stored results."""

from __future__ import annotations

from statistics import mean

from dimec_studies.figure_tables import (
    curve_findings,
    curves_table,
    exits_table,
    grouped,
    maps_table,
    seeds_of,
    shares_table,
    tsne_sentence,
)
from dimec_studies.titles import cost_title, task_title
from support.stored_results import (
    COSTS,
    TASKS,
    cells_of,
    fig1_result,
    fig3_result,
    fig4_result,
    fig5_result,
)


def test_groups_keep_the_order_of_appearance() -> None:
    entries = [{"a": 2, "b": 0}, {"a": 1, "b": 1}, {"a": 2, "b": 2}]
    assert grouped(entries, "a") == {(2,): [entries[0], entries[2]], (1,): [entries[1]]}
    assert seeds_of([{"seed": 2}, {"seed": 0}, {"seed": 2}]) == "0, 2"


def test_a_maps_row_counts_its_pools_and_the_variances_above_the_papers_beta() -> None:
    one = fig1_result()["maps"][1] | {
        "variance": [0.01, 0.05, 0.06, 0.2],
        "confidence": [0.9, 0.9, 0.9, 0.1],
        "pools": [0, 1, 1, 2],
        "samples": 12345,
    }
    header, row = cells_of(maps_table([one]))
    assert dict(zip(header, row, strict=True)) == {
        "task": "SST-2",
        "seed": "0",
        "grid": "quantile",
        "samples": "12,345",
        "drawn": "4",
        "α": "0.6",
        "β": "0.0123",
        "easy %": "25.0",
        "medium %": "50.0",
        "hard %": "25.0",
        "variance above 0.05 %": "50.0",
    }


def test_shares_are_means_over_the_seeds_by_grid() -> None:
    rows = cells_of(shares_table(fig3_result()["shares"]))[1:]
    # 0.5 + 0.01·k and 0.02 more with seed 1
    assert rows[0] == ["SST-2", "paper", "0, 1", "51.0", "10.0", "39.0"]
    assert rows[3] == ["CoLA", "quantile", "0, 1", "52.0", "10.0", "38.0"]
    assert len(rows) == 2 * len(TASKS)


def test_tiers_are_the_exits_at_which_they_stand() -> None:
    result = fig4_result()
    header, *rows = cells_of(exits_table(result["exits"]))
    assert header[2:] == [
        "mobile alone %",
        "edge alone %",
        "cloud alone %",
        "Ours-F, quantile grid %",
        "Ours-D, quantile grid %",
    ]
    assert rows[1] == ["CoLA", "0, 1", "71.3", "75.3", "83.2", "79.1", "79.5"]
    for entry in result["exits"]:
        entry["tiers"] = [6, 6, 6]
    assert cells_of(exits_table(result["exits"]))[2][2:5] == ["83.2", "83.2", "83.2"]


def test_a_router_that_a_seed_lacks_is_left_empty() -> None:
    result = fig4_result()
    del result["exits"][0]["policies"]["dimec-fixed-quantile"]
    row = cells_of(exits_table(result["exits"]))[1]
    assert row[0] == "SST-2"
    assert row[-1] == ""  # the columns follow the order of appearance
    assert row[-2] == "78.5"


def test_silhouettes_are_told() -> None:
    told = tsne_sentence(fig4_result()["tsne"])
    assert "QNLI 0.04 (seed 0) and SST-2 1.04 (seed 0)" in told


def test_the_ends_of_a_sweep_are_its_smallest_and_largest_value() -> None:
    curves = fig5_result()["curves"]
    for curve in curves:
        curve["points"] = curve["points"][::-1]  # the order of storage does not matter
    rows = {(row[0], row[1]): row for row in cells_of(curves_table(curves))[1:]}
    assert len(rows) == len(COSTS) * len(TASKS)
    for curve in curves:
        row = rows[cost_title(curve["cost"]), task_title(curve["task"])]
        both = [c for c in curves if (c["cost"], c["task"]) == (curve["cost"], curve["task"])]
        by_value = [{p["value"]: p for p in c["points"]} for c in both]
        assert row[4] == "0.50 to 6.00"
        for column, key in ((6, "accuracy"), (7, "reduction")):
            ends = [100 * mean(one[value][key] for one in by_value) for value in (0.5, 6.0)]
            assert row[column] == f"{ends[0]:.1f} → {ends[1]:.1f}"
        assert row[8] == "30 / 20 / 50 → 60 / 20 / 20"
        met = [100 * p["accuracy"] for one in by_value for p in one.values()]
        assert row[5] == f"{min(met):.1f} to {max(met):.1f}"


def test_rises_and_falls_are_counted_a_curve() -> None:
    told = curve_findings(fig5_result()["curves"])
    # 0.003·(c - 2) points a step, three steps
    assert told[0] == (
        "λ_m, a layer on the mobile: accuracy rises on 0 of 6 curves and falls on 6, by -1.80 "
        "points on average."
    )
    assert "rises on 0 of 6 curves and falls on 0, by +0.00" in told[2]
    assert "rises on 6 of 6 curves and falls on 0, by +1.80" in told[4]
