"""The data map and its pools against the reference, and the exchange with allenai/cartography."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from dimec.base.errors import ConfigError, DataError
from dimec.cartography import (
    EASY,
    HARD,
    MEDIUM,
    POOL_NAMES,
    DataMap,
    build_pools,
    pool_sizes,
    softmax,
)
from support import reference
from support.builders import Floats, dynamics, eighths, float32, matrices, points

probabilities = st.floats(0, 1, allow_subnormal=False)


# --- The data map: equations 1 and 2 -------------------------------------------------------------


@given(matrices((2, 9), (1, 12), probabilities))
def test_coordinates_are_those_of_equations_1_and_2(gold: Floats) -> None:
    data_map = DataMap.from_probabilities(gold)
    expected = np.array(reference.data_map(gold.tolist()))
    np.testing.assert_allclose(data_map.confidence, expected[:, 0], rtol=0, atol=1e-12)
    np.testing.assert_allclose(data_map.variance, expected[:, 1], rtol=0, atol=1e-12)
    np.testing.assert_allclose(data_map.std, np.sqrt(data_map.variance), rtol=0, atol=0)
    assert len(data_map) == gold.shape[1]


@given(st.sampled_from([2, 4, 8]).flatmap(lambda e: matrices((e, e), (1, 12), eighths())))
def test_coordinates_of_exact_numbers_are_exact(gold: Floats) -> None:
    data_map = DataMap.from_probabilities(gold)
    expected = reference.data_map(gold.tolist())
    assert list(zip(data_map.confidence, data_map.variance, strict=True)) == expected


@given(probabilities, st.integers(2, 20))
def test_a_constant_probability_has_no_variance(p: float, epochs: int) -> None:
    assert DataMap.from_probabilities(np.full((epochs, 1), p)).variance.tolist() == [0.0]


@given(probabilities, st.integers(2, 20))
@example(0.7, 3)  # 0.7 + 0.7 + 0.7 = 2.0999999999999996
@example(0.55, 6)
def test_a_constant_probability_is_its_own_mean(p: float, epochs: int) -> None:
    """Otherwise a sample that always has μ = α falls into the hard pool."""
    data_map = DataMap.from_probabilities(np.full((epochs, 1), p))
    assert data_map.confidence.tolist() == [p]
    assert build_pools(data_map, p, 0.0).tolist() == [EASY]


@given(matrices((2, 6), (1, 8), probabilities))
def test_coordinates_stay_in_their_ranges(gold: Floats) -> None:
    data_map = DataMap.from_probabilities(gold)
    low, high = gold.min(axis=0), gold.max(axis=0)
    assert np.all(data_map.confidence >= low - 1e-15)
    assert np.all(data_map.confidence <= high + 1e-15)
    assert np.all(data_map.variance >= 0)
    assert np.all(data_map.variance <= 0.25 + 1e-15)


def test_correctness_is_the_share_of_epochs_predicted_right() -> None:
    gold = np.array([[0.9, 0.4], [0.6, 0.4], [0.5, 0.2], [0.1, 0.3]])
    assert DataMap.from_probabilities(gold).correctness.tolist() == [0.5, 0.0]
    # Of three classes 0.4 may well be the largest: told which were right, it counts them.
    right = np.array([[1, 1], [1, 1], [1, 0], [0, 0]], bool)
    assert DataMap.from_probabilities(gold, right).correctness.tolist() == [0.75, 0.5]


@pytest.mark.parametrize(
    ("gold", "expected", "got"),
    [
        (np.full((1, 3), 0.5), "at least 2 epochs", "got 1"),
        (np.zeros((0, 3)), "at least 2 epochs", "got 0"),
        (np.zeros((2, 0)), "at least one sample", "got none"),
        (np.zeros(4), r"\(E, N\)", r"\(4,\)"),
        (np.zeros((2, 3, 2)), r"\(E, N\)", r"\(2, 3, 2\)"),
        (np.array([[0.5, 0.5], [0.5, np.nan]]), "sample 1 in epoch 1", "nan"),
        (np.array([[np.inf], [0.5]]), "sample 0 in epoch 0", "inf"),
        (np.array([[0.5], [1.25]]), r"\[0, 1\]", "1.25"),
        (np.array([[-0.25], [0.5]]), r"\[0, 1\]", "-0.25"),
    ],
)
def test_probabilities_that_make_no_map_are_refused(gold: Floats, expected: str, got: str) -> None:
    with pytest.raises(DataError, match=expected) as caught:
        DataMap.from_probabilities(gold)
    caught.match(got)


def test_correct_of_another_shape_is_refused() -> None:
    with pytest.raises(DataError, match=r"\(3,\).*\(2, 3\)"):
        DataMap.from_probabilities(np.full((2, 3), 0.5), np.ones(3, bool))


# --- Pools: equation 5 ---------------------------------------------------------------------------


def test_three_pools_by_hand() -> None:
    """Two epochs, seven samples, α = 1/2 and β = 1/16."""
    gold = np.array(
        [
            [0.75, 1.0, 0.25, 0.5, 0.25, 0.0, 0.0],
            [0.75, 0.5, 0.25, 0.5, 0.75, 1.0, 0.5],
        ]
    )
    data_map = DataMap.from_probabilities(gold)
    # μ = half the sum; σ = the square of half the difference.
    assert data_map.confidence.tolist() == [0.75, 0.75, 0.25, 0.5, 0.5, 0.5, 0.25]
    assert data_map.variance.tolist() == [0.0, 0.0625, 0.0, 0.0, 0.0625, 0.25, 0.0625]
    # s1 and s4 have σ = β exactly: still easy. s3, s4 and s5 have μ = α exactly: not hard.
    pools = build_pools(data_map, 0.5, 0.0625)
    assert [POOL_NAMES[k] for k in pools] == [
        "easy",
        "easy",
        "hard",
        "easy",
        "easy",
        "medium",
        "hard",
    ]
    assert pool_sizes(pools) == (4, 1, 2)
    # β a little lower: s1 and s4 waver too much. α a little higher: the halves are hard.
    assert pool_sizes(build_pools(data_map, 0.5, 0.0624)) == (2, 3, 2)
    assert pool_sizes(build_pools(data_map, 0.51, 0.0625)) == (2, 0, 5)


@given(
    st.sampled_from([2, 4]).flatmap(lambda e: matrices((e, e), (1, 16), eighths())),
    eighths(),
    st.integers(0, 16).map(lambda k: k / 64),
)
def test_pools_are_those_of_equation_5(gold: Floats, alpha: float, beta: float) -> None:
    """Multiples of 1/8 make μ = α and σ = β common, and every comparison exact."""
    pools = build_pools(DataMap.from_probabilities(gold), alpha, beta)
    expected = [
        reference.pool_of(mu, s, alpha, beta) for mu, s in reference.data_map(gold.tolist())
    ]
    assert pools.tolist() == expected
    assert pools.dtype == np.int64


def test_a_wavering_sample_below_alpha_is_hard() -> None:
    """Where the paper's Algorithm 1, line 9, would make it medium."""
    assert build_pools(points([0.3], [0.2]), 0.55, 0.05).tolist() == [HARD]
    assert build_pools(points([0.6], [0.2]), 0.55, 0.05).tolist() == [MEDIUM]


