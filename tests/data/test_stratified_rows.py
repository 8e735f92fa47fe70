"""Samples of rows in which every class has its share."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from dimec.data.splits import stratified_rows


@given(
    st.lists(st.integers(0, 3), min_size=1, max_size=60),
    st.integers(1, 60),
    st.integers(0, 9),
)
def test_a_stratified_sample_keeps_the_shares(labels: list[int], size: int, seed: int) -> None:
    array, size = np.array(labels), min(size, len(labels))
    rows = stratified_rows(array, size, seed)
    assert len(rows) == size
    assert rows.tolist() == sorted(set(rows.tolist()))
    assert np.array_equal(rows, stratified_rows(array, size, seed))
    for label in set(labels):
        fair = size * labels.count(label) / len(labels)
        # Each class is off by a half at the most of its own rows, and the last rows fill up.
        assert abs(int((array[rows] == label).sum()) - fair) <= len(set(labels)) / 2 + 0.5
