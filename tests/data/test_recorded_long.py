"""Long tables of records: what was written is what is read, in whatever order."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dimec.base.errors import DataError
from dimec.data.frames import table_of
from dimec.data.recorded import Columns
from dimec.data.recorded_classes import classes_of, records_of
from dimec.data.recorded_long import read_long
from dimec.data.tables import read_table
from dimec.traces.records import Records
from dimec.traces.trace import Trace
from support.builders import make_trace


def read(rows: Sequence[Mapping[str, object]], columns: Columns | None = None) -> Records:
    told = read_long(table_of(rows), columns or Columns())
    return records_of(told, classes_of([told]))


def rows_of(
    trace: Trace, cells: Callable[[int, int], dict[str, object]]
) -> list[dict[str, object]]:
    """A row for each sample and exit; ``cells`` says what else is in it."""
    return [
        {
            "id": guid,
            "layer": layer,
            "gold": trace.label_names[trace.labels[i]],
            **cells(i, x),
        }
        for i, guid in enumerate(trace.guids)
        for x, layer in enumerate(trace.exits)
    ]


@given(st.integers(1, 8), st.integers(2, 4), st.integers(0, 99), st.randoms(use_true_random=False))
@settings(max_examples=30)
def test_a_trace_comes_back_as_it_was_written(
    n: int, classes: int, seed: int, order: Random
) -> None:
    trace = make_trace(n, classes=classes, seed=seed)
    sure = trace.confidences

    def answer(i: int, x: int) -> dict[str, object]:
        return {"pred": trace.label_names[trace.predictions[i, x]], "score": float(sure[i, x])}

    def odds(i: int, x: int) -> dict[str, object]:
        pairs = zip(trace.label_names, trace.probabilities[i, x].tolist(), strict=True)
        return {f"prob_{name}": value for name, value in pairs}

    for cells in (answer, odds):
        rows = rows_of(trace, cells)
        order.shuffle(rows)
        told = read_long(table_of(rows), Columns())
        back = records_of(told, trace.label_names)
        place = [trace.guids.index(guid) for guid in back.guids]
        assert back.exits == trace.exits
        assert not back.answers_only
        np.testing.assert_array_equal(back.labels, trace.labels[place])
        np.testing.assert_array_equal(back.probabilities.argmax(-1), trace.predictions[place])
        np.testing.assert_allclose(back.probabilities.max(-1), sure[place], atol=1e-3)
        if cells is odds:
            np.testing.assert_allclose(back.probabilities, trace.probabilities[place], atol=1e-3)


def test_answers_alone_are_certain_and_say_so() -> None:
    told = read(
        [
            {"id": "a", "exit": "exit_2", "pred": "no", "gold": "yes"},
            {"id": "a", "exit": "exit_6", "pred": "yes", "gold": "yes"},
        ]
    )
    assert told.answers_only
    assert told.exits == (2, 6)
    np.testing.assert_array_equal(told.probabilities, [[[1, 0], [0, 1]]])
    assert told.label_names == ("no", "yes")


def test_lengths_splits_and_costs_are_read_where_a_column_is_named() -> None:
    rows = [
        {"id": i, "exit": e, "pred": 1, "label": i, "n": 7 + i, "part": "Dev", "usd": e * (1 + i)}
        for i in (0, 1)
        for e in (1, 2)
    ]
    told = read(rows, Columns(length_column="n", split_column="part", cost_column="usd"))
    assert told.lengths.tolist() == [7, 8]
    assert told.splits == ("validation", "validation")
    assert told.costs.tolist() == [[1, 2], [2, 4]]
    assert told.mean_costs.tolist() == [1.5, 3.0]


GOOD = "id,exit,pred,label\na,1,x,x\na,2,y,x\nb,1,y,y\nb,2,y,y\n"


@pytest.mark.parametrize(
    ("before", "after", "problem"),
    [
        ("b,2,y,y\n", "b,1,y,y\n", "line 5: the sample 'b' has the exit 1 in line 4 already"),
        ("b,2,y,y\n", "", "line 4: the sample 'b' lacks the exit 2, which others have"),
        ("a,2,y,x", "a,2,y,y", "line 3: the label of column 'label' is another than that of the"),
        (
            "a,2,y,x",
            "a,deep,y,x",
            "line 3: expected a layer such as 3 in column 'exit', got 'deep'",
        ),
        ("a,2,y,x", "a,2,,x", "line 3: the label in column 'pred' is empty"),
        ("a,2,y,x", ",2,y,x", "line 3: expected the name of a sample in column 'id'"),
        (",pred", ",said", "expected a column 'prediction' or 'pred', the file has"),
        ("id,exit,pred,label", "id,exit,pred,truth", "expected a column 'label' or 'gold'"),
        (GOOD.partition("\n")[2], "", "has no rows"),
    ],
)
def test_a_broken_table_is_one_line_with_the_row(
    tmp_path: Path, before: str, after: str, problem: str
) -> None:
    path = tmp_path / "rows.csv"
    text = GOOD.replace(before, after, 1)
    path.write_text(text)
    with pytest.raises(DataError) as caught:
        read_long(read_table(path, "csv"), Columns())
    assert str(caught.value).startswith(str(path))
    assert problem in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("cells", "problem"),
    [
        (
            {"score": 0.3},
            "expected a confidence from 0.5 to 1 of an answer among 2 classes, got 0.3",
        ),
        (
            {"score": 87.5},
            "expected a confidence from 0.5 to 1 of an answer among 2 classes, got 87",
        ),
        ({"score": "high"}, "expected a number in column 'score', got 'high'"),
        ({"score": None}, "expected a number in column 'score', got nothing"),
        ({"p_x": 0.5, "p_y": 0.1}, "expected probabilities from 0 that add up to 1, got 0.5, 0.1"),
        ({"p_x": 1.2, "p_y": -0.2}, "expected probabilities from 0 that add up to 1, got 1.2, -0"),
        ({"p_x": 0.4, "p_y": 0.6}, "the prediction is 'x', and the class 'y' has a larger"),
    ],
)
def test_odds_that_do_not_fit_the_answer_are_one_line_with_the_row(
    cells: dict[str, object], problem: str
) -> None:
    rows: list[dict[str, object]] = [
        {"id": i, "exit": 1, "pred": "x", "label": "xy"[i], "score": 0.7} for i in (0, 1)
    ]
    if "p_x" in cells:
        rows = [{**row, "p_x": 0.7, "p_y": 0.3} for row in rows]
    rows[1] |= cells
    with pytest.raises(DataError) as caught:
        read(rows)
    assert str(caught.value).startswith(f"the table, row 2: {problem}")


def test_a_rounded_third_is_a_third() -> None:
    rows: list[dict[str, object]] = [
        {"id": i, "exit": 1, "pred": "a", "label": "abc"[i], "score": 0.33} for i in range(3)
    ]
    told = read(rows)
    assert told.probabilities.argmax(-1).tolist() == [[0]] * 3
    np.testing.assert_allclose(told.probabilities.max(-1), 1 / 3, atol=5e-4)
