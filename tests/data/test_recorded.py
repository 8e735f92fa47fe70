"""What kind of table of records one is, by its columns alone."""

from __future__ import annotations

import pytest

from dimec.base.errors import ConfigError, DataError
from dimec.data.frames import table_of
from dimec.data.recorded import Columns, form_of, layer_in, number_in, refuse_idle_columns


@pytest.mark.parametrize(
    ("row", "form"),
    [
        ({"guid": 1, "layer": 2, "pred": 1, "gold": 0}, "long"),
        ({"exit_1": 0, "exit_2": 1, "label": 0}, "wide"),
        ({"a": 0, "b": 1, "prompt": "why?"}, "correctness"),
        ({"a": 0.5, "a_cost": 1, "b": 1, "b_cost": 1}, "correctness"),
    ],
)
def test_columns_tell_the_form(row: dict[str, object], form: str) -> None:
    assert form_of(table_of([row]), Columns()) == form


def test_what_they_do_not_tell_is_asked_for() -> None:
    for row in ({"label": 1, "text": "x"}, {"id": 0, "a": 1}, {"a": 0.5, "b": 0.2}):
        with pytest.raises(ConfigError, match=r"do not tell what it is; say with form long"):
            form_of(table_of([row]), Columns())
    scores = table_of([{"a": 0.5, "b": 0.2}])
    assert form_of(scores, Columns(), models=True) == "correctness"
    named = table_of([{"label": 1, "one": 1}])
    assert form_of(named, Columns(exits={"one": 1})) == "wide"
    with pytest.raises(DataError, match="expected a column 'no'"):
        form_of(named, Columns(label_column="no"))


def test_layers_are_told_in_several_ways() -> None:
    told = [layer_in(cell) for cell in (3, "3", 3.0, " exit_3", "Layer-3", "pred 3")]
    assert told == [3] * 6
    assert [layer_in(cell) for cell in (True, 2.5, "deep", "gpt-4", None, [1], -1)] == [None] * 7


def test_true_is_one_and_what_is_no_number_is_refused() -> None:
    table = table_of([{"a": 1}])
    told = [number_in(table, 1, cell, "a") for cell in (True, "false", "TRUE ", "0.5", 2)]
    assert told == [1, 0, 1, 0.5, 2]
    for cell in ("", None, "nan", float("inf"), "x", [1]):
        with pytest.raises(DataError, match="the table, row 1: expected a number in column 'a'"):
            number_in(table, 1, cell, "a")


@pytest.mark.parametrize(
    ("form", "columns", "named"),
    [
        ("wide", Columns(exit_column="a"), "exit_column is of long tables"),
        ("long", Columns(exits={"a": 1}), "exits is of wide tables"),
        ("long", Columns(threshold=0.0), "threshold is of correctness tables"),
        ("correctness", Columns(label_column="a"), "label_column does nothing"),
    ],
)
def test_columns_of_another_form_are_refused(form: str, columns: Columns, named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        refuse_idle_columns(form, columns)
    refuse_idle_columns(form, Columns())
