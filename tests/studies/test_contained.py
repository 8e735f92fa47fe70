"""The cascade against what it contains, at the same budgets."""

from __future__ import annotations

import json

import numpy as np
import pytest

from dimec.base.progress import NoProgress
from dimec_studies.contained import BUDGETS, compute, tables, within
from dimec_studies.ladders import judged, ladders_of
from dimec_studies.stored import Stored
from support.kept import kept, look_plan
from support.rungs import rung_of


@pytest.fixture(scope="module")
def stored() -> Stored:
    return kept()


def test_a_budget_is_spent_on_the_most_accurate_policy_within_it() -> None:
    labels = np.ones(4, np.int64)
    cheap = rung_of("cheap", seen=(True, True, False, False), cost=1)
    good = rung_of("good", seen=(True, True, True, False), cost=3)
    dearer = rung_of("as good, dearer", seen=(True, False, True, True), cost=4)
    best = rung_of("best", seen=(True,) * 4, cost=9)
    rungs = [best, dearer, good, cheap]
    told = [within(rungs, labels, budget) for budget in (0.5, 1, 2.9, 3, 8, 9)]
    assert told == [None, cheap, cheap, good, good, best]


def test_a_result_compares_the_two_on_the_same_rows(stored: Stored) -> None:
    plan = look_plan()
    result = json.loads(json.dumps(compute([stored], plan, NoProgress())))
    task, ladders = result["tasks"]["some"], ladders_of(stored, plan, NoProgress())
    assert len(task["budgets"]) == BUDGETS
    prices = stored.deployment.prices
    assert (task["budgets"][0], task["budgets"][-1]) == (min(prices), prices[-1])
    rivals = {one["system"]: one for one in task["rivals"]}
    assert list(rivals)[:3] == ["all-mobile", "all-edge", "all-cloud"]
    assert not {"cascade", "bert-cloud"} & rivals.keys()  # itself; the same as all-cloud
    assert {name for name, one in rivals.items() if one["anchor"]} == {
        *("dimee", "cats", "calm", "fast-yet-safe")
    }
    rungs = {one.told: one for ladder in ladders.systems for one in ladder.rungs}
    rungs |= {one.told: one for one in ladders.tiers}
    for one in task["rivals"]:
        assert one["worse"] == sum(each["high"] < 0 for each in one["compared"])
        assert one["better"] == sum(each["low"] > 0 for each in one["compared"])
        for each in one["compared"]:
            ours, theirs = rungs[each["cascade"]], rungs[each["rival"]]
            assert max(ours.seen.cost.mean(), theirs.seen.cost.mean()) <= each["budget"] + 1e-9
            expected = judged(ours.right, theirs.right, plan.draws, 4)
            assert (each["difference"], each["low"], each["high"]) == pytest.approx(expected)
            cost = ours.shown.cost.mean() - theirs.shown.cost.mean()
            assert each["cost_difference"] == pytest.approx(cost)


def test_the_tables_tell_the_worst() -> None:
    def at(budget: float, difference: float, half: float) -> dict[str, float]:
        ends = {"low": difference - half, "high": difference + half}
        return {"budget": budget, "difference": difference, "cost_difference": -0.5} | ends

    rivals = [
        {"system": "knn", "title": "KNN", "anchor": False, "worse": 1, "better": 1, "alone": 2}
        | {"compared": [at(3, 0.05, 0.01), at(6, -0.02, 0.005)]},
        {"system": "cats", "title": "CATs", "anchor": True, "worse": 0, "better": 0, "alone": 0}
        | {"compared": [at(9, -0.001, 0.01)]},
        {"system": "calm", "title": "CALM", "anchor": True, "worse": 0, "better": 0, "alone": 0}
        | {"compared": []},
    ]
    made = tables({"tasks": {"mrpc": {"rivals": rivals}}})
    assert made["look-contained"][0] == "**MRPC**"
    assert made["look-contained"][4:] == [
        "| KNN | 2 | 1 | 1 | 2 | -2.00 (-2.50 to -1.50) | 6.00 | -0.50 |",
        "| CATs (anchor) | 1 | 0 | 0 | 0 | -0.10 (-1.10 to 0.90) | 9.00 | -0.50 |",
        "| CALM (anchor) | 0 | 0 | 0 | 0 |  |  |  |",
    ]
    (told,) = made["look-contained-told"]
    assert "of 3 comparisons, the cascade is more accurate beyond noise in 1" in told
    assert "less accurate beyond noise in 1 (KNN 1)" in told
    assert "-2.00 points (-2.50 to -1.50), against KNN at 6.00 λ" in told
    assert told.endswith(
        "in 2 more cases the rival has a policy so cheap and the cascade has none."
    )
