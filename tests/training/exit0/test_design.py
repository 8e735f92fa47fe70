"""Which weights exit 0 gets, and its features counted by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dimec.bundle.exit0_rows import bigram_rows
from dimec.training.exit0.design import Plan, design_of, plan_of

TEXTS = [[0, 5, 6, 5, 1], [0, 6, 7, 1], [0, 5, 6, 8, 1], [0, 1]]
IDS = np.array([one for text in TEXTS for one in text])
OFFSETS = np.cumsum([0, *map(len, TEXTS)])


def plan(**options: Any) -> Plan:
    values = {"vocabulary": 10, "classes": 2, "width": 4, "left_out": (0, 1), "separator": 1}
    return plan_of(IDS, OFFSETS, **{**values, **options})


def test_a_token_needs_two_texts() -> None:
    """7 and 8 stand in one each; 0 and 1 are special."""
    assert plan().ids.tolist() == [5, 6]
    assert plan(left_out=(0, 1, 5)).ids.tolist() == [6]


def test_there_are_about_two_rows_for_each_two_neighbours() -> None:
    # 5 6 5, 6 7, 5 6 8 end to end have the neighbours 56, 65, 56, 67, 75, 56, 68.
    assert plan().bits == 4
    assert plan(bigrams=False).bits == 0
    assert plan(pairs=True).bits == 0
    assert plan(left_out=range(10)).bits == 0


def test_texts_by_hand() -> None:
    made = plan()
    design = design_of(made, IDS, OFFSETS)
    assert design.n.tolist() == [3, 1, 2, 0]
    expected = np.zeros((4, 2 + 16))
    expected[:, :2] = [[2, 1], [0, 1], [1, 1], [0, 0]]
    for first, second, rows in ((5, 6, [0, 2]), (6, 5, [0])):
        column = 2 + int(bigram_rows(np.array([first, second]), made.bits)[0])
        expected[rows, column] += 1
    np.testing.assert_array_equal(design.counts.toarray(), expected)
    assert design.shares.shape == (4, 0)


@pytest.mark.parametrize(("power", "scale"), [(0.0, 1.0), (0.5, 4 / 3), (1.0, 16 / 9)])
def test_counts_are_divided_in_typical_units(power: float, scale: float) -> None:
    """A text of 9 tokens where 16 are typical."""
    ids = np.full(18, 5)
    design = design_of(plan(), ids, np.array([0, 9, 18]))
    features = design.features(power, typical=16.0).toarray()
    np.testing.assert_allclose(features[:, 0], 9 * scale, rtol=1e-12)


def test_pairs_by_hand() -> None:
    """First only, second only, both; then the bins of the common token among 2, 1 and 2."""
    made = Plan(np.array([5, 6], np.int32), 0, True, 1, 10)
    pairs = [[0, 5, 5, 1, 6, 5, 1], [0, 5, 1, 6, 1], [0, 1, 7, 1]]
    ids, offsets = np.concatenate(pairs), np.cumsum([0, *map(len, pairs)])
    design = design_of(made, ids, offsets)
    assert design.n.tolist() == [2, 2, 0]
    #                first  second both
    expected = [[0, 0, 0, 1, 1, 0], [1, 0, 0, 1, 0, 0], [0] * 6]
    np.testing.assert_array_equal(design.counts.toarray(), expected)
    bins = [np.flatnonzero(row).tolist() for row in design.shares.toarray()]
    assert bins == [[10, 21 + 20, 42 + 10], [0, 21, 42], []]
