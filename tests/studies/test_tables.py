"""Every number of a table comes from the stored result, from the place that its column names."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from dimec_studies.paper import load_paper
from dimec_studies.tables import (
    deployment_caption,
    item_caption,
    limits_sentence,
    ordered_tasks,
    overview,
    recipes_table,
    scenario_table,
    settings_table,
    systems_table,
    task_caption,
    task_table,
)
from dimec_studies.titles import system_title, task_title
from support.stored_results import SCENARIOS, SYSTEMS, cells_of, table_result

PAPER = load_paper().tables["table1"]


def _pm(one: dict[str, Any]) -> str:
    return f"{100 * one['mean']:.1f} ± {100 * one['sd']:.1f}"


def _range(one: dict[str, Any] | None, digits: int) -> str:
    if one is None:
        return ""
    low, high = f"{100 * one['low']:.{digits}f}", f"{100 * one['high']:.{digits}f}"
    return f"{100 * one['mean']:.{digits}f} ({low} to {high})".replace("-0.00", "0.00")


@pytest.mark.parametrize("name", ["sst2", "cola"])
def test_every_cell_of_a_tasks_table_is_the_summarys(name: str) -> None:
    task = table_result()["tasks"][name]
    header, *rows = cells_of(task_table(task))
    has_metric = name == "cola"
    assert ("Matthews × 100" in header) == has_metric
    assert len(rows) == len(SYSTEMS)
    for row, stored in zip(rows, task["summary"], strict=True):
        told = dict(zip(header, row, strict=True))
        assert told["system"] == system_title(stored["policy"])
        assert told["accuracy %"] == _pm(stored["accuracy"])
        if has_metric:
            assert told["Matthews × 100"] == _pm(stored["metric"])
        assert told["drop, points"] == _range(stored["drop"], 2)
        assert told["gain over random@, points"] == _range(stored["gain"], 2)
        assert told["cost, λ"] == f"{stored['cost']['mean']:.2f}"
        assert told["reduction %"] == _range(stored["reduction"], 1)
        shares = " / ".join(f"{100 * share:.0f}" for share in stored["shares"])
        assert told["mobile / edge / cloud %"] == shares


@pytest.mark.parametrize(
    ("key", "column"),
    [("accuracy", 1), ("metric", 2), ("drop", 3), ("gain", 4), ("cost", 5), ("reduction", 6)],
)
def test_a_changed_figure_changes_its_own_cell_and_no_other(key: str, column: int) -> None:
    task = table_result()["tasks"]["cola"]
    changed = copy.deepcopy(task)
    place = [row["policy"] for row in task["summary"]].index("dimec-fixed-quantile")
    changed["summary"][place][key]["mean"] += 0.123
    before, after = cells_of(task_table(task)), cells_of(task_table(changed))
    different = [
        (i, j)
        for i, (one, other) in enumerate(zip(before, after, strict=True))
        for j, (a, b) in enumerate(zip(one, other, strict=True))
        if a != b
    ]
    assert different == [(place + 1, column)]


def test_one_seed_has_no_deviation_to_show() -> None:
    task = table_result()["tasks"]["sst2"]
    for row in task["summary"]:
        row["accuracy"]["sd"] = None
    assert "±" not in task_table(task)


def test_the_overview_sets_our_figures_under_the_papers() -> None:
    item = table_result()
    header, *rows = cells_of(overview(item, PAPER))
    assert header[2:] == ["SST-2 (accuracy)", "CoLA (Matthews)", "MRPC (F1)"]
    by_name = {(row[0], row[1]): row[2:] for row in rows}
    assert by_name["Ours-D", "paper, BERT-base"] == ["93.2, -61 %", "57.9, -50 %", "88.7, -62 %"]
    assert by_name["BERT", "paper, BERT-base"] == ["93.5, 0 %", "58.3, 0 %", "89.2, 0 %"]
    for policy, *_ in SYSTEMS:
        told = by_name.get((system_title(policy), "dimec"))
        if policy in ("all-mobile", "all-edge", "brand-new", "oracle", "random@dimec-fixed-paper"):
            assert told is None
            continue
        for cell, task in zip(told or [], ("sst2", "cola", "mrpc"), strict=True):
            stored = next(r for r in item["tasks"][task]["summary"] if r["policy"] == policy)
            score, change = cell.removesuffix(" %").split(", ")
            assert float(score) == pytest.approx(100 * stored["metric"]["mean"], abs=0.051)
            assert float(change) == pytest.approx(-100 * stored["reduction"]["mean"], abs=0.051)


def test_the_overview_leaves_empty_what_one_side_lacks() -> None:
    item = table_result()
    item["tasks"]["movies"] = item["tasks"].pop("sst2") | {"metric": "accuracy"}
    summary = item["tasks"]["cola"]["summary"]
    item["tasks"]["cola"]["summary"] = [row for row in summary if row["policy"] != "adaee"]
    rows = {(row[0], row[1]): row[2:] for row in cells_of(overview(item, PAPER))[1:]}
    assert ordered_tasks(item, PAPER) == ["cola", "mrpc", "movies"]
    assert rows["AdaEE", "paper, BERT-base"][2] == ""
    assert rows["AdaEE", "dimec"][0] == ""
    assert rows["AdaEE", "dimec"][1] != ""


def test_an_overview_without_the_papers_table_holds_ours_alone() -> None:
    rows = cells_of(overview(table_result(), None))[1:]
    assert {row[1] for row in rows} == {"dimec"}


def test_the_captions_say_what_the_figures_rest_on() -> None:
    item = table_result()
    assert item_caption(item) == (
        "Made 2026-01-31 with dimec 9.8.7 and torch 2.99.0. Trained on cpu (float32), torch "
        "2.99.0, 2026-01-29 to 2026-01-30."
    )
    told = deployment_caption(item)
    assert "Exits 2, 3, 6" in told
    assert "γ = 6λ (dimec's choice" in told
    assert "3λ from the mobile, 5.5λ from the edge and 9λ from the cloud" in told
    assert "λ = 0.02" in told
    item["deployment"]["costs"]["cloud_charge"] = 6.0
    assert "γ = 6λ (set by the plan)" in deployment_caption(item)
    assert task_caption(item["tasks"]["sst2"]) == (
        "`glue/sst2`: 1,234 training, 456 validation and 789 or 790 test rows; data: a stratified "
        "sample of 1,234 training rows. Seeds 0 and 1. Reference of drop and reduction, the better "
        "of two: a plain fine-tuning with one exit, in the cloud."
    )
    assert limits_sentence(item) == (
        "3 tasks, 2 seeds each, trained on 1,234 rows; test split only, settings chosen on the "
        "validation split."
    )


def test_limits_differ_where_tasks_do() -> None:
    item = table_result()
    item["tasks"]["sst2"]["seeds"][0]["rows"]["train"] = 4000
    item["tasks"]["cola"]["seeds"].pop()
    told = limits_sentence(item)
    assert told.startswith("3 tasks, 1 and 2 seeds each, trained on 1,234 to 4,000 rows")
    assert "Seed 0." in task_caption(item["tasks"]["cola"])


def test_scenarios_are_means_over_the_tasks() -> None:
    item = table_result()
    told = scenario_table(item["tasks"])
    assert told is not None
    header, *rows = cells_of(told)
    assert header == ["system", *SCENARIOS]
    for place, (policy, *_) in enumerate(SYSTEMS):
        for column, name in enumerate(SCENARIOS, start=1):
            stored = [task["summary"][place]["scenarios"][name] for task in item["tasks"].values()]
            ms, mj, usd = (part.split(" ")[0] for part in rows[place][column].split(", "))
            for shown, key in (
                (ms, "milliseconds"),
                (mj.replace(",", ""), "millijoules"),
                (usd.removeprefix("$"), "usd_per_1000"),
            ):
                centre = sum(one[key] for one in stored) / len(stored)
                assert float(shown.replace(",", "")) == pytest.approx(centre, rel=0.005), policy


def test_a_policy_that_a_task_lacks_has_no_mean_over_the_tasks() -> None:
    item = table_result()
    item["tasks"]["cola"]["summary"].pop()
    told = scenario_table(item["tasks"])
    assert told is not None
    assert "Oracle" not in told
    for task in item["tasks"].values():
        for row in task["summary"]:
            row["scenarios"] = {}
    assert scenario_table(item["tasks"]) is None


def test_settings_and_trainings_stand_by_seed() -> None:
    task = table_result()["tasks"]["sst2"]
    header, row = cells_of(settings_table(task))
    assert header == ["system", "seed 0", "seed 1"]
    assert row == ["DeeBERT", "threshold 0.15; patience 3", "threshold 0.15; patience 4"]
    header, *rows = cells_of(recipes_table(task))
    assert header[-3:] == ["exit 2 %", "exit 3 %", "exit 6 %"]
    assert rows[0] == ["joint", "0", "4", "2", "70.0", "75.0", "80.0"]
    assert rows[2] == ["joint", "1", "4", "2", "71.0", "75.0", "80.0"]
    assert rows[3] == ["two-stage", "1", "5", "1", "", "", "81.0"]


def test_every_row_has_its_name_and_known_ones_their_source() -> None:
    rows = {row[1]: row for row in cells_of(systems_table([table_result()]))[1:]}
    assert set(rows) == {f"`{policy}`" for policy, *_ in SYSTEMS}
    assert rows["`bert-plain`"][2:] == [
        "two-stage",
        "Devlin et al. 2019, arXiv 1810.04805; the paper, section V-B 1",
    ]
    assert rows["`brand-new`"] == ["brand-new", "`brand-new`", "joint", ""]


@pytest.mark.parametrize(
    ("policy", "title"),
    [
        ("deebert@two-stage", "DeeBERT, own recipe"),
        ("pabee@depth", "PABEE, own recipe"),
        ("deebert@depth", "DeeBERT, depth"),
        ("random@dimec-fixed-paper", "Random, shares of Ours-F, paper's grid"),
        ("random@something", "Random, shares of something"),
        ("something", "something"),
    ],
)
def test_titles_of_known_and_unknown_rows(policy: str, title: str) -> None:
    assert system_title(policy) == title


def test_titles_of_tasks() -> None:
    assert [task_title(name) for name in ("glue/mnli", "qqp", "movies")] == [
        "MNLI",
        "QQP",
        "movies",
    ]
