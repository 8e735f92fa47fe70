"""Sentences on the differences say what the figures say, worked by hand on small results."""

from __future__ import annotations

from typing import Any

import pytest

from dimec_studies.findings import find_setting, table_findings
from dimec_studies.own_findings import better_systems
from dimec_studies.paper import load_paper
from support.stored_results import cells_of, header, statistic

Row = dict[str, Any]


def _row(policy: str, accuracy: float, cost: float, **others: Any) -> Row:
    return {
        "policy": policy,
        "accuracy": statistic(accuracy),
        "metric": statistic(accuracy),
        "drop": statistic(0.9 - accuracy, 0.004),
        "reduction": statistic(1 - cost / 9, 0.01),
        "cost": statistic(cost),
        "gain": None,
        "shares": [0.5, 0.1, 0.4],
        **others,
    }


def _item(**tasks: list[Row]) -> dict[str, Any]:
    return header("table1") | {
        "tasks": {
            name: {
                "task": f"glue/{name}",
                "metric": "accuracy",
                "source": "made up",
                "reference": "bert-cloud",
                "seeds": [{"seed": 0, "rows": {"train": 4000, "validation": 500, "test": 600}}],
                "summary": rows,
            }
            for name, rows in tasks.items()
        }
    }


def _gain(middle: float, half: float) -> dict[str, Any]:
    return {"gain": statistic(middle, half)}


ITEM = _item(
    sst2=[
        _row("bert-cloud", 0.9, 9.0),
        _row("all-edge", 0.89, 5.5),
        _row("random", 0.85, 35 / 6),
        _row("adaee", 0.88, 8.1),
        _row("dimec-fixed-paper", 0.896, 4.5, **_gain(0.02, 0.01), shares=[0.8, 0.0, 0.2]),
        _row("dimec-adaptive-paper", 0.897, 4.0, **_gain(0.001, 0.01), shares=[0.8, 0.02, 0.18]),
        _row("oracle", 0.99, 3.1),
    ],
    cola=[
        _row("bert-cloud", 0.9, 9.0),
        _row("all-edge", 0.89, 5.5),
        _row("random", 0.85, 35 / 6),
        _row("adaee", 0.88, 9.9),
        _row("dimec-fixed-paper", 0.88, 5.5, **_gain(-0.02, 0.01)),
        _row("dimec-adaptive-paper", 0.87, 6.0, **_gain(-0.002, 0.01)),
        _row("oracle", 0.99, 3.1),
    ],
)


def _told(item: dict[str, Any], start: str) -> str:
    return next(t for t in table_findings(item, load_paper()) if t.startswith(f"**{start}"))


def test_sizes_and_what_they_leave_of_the_score() -> None:
    text = _told(ITEM, "Encoder and rows")
    assert "`tiny-encoder`, with exits 2, 3, 6; the paper's is BERT-base" in text
    # 4,000 of 67,349 and of 8,551
    assert "5.9 to 46.8 % of those in GLUE's training files" in text
    assert "-31.7 to 3.5 points of the score behind" in text
    _, sst2, cola = cells_of(text)
    assert sst2 == ["SST-2", "4,000", "5.9 %", "600", "90.0", "93.5", "3.5"]
    assert cola == ["CoLA", "4,000", "46.8 %", "600", "90.0", "58.3", "-31.7"]


def test_who_reaches_the_claim_here_and_in_the_paper() -> None:
    text = _told(ITEM, "The claim")
    # sst2: F drops 0.4 at 50 % less, D 0.3 at 55.6 % less; cola: 2 and 3 points
    assert "save 33.3 to 55.6 % at a drop of 0.30 to 3.00 points" in text
    assert (
        "2 of 4 pairs of row and task reach the claim (Ours-F, paper's grid on SST-2 and Ours-D, "
        "paper's grid on SST-2)" in text
    )
    assert "Table I, Ours-D reaches it on 4 of 6 tasks" in text
    rows = cells_of(text)
    assert rows[1] == [
        "SST-2",
        "Ours-F, paper's grid",
        "0.40 (0.00 to 0.80)",
        "50.0 (49.0 to 51.0)",
        "2.00 (1.00 to 3.00)",
        "0.5",
        "55",
    ]


