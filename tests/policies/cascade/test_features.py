"""Features of a point: by hand, in their groups, and for one text as among others."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dimec.policies.cascade.features import (
    GROUPS,
    features,
    layout,
    principal_axes,
    signal_features,
)
from dimec.policies.cascade.single import features_one

Floats = np.ndarray[Any, np.dtype[np.float32]]


def probabilities(seed: int, rows: int, classes: int, peak: float) -> Floats:
    return np.random.default_rng(seed).dirichlet(np.full(classes, peak), rows).astype(np.float32)


def test_of_two_looks_at_two_classes_by_hand() -> None:
    looks = [np.array([[0.2, 0.8]]), np.array([[0.9, 0.1]])]
    got = features(np.array([[1.5, 2.5]]), looks)[0]
    four, nine = np.log(0.8 / 0.2), np.log(0.9 / 0.1)
    entropies = [-(p * np.log(p) + (1 - p) * np.log(1 - p)) for p in (0.8, 0.9)]
    expected = [1.5, 2.5]
    expected += [four, entropies[0], 1, four]  # class 1, and its log-odds
    expected += [nine, entropies[1], 0, 0]
    expected += [0]  # they do not agree
    expected += [four**2, nine**2]
    np.testing.assert_allclose(got, expected)
    groups = ["signal"] * 2 + ["earlier"] * 4
    groups += ["confidence", "shape", "class", "class", "earlier", "squares", "squares"]
    assert list(layout(2, 2, 1).groups) == groups


@pytest.mark.parametrize("classes", [1, 2, 3, 6, 7, 20])
@pytest.mark.parametrize("looks", [0, 1, 3])
def test_there_are_as_many_as_the_layout_says(classes: int, looks: int) -> None:
    seen = [probabilities(number, 5, classes, 1.0) for number in range(looks)]
    laid = layout(looks, classes, 4)
    assert features(np.zeros((5, 5)), seen).shape == (5, len(laid.groups))
    assert set(laid.groups) <= set(GROUPS)


@given(
    st.integers(0, 1000),
    st.integers(1, 40),
    st.sampled_from([1, 2, 3, 5, 6, 7, 9, 20]),
    st.integers(0, 4),
    st.sampled_from([0.001, 0.1, 1.0, 100.0]),
)
def test_one_text_has_to_the_last_bit_what_it_has_among_others(
    seed: int, rows: int, classes: int, looks: int, peak: float
) -> None:
    signal = np.random.default_rng(seed).standard_normal((rows, 3))
    seen = [probabilities(seed + number, rows, classes, peak) for number in range(looks)]
    whole = features(signal, seen)
    assert np.isfinite(whole).all()
    for row in range(rows):
        one = features_one(signal[row].tolist(), [look[row] for look in seen])
        assert np.array(one).tobytes() == whole[row].tobytes()


def test_certain_and_impossible_are_finite() -> None:
    looks = [np.array([[1.0, 0.0], [0.0, 1.0], [0.5, 0.5]], np.float32)]
    got = features(np.zeros((3, 1)), looks)
    assert np.isfinite(got).all()
    assert got[0, 1] == got[1, 1] > 10
    assert got[2, 1] == 0


class TestTheSignal:
    def test_is_the_length_and_the_embedding_along_its_axes(self) -> None:
        rng = np.random.default_rng(0)
        x = rng.standard_normal((500, 6)) * [9, 3, 1, 1, 1, 0]
        mean, axes = principal_axes(x, 2)
        got = signal_features(x, np.full(500, 20), mean, axes)
        np.testing.assert_allclose(got[:, 0], np.log(20))
        np.testing.assert_allclose(got[:, 1:].std(axis=0), 1)
        assert abs(np.corrcoef(got[:, 1], x[:, 0])[0, 1]) > 0.99

    @pytest.mark.parametrize(("rows", "kept"), [(1, 0), (2, 0), (3, 2), (50, 4)])
    def test_has_no_more_axes_than_there_are(self, rows: int, kept: int) -> None:
        x = np.random.default_rng(1).standard_normal((rows, 4))
        assert len(principal_axes(x, 8)[1]) == kept

    def test_of_one_text_is_what_it_is_among_others(self) -> None:
        rng = np.random.default_rng(2)
        x = rng.standard_normal((200, 384)).astype(np.float32)
        tokens = rng.integers(1, 200, 200)
        mean, axes = principal_axes(x, 8)
        whole = signal_features(x, tokens, mean, axes)
        for row in range(200):
            one = signal_features(x[row][None], tokens[row : row + 1], mean, axes)
            assert one.tobytes() == whole[row : row + 1].tobytes()
