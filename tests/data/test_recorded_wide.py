"""Wide tables of records: the same as a long one, a column for each exit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pytest

from dimec.base.errors import DataError
from dimec.data.frames import table_of
from dimec.data.recorded import Columns
from dimec.data.recorded_classes import classes_of, records_of
from dimec.data.recorded_wide import read_wide
from dimec.traces.records import Records
from support.builders import make_trace

NAMED = Columns(exits={"first": 2, "last": 6}, confidences={"f": 2, "l": 6})


def read(rows: Sequence[Mapping[str, object]], columns: Columns | None = None) -> Records:
    told = read_wide(table_of(rows), columns or Columns())
    return records_of(told, classes_of([told]))


@pytest.mark.parametrize(
    ("answer", "sure"),
    [
        ("exit_{}", "exit_{}_confidence"),
        ("layer{}", "confidence_{}"),
        ("pred_{}", "conf_{}"),
        ("Exit {}", "Exit {}_conf"),
    ],
)
def test_a_trace_comes_back_by_the_names_that_columns_mostly_have(answer: str, sure: str) -> None:
    trace = make_trace(9, classes=3)
    rows: list[dict[str, object]] = []
    for i in range(len(trace)):
        row: dict[str, object] = {"label": trace.label_names[trace.labels[i]]}
        for x, layer in reversed(list(enumerate(trace.exits))):
            row[answer.format(layer)] = trace.label_names[trace.predictions[i, x]]
            row[sure.format(layer)] = trace.confidences[i, x]
        rows.append(row)
    back = read(rows)
    assert (back.exits, back.guids[8], back.answers_only) == ((2, 4, 6), "row-8", False)
    np.testing.assert_array_equal(back.labels, trace.labels)
    np.testing.assert_array_equal(back.probabilities.argmax(-1), trace.predictions)
    np.testing.assert_allclose(back.probabilities.max(-1), trace.confidences, atol=1e-3)


def test_columns_of_any_name_are_exits_where_they_are_named() -> None:
    row = {"idx": 3, "gold": 1, "first": 0, "last": 1, "l": 0.9, "f": 0.75, "last_cost": 2}
    told = read([row], NAMED)
    assert (told.guids, told.exits) == (("3",), (2, 6))
    np.testing.assert_allclose(told.probabilities, [[[0.75, 0.25], [0.1, 0.9]]], atol=1e-6)
    np.testing.assert_array_equal(told.costs, [[np.nan, 2]])
    assert read([row], Columns(exits=NAMED.exits)).answers_only


@pytest.mark.parametrize(
    ("change", "columns", "problem"),
    [
        ({"idx": 0}, NAMED, "row 2: the sample '0' of column 'idx' was in row 1 already"),
        ({"first": None}, NAMED, "row 2: the label in column 'first' is missing"),
        ({"f": 0.2}, NAMED, "row 2: expected a confidence from 0.5 to 1"),
        ({}, Columns(), "no column is called as an exit is, such as exit_2"),
        ({}, Columns(exits={"none": 1}), "expected a column 'none', the file has"),
        ({}, Columns(exits={"first": 1, "last": 1}), "'first' and 'last' are both of layer 1"),
        (
            {},
            Columns(exits=NAMED.exits, confidences={"f": 2}),
            "the exit 6 has no column of confidences, and others have",
        ),
        ({"n": -1}, Columns(exits=NAMED.exits, length_column="n"), "expected a number of tokens"),
        ({"n": "dev?"}, Columns(exits=NAMED.exits, split_column="n"), "expected train, validation"),
    ],
)
def test_a_broken_table_is_one_line_with_the_row(
    change: dict[str, object], columns: Columns, problem: str
) -> None:
    rows: list[dict[str, object]] = [
        {"idx": i, "gold": i, "first": 0, "last": i, "f": 0.8, "l": 0.9, "n": "test"}
        for i in (0, 1)
    ]
    if columns.length_column:
        rows[0]["n"] = 4
    rows[1] |= change
    with pytest.raises(DataError) as caught:
        read(rows, columns)
    assert problem in str(caught.value)
    assert "\n" not in str(caught.value)
