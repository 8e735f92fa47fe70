"""Paired losses against hand-worked rows, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dimec.base.errors import ConfigError, DataError
from dimec.contract.losses import UNKNOWN, Losses, Terms


def test_a_row_loses_where_only_the_reference_is_right() -> None:
    losses = Losses.of_right([1, 0, 1, 0, 0], [1, 1, 0, 0, 1])
    assert losses.drops().tolist() == [0, 1, -1, 0, 1]
    assert (len(losses), losses.plus, losses.minus, losses.mean) == (5, 2, 1, 0.2)


def test_labels_are_needed_only_where_the_answers_differ() -> None:
    policy, reference = [0, 1, 2, 1, 2], [0, 1, 0, 2, 1]
    labels = [UNKNOWN, 0, 0, 1, 0]
    losses = Losses.of_answers(policy, reference, labels)
    assert losses.drops().tolist() == [0, 0, 1, -1, 0]
    assert losses.differing == 3
    without = Losses.of_answers(policy, reference)
    assert without.differing == 3
    with pytest.raises(DataError, match="needs labels where the answers differ"):
        _ = without.plus


@given(st.lists(st.tuples(*[st.integers(0, 2)] * 3), min_size=1, max_size=30))
def test_answers_and_their_rightness_lose_the_same(rows: list[tuple[int, int, int]]) -> None:
    ours, theirs, gold = np.array(rows).T
    losses = Losses.of_answers(ours, theirs, gold)
    assert losses.drops().tolist() == Losses.of_right(ours == gold, theirs == gold).drops().tolist()
    assert abs(losses.plus - losses.minus) <= losses.differing
    assert losses.mean == pytest.approx((theirs == gold).mean() - (ours == gold).mean(), abs=1e-12)


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (lambda: Losses.of_right([], []), "got none"),
        (lambda: Losses.of_right([1, 0], [1]), r"\(2,\) rows, the reference \(1,\)"),
        (lambda: Losses.of_right([2], [1]), "policy: a row is right or not"),
        (lambda: Losses.of_right([1], [0.5]), "reference: a row is right or not"),
        (lambda: Losses.of_right([[1]], [[1]]), "one value a row"),
        (lambda: Losses.of_answers([0, 1], [0]), r"\(2,\) answers, the reference \(1,\)"),
        (lambda: Losses.of_answers([0, 1], [0, 1], [0]), r"\(1,\) labels do not fit \(2,\)"),
        (lambda: Losses.of_answers([0, 1], [1, 1], [-1, 1]), "1 of 1 rows .* have no label"),
        (lambda: Losses(np.array([2], np.int8)), "must be -1, 0 or 1"),
        (lambda: Losses(None), "one value a row"),
        (lambda: Losses(np.array([0, 1], np.int8), np.array([True, False])), "row 1: .* agree"),
        (lambda: Losses.of_right([1], [0]).differing, "needs the answers"),
    ],
)
def test_rows_that_make_no_sense_are_refused(made: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        made()


@pytest.mark.parametrize(
    ("drop", "confidence", "message"),
    [
        (0.0, 0.95, "max_accuracy_drop must be over 0"),
        (-1.0, 0.95, "got -1"),
        (100.0, 0.95, "under 100 points"),
        (float("nan"), 0.95, "got nan"),
        (0.5, 1.0, "confidence must be from 0.5"),
        (0.5, 0.4, "got 0.4"),
        (0.5, float("nan"), "got nan"),
    ],
)
def test_terms_that_cannot_be_are_refused(drop: float, confidence: float, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Terms.of(drop, confidence)


@pytest.mark.parametrize(("drop", "confidence"), [(0.5, 0.95), (1.0, 0.9), (5.0, 0.99)])
def test_the_fewest_rows_are_those_that_suffice_without_any_difference(
    drop: float, confidence: float
) -> None:
    terms = Terms.of(drop, confidence)
    n = terms.fewest_rows()
    assert (1 - terms.delta) ** n <= terms.alpha < (1 - terms.delta) ** (n - 1)
    terms.check_rows(n)
    with pytest.raises(DataError, match=f"{n - 1} calibration rows .* takes {n};"):
        terms.check_rows(n - 1)
