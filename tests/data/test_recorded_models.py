"""Tables of which models were right: as routers' benchmarks publish them."""

from __future__ import annotations

import numpy as np
import pytest

from dimec.base.errors import ConfigError, DataError
from dimec.data.frames import table_of
from dimec.data.recorded import Columns
from dimec.data.recorded_models import models_called, read_models, tier_name_of
from dimec.tiers.tier import check_tier_name

ROWS = [
    {
        "sample_id": f"p{i}",
        "prompt": "which, of these?",
        "org/Big-1": i % 2,
        "org/Big-1|total_cost": 0.5 + i,
        "small": "True" if i == 0 else "False",
        "small|total_cost": "0.25",
    }
    for i in range(3)
]


def test_a_model_is_a_source_with_one_exit() -> None:
    told = read_models(table_of(ROWS), Columns())
    assert told.sources == ("org-big-1", "small")
    assert told.exits == (1, 1)
    assert told.guids == ("p0", "p1", "p2")
    assert told.label_names == ("wrong", "right")
    right = told.probabilities.argmax(-1) == told.labels[:, None]
    np.testing.assert_array_equal(right, [[False, True], [True, False], [False, False]])
    np.testing.assert_array_equal(told.mean_costs, [1.5, 0.25])
    assert told.answers_only
    assert told.outcomes_only


def test_columns_of_0_and_1_are_models_where_none_has_costs() -> None:
    rows = [{"id": i, "a": i, "B": float(i), "note": "x", "n": 2} for i in (0, 1)]
    told = read_models(table_of(rows), Columns())
    assert told.sources == ("a", "b")
    assert np.isnan(told.costs).all()


def test_scores_are_right_from_a_threshold_on() -> None:
    rows = [{"a_cost": 1, "a": score, "b_cost": 1, "b": 1} for score in (0.0, 0.49, 0.5, 1)]
    told = read_models(table_of(rows), Columns(threshold=0.5))
    assert told.probabilities[:, 0, 1].tolist() == [0, 0, 1, 1]
    with pytest.raises(DataError, match=r"row 2: expected 0 or 1 in column 'a', got 0.49.*thresh"):
        read_models(table_of(rows), Columns())
    with pytest.raises(DataError, match="row 1: expected a score from 0 to 1"):
        read_models(table_of([{**rows[0], "a": 7}]), Columns(threshold=0.5))


def test_models_are_named_by_their_columns_or_as_tiers() -> None:
    table = table_of(ROWS)
    assert models_called(table, "small, org/Big-1") == {"small": "small", "org-big-1": "org/Big-1"}
    assert models_called(table, "org-big-1") == {"org-big-1": "org/Big-1"}
    assert models_called(table, "dc=org/Big-1") == {"dc": "org/Big-1"}
    with pytest.raises(DataError, match="expected a column 'none'"):
        models_called(table, "none")
    with pytest.raises(ConfigError, match="two models would be called 'small'"):
        models_called(table, "small,small=org/Big-1")
    with pytest.raises(ConfigError, match="a tier's name is"):
        models_called(table, "Small One=small")


@pytest.mark.parametrize("column", ["gpt-4-1106-preview", "7B", "—", "a" * 50, "x/Y_z|v"])
def test_any_column_gives_a_name_that_a_tier_can_have(column: str) -> None:
    assert check_tier_name(tier_name_of(column))


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        ([{"a": 1, "b": "x"}], "expected two or more columns of models"),
        (
            [{"A": 1, "a": 0}],
            "the columns 'A' and 'a' would both be called a; name them with tiers",
        ),
        ([{"id": 1, "a": 1, "b": 0}] * 2, "row 2: the sample '1' of column 'id' was in row 1"),
        ([{"a": 1, "a_cost": 1, "b": "", "b_cost": 1}], "row 1: expected a number in column 'b'"),
        ([{"a": 1, "a_cost": "?", "b": 1, "b_cost": 1}], "row 1: expected a number in column 'a_c"),
    ],
)
def test_a_broken_table_is_one_line_with_the_row(
    rows: list[dict[str, object]], problem: str
) -> None:
    with pytest.raises(DataError) as caught:
        read_models(table_of(rows), Columns())
    assert problem in str(caught.value)
    assert "\n" not in str(caught.value)
