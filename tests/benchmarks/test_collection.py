"""The benchmark of the trace collection reads all of it."""

from __future__ import annotations

from benchmarks.collection import GOAL, NAME, Sizes, run

from dimec.traces.collection import CHECKOUT, Collection, load_trace


def test_it_lists_all_and_loads_one() -> None:
    result = run(Sizes(repeats=1), 0)
    assert [figure.name for figure in result.figures] == ["dimec traces list", "load_trace"]
    assert all(figure.goal == GOAL and figure.value > 0 for figure in result.figures)
    (note,) = result.notes
    assert f"{len(Collection.open(CHECKOUT).names())} trainings are listed" in note
    assert f"{NAME} has {len(load_trace(NAME)):,} rows" in note
    assert {len(taken) for taken in result.runs["seconds"].values()} == {1}