@pytest.mark.parametrize(("alpha", "beta"), [(np.nan, 0.1), (0.5, np.inf), (-np.inf, 0.1)])
def test_thresholds_must_be_finite(alpha: float, beta: float) -> None:
    with pytest.raises(ConfigError, match=f"finite.*got.*({alpha}|{beta})"):
        build_pools(points([0.5], [0.1]), alpha, beta)


@given(st.lists(st.sampled_from([EASY, MEDIUM, HARD])))
def test_pool_sizes_count_each_code(codes: list[int]) -> None:
    sizes = pool_sizes(np.array(codes, np.int64))
    assert sizes == (codes.count(EASY), codes.count(MEDIUM), codes.count(HARD))


# --- Training dynamics ---------------------------------------------------------------------------


@given(matrices((1, 6), (1, 5), st.floats(-2000, 2000)))
def test_softmax_is_that_of_the_reference(logits: Floats) -> None:
    expected = [reference.softmax(row) for row in logits.tolist()]
    np.testing.assert_allclose(softmax(logits), expected, rtol=1e-13, atol=1e-300)


@given(
    st.tuples(st.integers(2, 4), st.integers(1, 3), st.integers(1, 6), st.integers(2, 4)).flatmap(
        lambda shape: st.tuples(
            hnp.arrays(np.float32, shape, elements=float32),
            st.lists(st.integers(0, shape[3] - 1), min_size=shape[2], max_size=shape[2]),
        )
    )
)
def test_the_map_of_each_exit_is_made_of_its_own_logits(
    case: tuple[npt.NDArray[np.float32], list[int]],
) -> None:
    logits, labels = case
    exits = (2, 4, 6)[: logits.shape[1]]
    record = dynamics(logits, labels, exits)
    assert record.epochs == len(logits)
    for x, layer in enumerate(exits):
        nested = logits[:, x].tolist()
        gold = [
            [reference.softmax(z)[y] for z, y in zip(rows, labels, strict=True)] for rows in nested
        ]
        np.testing.assert_allclose(record.gold(layer), gold, rtol=0, atol=1e-12)
        right = [
            np.mean([z.index(max(z)) == labels[i] for z in (rows[i] for rows in nested)])
            for i in range(len(labels))
        ]
        data_map = record.data_map(layer)
        expected = np.array(reference.data_map(gold))
        np.testing.assert_allclose(data_map.confidence, expected[:, 0], rtol=0, atol=1e-12)
        np.testing.assert_allclose(data_map.variance, expected[:, 1], rtol=0, atol=1e-12)
        np.testing.assert_allclose(data_map.correctness, right, rtol=0, atol=1e-12)


def test_an_exit_that_the_model_lacks_is_refused() -> None:
    record = dynamics(np.zeros((2, 2, 1, 2)), [0], (2, 4))
    for call in (record.gold, record.data_map):
        with pytest.raises(ConfigError, match=r"layer 3.*\[2, 4\]"):
            call(3)


@pytest.mark.parametrize(
    ("shape", "labels", "exits", "message"),
    [
        ((2, 1, 3, 2), [0, 1], (2,), r"\(2, 1, 3, 2\).*2 labels"),
        ((2, 2, 2, 2), [0, 1], (2,), r"\(2, 2, 2, 2\).*1 exits"),
        ((2, 1, 2, 2), [0, 2], (2,), "0 to 1"),
        ((2, 1, 2, 2), [-1, 0], (2,), "0 to 1"),
        ((2, 2, 2), [0, 1], (2,), r"\(2, 2, 2\)"),
    ],
)
def test_dynamics_that_do_not_fit_together_are_refused(
    shape: tuple[int, ...], labels: list[int], exits: tuple[int, ...], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        dynamics(np.zeros(shape), labels, exits)


def test_a_diverged_training_is_named_by_epoch_and_sample() -> None:
    logits = np.zeros((3, 1, 2, 2))
    logits[1, 0, 1] = np.nan
    with pytest.raises(DataError, match=r"sample 1 in epoch 1 is nan.*diverged"):
        dynamics(logits, [0, 1]).data_map(2)