def test_where_one_tier_gets_everything_nothing_is_routed() -> None:
    everything = {"shares": [0.004, 0.0, 0.996]}
    item = _item(
        sst2=[
            _row("bert-cloud", 0.9, 9.0),
            _row("all-mobile", 0.8, 3.0),
            _row("dimec-fixed-paper", 0.9, 8.9, **everything),
            _row("dimec-adaptive-paper", 0.9, 8.9, shares=[0.006, 0.0, 0.994]),
        ],
        cola=[
            _row("bert-cloud", 0.698, 9.0),
            _row("all-mobile", 0.703, 3.0),
            _row("dimec-fixed-paper", 0.9, 8.9, **everything),
            _row("dimec-adaptive-paper", 0.9, 8.9, shares=[1.0, 0.0, 0.0]),
        ],
    )
    text = _told(item, "Where nothing is decided")
    assert (
        "at least 99.5 % of the inputs to the mobile on CoLA (1 of 2 rows) and to the cloud on "
        "SST-2 (1 of 2 rows) and CoLA (1 of 2 rows): nothing is routed"
    ) in text
    assert "the smallest α, 0.55" in text
    assert "no less accurate than the reference on CoLA (70.3 against 69.8 %)" in text
    assert not any(t.startswith("**Where") for t in table_findings(ITEM, load_paper()))


def test_gains_are_counted_by_their_intervals() -> None:
    text = _told(ITEM, "What the embedding tells")
    assert "gain -2.00 to 2.00 points of accuracy, -0.03 on average" in text
    assert "of 4 intervals 1 lies above 0 and 1 below" in text


def test_better_systems_are_no_less_accurate_and_no_dearer() -> None:
    text = _told(ITEM, "Who does better")
    assert "there is one in 2 of 4 pairs" in text
    assert cells_of(text)[1:] == [
        ["Ours-F, paper's grid", "none", "all-edge"],
        ["Ours-D, paper's grid", "none", "all-edge"],
    ]


@pytest.mark.parametrize(
    ("accuracy", "cost", "better"),
    [
        (0.8, 5.0, False),  # the same
        (0.8, 4.9, True),
        (0.81, 5.0, True),
        (0.81, 5.1, False),
        (0.79, 1.0, False),
    ],
)
def test_better_means_better_in_one_and_worse_in_neither(
    accuracy: float, cost: float, better: bool
) -> None:
    mine = _row("dimec-fixed-paper", 0.8, 5.0)
    others = [
        _row(name, accuracy, cost)
        for name in ("pabee", "oracle", "random@x", "dimec-fixed-quantile")
    ]
    task = {"summary": others}
    assert better_systems(task, mine) == (["pabee"] if better else [])


def test_as_accurate_with_a_worse_metric_is_not_better() -> None:
    mine = _row("dimec-fixed-paper", 0.7, 5.0, metric=statistic(0.2))
    blind = _row("deebert", 0.71, 1.0, metric=statistic(0.0))
    sighted = _row("pabee", 0.71, 1.0, metric=statistic(0.2))
    assert better_systems({"summary": [blind, sighted]}, mine) == ["pabee"]


def test_adaptive_minus_fixed_and_the_papers() -> None:
    text = _told(ITEM, "Ours-D minus Ours-F")
    # accuracy (0.1 - 1) / 2; reduction (0.5 - 0.5) / 9 / 2 = 0
    assert "-0.45 points of accuracy and +0.0 of reduction (paper grid)" in text
    assert "ahead on 6 of 6 tasks, by 0.47 points" in text


def test_the_edges_share_is_told_by_grid() -> None:
    text = _told(ITEM, "The medium pool")
    assert "the edge answers 0.0 to 10.0 % with the paper's values of α and β" in text
    assert "quantiles" not in text
    assert "The smallest β of the paper is 0.05" in text


def test_split_systems_with_the_price_of_offloading() -> None:
    text = _told(ITEM, "Split systems")
    assert "AdaEE saves -10.0 to 10.0 % (the paper: 30 to 51 %)" in text
    assert "I-SplitEE" not in text
    assert "12λ, 133 % of all-cloud" in text


def test_random_and_what_the_prices_say_of_it() -> None:
    text = _told(ITEM, "Random")
    assert "saves 35.2 % on 2 tasks here; the mean of the three prices gives 35.2 %" in text


def test_precision_is_half_the_width_of_the_intervals() -> None:
    assert "reaches 0.40 points to either side" in _told(ITEM, "Precision")


def test_what_is_missing_is_left_out() -> None:
    item = _item(movies=[_row("bert-cloud", 0.9, 9.0, drop=statistic(0.0))])
    item["plan"] = {}
    (text,) = table_findings(item, load_paper())
    assert "Our encoder has exits 2, 3, 6" in text
    assert "GLUE's training files" not in text
    assert "behind the paper's" not in text


def test_settings_are_found_wherever_they_stand() -> None:
    assert find_setting({"a": [{"b": 1}, {"model": {"backbone": "x"}}]}, "backbone") == "x"
    assert find_setting({"a": 1}, "backbone") is None
