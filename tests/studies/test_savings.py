"""What is saved where a knob is set on validation rows alone."""

from __future__ import annotations

import json

import pytest

from dimec.base.progress import NoProgress
from dimec_studies.ladders import ladders_of
from dimec_studies.savings import chosen, compute, tables
from dimec_studies.stored import Stored
from support.kept import kept, look_plan
from support.rungs import rung_of


@pytest.fixture(scope="module")
def stored() -> Stored:
    return kept()


def test_the_knob_stands_where_validation_saves_most_within_the_drop() -> None:
    """Whatever the test rows say: the third saves more there, and loses nothing."""
    rungs = [
        rung_of("safe", validation=(0.0, 0.1), test=(0.0, 0.1)),
        rung_of("within", validation=(0.005, 0.4), test=(0.03, 0.3)),
        rung_of("beyond", validation=(0.006, 0.6), test=(0.0, 0.9)),
        rung_of("as good", validation=(0.0, 0.4), test=(0.0, 0.4)),
    ]
    assert chosen(rungs, 0.005) is rungs[1]
    assert chosen(rungs, 0.01) is rungs[2]
    assert chosen(rungs[2:3], 0.005) is None


def test_a_result_has_every_system_at_its_own_knob(stored: Stored) -> None:
    plan = look_plan()
    result = json.loads(json.dumps(compute([stored], plan, NoProgress())))
    assert result["allowed"] == [0.005, 0.01]
    task, ladders = result["tasks"]["some"], ladders_of(stored, plan, NoProgress())
    assert task["rows"] == {"validation": 60, "test": 60}
    by_name = {one["system"]: one for one in task["systems"]}
    assert list(by_name) == ["single", *(one.system for one in ladders.systems)]
    for ladder in ladders.systems:
        one = by_name[ladder.system]
        assert one["points"] == len(ladder.rungs)
        for allowed, best in zip(result["allowed"], one["chosen"], strict=True):
            within = [r.point for r in ladder.rungs if r.point.validation_drop <= allowed]
            if not within:
                assert best is None
                continue
            assert best["validation_drop"] <= allowed
            assert best["validation_reduction"] == max(p.validation_reduction for p in within)
    assert by_name["single"]["chosen"][0]["policy"] == "all-cloud"
    assert by_name["bert-cloud"]["area_share"] == pytest.approx(0)
    # All of a third is given away by the embeddings: there is much to gain, and it is gained.
    assert by_name["cascade"]["area_share"] > 0.5


def test_the_tables_say_where_more_is_lost_than_allowed(stored: Stored) -> None:
    task = compute([stored], look_plan(), NoProgress())["tasks"]["some"]
    figures = dict.fromkeys(task["oracle"], 0.0)
    lost = (
        figures
        | {"policy": "cascade at lambda 0.01", "reduction": 0.5}
        | {
            "validation_reduction": 0.4,
            "drop": 0.02,
            "drop_low": 0.011,
            "drop_high": 0.03,
        }
    )
    noisy = lost | {"policy": "knn at lambda 0.02", "drop_low": 0.001, "reduction": 0.3}
    fine = lost | {"policy": "cats at lambda 0.03", "drop": 0.004, "reduction": 0.2}
    systems = [
        {"system": name, "title": name.upper(), "points": 3, "area_share": 0.25, "front": []}
        | {"chosen": [one, None]}
        for name, one in (("cascade", lost), ("knn", noisy), ("cats", fine))
    ]
    made = tables({"allowed": [0.005, 0.01], "tasks": {"sst2": task | {"systems": systems}}})
    assert made["look-curves"] == ["![Accuracy over cost on SST-2, a line a system](look/sst2.svg)"]
    short = made["look-cascade"][2:]
    assert len(short) == 1
    assert short[0].startswith("| SST-2 | ")
    assert short[0].endswith("| 2.00 (1.10 to 3.00) | 50.0 (0.0 to 0.0) |")
    none = [one | {"chosen": [None, None]} for one in systems]
    bare = tables({"allowed": [0.005, 0.01], "tasks": {"sst2": task | {"systems": none}}})
    assert "none within it" in bare["look-cascade"][2]
    rows = [line for line in made["look-savings-0-5"] if line.startswith("|")][2:]
    assert rows[0] == "| CASCADE | λ 0.01 | 40.0 | 0.00 | 50.0 | 2.00 (1.10 to 3.00) | yes | 25.0 |"
    assert "yes, within noise" in rows[1]
    assert "| no |" in rows[2]
    assert all("none within it" in row for row in made["look-savings-1"][4:7])
    told = made["look-savings-told"]
    assert told[0].startswith("- SST-2, at most 0.5 points on validation: the cascade saves 50.0 %")
    assert "KNN saves most, 30.0 % at 2.00 points" in told[0]
    assert told[0].endswith("2 lose more than allowed on test, 1 of them beyond noise.")
    assert told[1].endswith("the cascade has no such point.")
