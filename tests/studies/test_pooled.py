"""Parts of a result, taken together over ways and seeds."""

from __future__ import annotations

from typing import Any

import pytest

from dimec_studies.beyond_tables import GOAL, tables_of
from dimec_studies.pooled import area, best_rival, best_ways, parts_of, pooled, rivals, tasks_in

Line = dict[str, Any]


def chosen(saved: float, drop: float, seen: float, error: float = 0.03) -> Line:
    return {
        "policy": "x",
        "saved": saved,
        "saved_error": error,
        "drop": drop,
        "drop_error": 0.004,
        "right": 0.8,
        "seen_saved": seen,
        "seen_drop": 0.0,
        "scenarios": {"phone-4g": {"milliseconds": saved + 0.1, "millijoules": saved + 0.2}},
    }


def part(task: str, recipe: str, seed: int, **systems: Line | None) -> Line:
    lines = {
        name.replace("_", "-"): {
            "stands": 3,
            "chosen": dict.fromkeys(("0", "0.005", "0.01", "0.02"), one),
            "area_share": 0.1 * len(recipe),
            "front": [[1.0, 0.7], [2.0, 0.8]],
        }
        for name, one in systems.items()
    }
    return {
        "task": task,
        "recipe": recipe,
        "seed": seed,
        "rows": {"validation": 100, "test": 100},
        "reference": {"test": {"is": "last exit", "right": 0.8}},
        "tiers": [{"name": "mobile", "layer": 2, "right": 0.7}],
        "charges": {charge: {"systems": lines} for charge in ("6", "15", "33")},
    }


@pytest.fixture
def result() -> Line:
    parts = [
        part("sst2", "own", 0, cascade=chosen(0.6, 0.001, 0.5), exit_cascade=chosen(0.3, 0, 0.3)),
        part("sst2", "joint", 0, cascade=chosen(0.7, 0.01, 0.4), pabee=chosen(0.2, 0, 0.1)),
        part("sst2", "own", 1, cascade=chosen(0.4, 0.003, 0.4, 0.04), exit_cascade=None),
        part("mrpc", "joint", 2, cascade=chosen(0.9, 0, 0.9)),  # no plain fine-tuning beside it
        part("mrpc", "own", 0, cascade=None, exit_cascade=chosen(0.1, 0.02, 0.2)),
    ]
    names = [f"{one['task']}/minilm-{one['recipe']}/{one['seed']}" for one in parts]
    plan = {"tasks": {"mrpc": {}, "sst2": {}, "cola": {}}, "scenarios": ["phone-4g"]}
    return {"plan": plan, "parts": dict(zip(names, parts, strict=True))}


def test_each_seed_takes_the_way_that_saves_most_on_validation(result: Line) -> None:
    one = pooled(parts_of(result, "sst2"), "cascade")
    assert one is not None
    assert one.ways == ("own", "own")
    assert one.saved == pytest.approx(0.5)  # and not the 0.7 that test rows would have shown
    assert one.drop == pytest.approx(0.002)
    assert one.saved_error == pytest.approx(0.05 / 2)  # 3, 4 and 5
    low, high = one.interval("saved")
    assert [low, high] == pytest.approx([0.451, 0.549], abs=1e-4)
    assert one.scenarios["phone-4g"] == pytest.approx({"milliseconds": 0.6, "millijoules": 0.7})
    alone = pooled(parts_of(result, "sst2"), "cascade", recipe="joint")
    assert alone is not None
    assert (alone.saved, alone.ways) == (0.7, ("joint",))


def test_where_nothing_is_within_the_drop_the_plain_fine_tuning_answers(result: Line) -> None:
    one = pooled(parts_of(result, "sst2"), "exit-cascade")
    assert one is not None
    assert one.ways == ("own", None)
    assert one.saved == pytest.approx(0.15)
    none = pooled(parts_of(result, "mrpc"), "cascade")
    assert none is not None
    assert (none.saved, none.drop, none.within) == (0, 0, False)
    assert pooled(parts_of(result, "sst2"), "knn") is None


def test_a_seed_without_the_plain_fine_tuning_is_left_out(result: Line) -> None:
    assert tasks_in(result) == ["mrpc", "sst2"]
    assert list(parts_of(result, "mrpc")) == [0]
    assert [len(parts) for parts in parts_of(result, "sst2").values()] == [2, 1]


def test_the_best_rival_is_the_one_that_saves_most_on_test(result: Line) -> None:
    assert rivals(result) == ["pabee", "exit-cascade"]
    name, one = best_rival(result, "sst2") or pytest.fail("none")
    assert (name, one.saved) == ("pabee", 0.2)
    assert area(parts_of(result, "sst2"), "cascade") == pytest.approx((0.5 + 0.3) / 2)
    assert area(parts_of(result, "sst2"), "knn") is None


def test_the_tables_tell_of_every_task_and_of_those_that_are_missing(result: Line) -> None:
    made = tables_of(result)
    assert "| SST-2 | 2 | 50.0 (45.1 to 54.9) | 0.20 (" in made["beyond-goal"]
    assert "CoLA" in made["beyond-told"]
    kept = f"At least {100 * GOAL:.0f} % saved at no more than half a point lost on test rows"
    assert f"{kept}: 1 (SST-2)" in made["beyond-told"]
    assert "MRPC is 43.0 points of cost away from the goal" in made["beyond-told"]
    assert (
        "| looking again (the cascade) | a model each | none | 50.0 (0.20) |"
        in (made["beyond-ablation"])
    )
    assert "60.0 / 70.0" in made["beyond-scenarios"]
    for text in made.values():
        assert text


def test_the_ways_stand_in_the_order_of_what_they_save_on_validation() -> None:
    def part(recipe: str, saved: float | None) -> dict[str, object]:
        chosen = None if saved is None else {"seen_saved": saved}
        return {"recipe": recipe, "charges": {"6": {"systems": {"x": {"chosen": {"0": chosen}}}}}}

    parts = [part("joint", 0.2), part("own", 0.5), part("own-twice", None)]
    assert [one["recipe"] for one in best_ways(parts, "6", "x", "0")] == ["own", "joint"]
    assert list(best_ways(parts, "6", "y", "0")) == []
