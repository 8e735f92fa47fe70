"""What classes of tables are called, and that each has its probability."""

from __future__ import annotations

import pytest

from dimec.base.errors import ConfigError, DataError
from dimec.data.frames import table_of
from dimec.data.recorded import Columns
from dimec.data.recorded_classes import Answered, classes_of, probability_columns, records_of
from dimec.data.recorded_long import read_long


def answered(label: object, **cells: object) -> Answered:
    return read_long(table_of([{"id": 1, "exit": 1, "label": label, **cells}]), Columns())


def test_classes_are_all_that_any_table_names_in_order() -> None:
    parts = [answered(10, pred=9), answered(9, pred=2)]
    assert classes_of(parts) == ("2", "9", "10")
    assert classes_of(parts, ("10", "9", "2", "0")) == ("10", "9", "2", "0")
    with pytest.raises(ConfigError, match="label_names: the table has the class '2' too"):
        classes_of(parts, ("10", "9"))
    with pytest.raises(ConfigError, match="label_names: a class is there twice"):
        classes_of(parts, ("10", "9", "2", "2"))
    with pytest.raises(
        DataError, match="has one class only, 'x'; name the others with label_names"
    ):
        classes_of([answered("x", pred="x")])
    assert classes_of([answered("x", pred="x")], ("x", "y")) == ("x", "y")


def test_odds_alone_tell_the_answer_and_every_class_needs_its_own() -> None:
    part = answered(1, p_0=0.25, p_1=0.75)
    told = records_of(part, classes_of([part]))
    assert told.probabilities.tolist() == [[[0.25, 0.75]]]
    assert not told.answers_only
    lacking = answered("z", prob_x=0.25, prob_y=0.75)
    with pytest.raises(DataError, match="no column has the probability of the class 'z'; add"):
        records_of(lacking, classes_of([lacking]))


def test_columns_of_probabilities_are_told_by_their_beginning() -> None:
    table = table_of([{"prob_a": 1, "prob_b": 0, "p_value": 3, "prob_": 2}])
    assert probability_columns(table) == {"prob_a": "a", "prob_b": "b"}
    assert probability_columns(table_of([{"p_value": 3}])) == {}
