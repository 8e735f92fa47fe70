"""The studies' numbers in tables and sentences, against the stored results."""

from __future__ import annotations

import pytest

from dimec_studies.study_tables import (
    correlation,
    raters_findings,
    raters_table,
    selection_findings,
    selection_table,
    stream_findings,
    stream_table,
)
from support.stored_results import cartography_result, cells_of, robustness_result


def test_every_cell_of_the_streams_comes_from_its_pair() -> None:
    cells = robustness_result()["cells"]
    header, *rows = cells_of(stream_table(cells))
    assert header[3:7] == [
        "BERT in the cloud",
        "all-mobile",
        "Ours-F, quantile grid",
        "Ours-D, quantile grid",
    ]
    assert len(rows) == len(cells)
    for row, cell in zip(rows, cells, strict=True):
        assert row[0] == f"{cell['train']} → {cell['stream']}"
        for told, one in zip(row[3:7], cell["policies"].values(), strict=True):
            accuracy, reduction = (float(part) for part in told.split(", "))
            assert accuracy == pytest.approx(100 * one["accuracy"]["mean"], abs=0.051)
            assert reduction == pytest.approx(100 * one["reduction"]["mean"], abs=0.051)
        for told, key, scale in ((row[7], "accuracy", 100), (row[8], "cost", 1)):
            stored = cell["adaptive_minus_fixed"][key]
            middle, rest = told.split(" (")
            low, high = rest.rstrip(")").split(" to ")
            for shown, end in ((middle, "mean"), (low, "low"), (high, "high")):
                assert float(shown) == pytest.approx(scale * stored[end], abs=0.0051)


def test_a_policy_that_a_pair_lacks_is_left_empty() -> None:
    cells = robustness_result()["cells"]
    del cells[2]["policies"]["all-mobile"]
    assert cells_of(stream_table(cells))[3][4] == ""


def test_streams_of_other_domains_are_counted_apart() -> None:
    other, own = stream_findings(robustness_result()["cells"])
    # differences -0.8 … 0.8 by 0.2, intervals ± 0.5; own pairs -0.8, 0, 0.8
    assert other == (
        "Over 6 pairs of different domains Ours-D is +0.00 points more accurate than Ours-F on "
        "average (-0.60 to 0.60), at -0.40λ an answer. The 95 % interval of the difference lies "
        "above 0 for 1 and below 0 for 1."
    )
    assert own.startswith("Over 3 pairs of a domain with itself")
    assert "(-0.80 to 0.80)" in own
    cells = [c for c in robustness_result()["cells"] if c["train"] == c["stream"]]
    assert len(stream_findings(cells)) == 1


def test_correlations_are_means_over_the_seeds() -> None:
    raters = robustness_result()["raters"]
    assert correlation(raters[:2], "spearman_confidence") == pytest.approx(
        {"mean": -0.29, "low": -0.38, "high": -0.2}
    )
    rows = cells_of(raters_table(raters))[1:]
    assert rows[0][:4] == ["movies", "0, 1", "400", "-0.290 (-0.380 to -0.200)"]
    assert rows[2][5] == "-0.050 (-0.140 to 0.040)"


def test_an_interval_on_either_side_of_0_leaves_it_out() -> None:
    raters = robustness_result()["raters"]
    told = raters_findings(raters)
    assert told[0] == (
        "Confidence: ρ = -0.290 to -0.270; the interval leaves out 0 in 3 of 3 domains."
    )
    assert told[2].endswith("in 0 of 3 domains.")
    for entry in raters:
        entry["spearman_pool"] = {"value": 0.2, "low": 0.1, "high": 0.3}
    assert "ρ = 0.200; the interval leaves out 0 in 3 of 3" in raters_findings(raters)[2]


def test_selections_show_the_mean_and_the_seeds_range() -> None:
    rows = cartography_result()["rows"]
    header, *body = cells_of(selection_table(rows))
    assert header == ["rows trained on", "how many", "the own test split %", "tweets %", "amazon %"]
    assert body[0] == [
        "all",
        "2,400",
        "80.2 (80.0 to 80.3)",
        "70.1 (70.0 to 70.2)",
        "75.1 (75.0 to 75.2)",
    ]
    assert body[3][:3] == ["hard", "792", "73.9 (73.7 to 74.0)"]


def test_the_best_selection_is_named_and_all_rows_are_none() -> None:
    rows = cartography_result()["rows"]
    for row in rows:
        if row["kind"] == "hard":
            row["others"]["amazon"]["accuracy"] = 0.74
    assert selection_findings(rows) == (
        "The most accurate selection, mean over the seeds: ambiguous on the own test split "
        "(78.0 %), ambiguous on tweets (68.4 %) and hard on amazon (74.0 %)."
    )
