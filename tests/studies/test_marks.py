"""What the cascade saves beside a trial's figures: on curves made by hand and those stored."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dimec_studies.marks import PROFILE, marks, marks_table, saved_within
from dimec_studies.own_tiers import TITLES
from dimec_studies.plan import Plan

ROOT = Path(__file__).resolve().parents[2]
CURVE = [(-0.01, 0.1), (0.0, 0.3), (0.02, 0.5), (0.01, 0.6), (0.04, 0.9)]


@pytest.mark.parametrize(
    ("drop", "saved"),
    [
        (-0.02, None),  # every point loses more
        (-0.01, 0.1),
        (-0.005, 0.2),  # half way between the first two
        (0.005, 0.35),  # a quarter of the way to a point that loses 0.02
        (0.01, 0.6),  # a later λ that loses less than its neighbours
        (0.02, 0.7),  # a third of the way from it to the last
        (0.05, 0.9),
    ],
)
def test_the_most_within_a_drop(drop: float, saved: float | None) -> None:
    found = saved_within(CURVE, drop)
    assert found == (None if saved is None else pytest.approx(saved))


@given(
    st.lists(st.tuples(st.floats(-0.1, 0.1), st.floats(-1, 1)), min_size=1, max_size=8),
    st.floats(-0.1, 0.1),
    st.floats(0, 0.1),
)
def test_it_never_saves_less_where_more_may_be_lost(
    curve: list[tuple[float, float]], drop: float, more: float
) -> None:
    less = saved_within(curve, drop)
    if less is not None:
        wider = saved_within(curve, drop + more)
        assert wider is not None
        assert wider >= less - 1e-9


def test_every_mark_has_a_row_of_the_stored_result() -> None:
    result = json.loads((ROOT / "results" / "studies" / PROFILE / "tiers.json").read_text("utf-8"))
    assert list(marks()) == list(Plan.load(PROFILE).tasks)
    for task, variants in marks().items():
        lines = marks_table(result, TITLES, task)
        assert len(lines) == 2 + sum(len(points) for points in variants.values())
        for name, points in variants.items():
            for drop, saved in points:
                assert (
                    sum(f"| {TITLES[name]} | {drop:.2f} | {saved:.1f} |" in x for x in lines) == 1
                )


def test_the_page_counts_the_marks_that_are_passed() -> None:
    result = json.loads((ROOT / "results" / "studies" / PROFILE / "tiers.json").read_text("utf-8"))
    lines = [line for task in marks() for line in marks_table(result, TITLES, task)[2:]]
    cells = [line.strip("| ").split(" | ") for line in lines]
    passed = sum(float(ours) >= float(theirs) for _, _, theirs, ours in cells)
    page = (ROOT / "docs" / "look.md").read_text("utf-8")
    assert f"{passed} of the {len(cells)} marks are passed" in page
