from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dimec.base.errors import ConfigError, DataError
from dimec.data import Dataset, Splits, split_dataset
from dimec.data.splits import halves, stratified_counts, stratified_sample

SHARES = [Fraction(8, 10), Fraction(1, 10), Fraction(1, 10)]


def dataset_of(labels: list[int], predefined: list[str] | None = None) -> Dataset:
    return Dataset(
        task="csv:made.csv",
        texts=tuple(f"text {row}" for row in range(len(labels))),
        pairs=None,
        labels=np.array(labels, dtype=np.int64),
        label_names=tuple(f"class {code}" for code in range(max(labels, default=0) + 1)),
        guids=tuple(f"row-{row}" for row in range(len(labels))),
        predefined=None if predefined is None else tuple(predefined),
    )


def shuffled(sizes: list[int], seed: int = 0) -> list[int]:
    labels = np.repeat(np.arange(len(sizes)), sizes)
    return [int(label) for label in np.random.default_rng(seed).permutation(labels)]


def rows_of(part: Dataset) -> list[int]:
    return [int(guid.removeprefix("row-")) for guid in part.guids]


def parts(splits: Splits) -> list[Dataset]:
    return [splits.train, splits.validation, splits.test]


@settings(deadline=None)
@given(
    sizes=st.lists(st.integers(3, 60), min_size=2, max_size=6),
    seed=st.integers(0, 2**40),
    fractions=st.sampled_from([(0.8, 0.1, 0.1), (0.6, 0.2, 0.2), (0.34, 0.33, 0.33)]),
)
def test_splits_partition_the_rows_and_keep_their_order(
    sizes: list[int], seed: int, fractions: tuple[float, float, float]
) -> None:
    dataset = dataset_of(shuffled(sizes, seed))
    splits = split_dataset(dataset, seed=seed, fractions=fractions)
    rows = [rows_of(part) for part in parts(splits)]
    assert sorted(row for part in rows for row in part) == list(range(len(dataset)))
    assert all(part == sorted(part) for part in rows)
    for part, part_rows in zip(parts(splits), rows, strict=True):
        assert part.labels.tolist() == dataset.labels[part_rows].tolist()
        assert set(part.labels.tolist()) == set(range(len(sizes)))


@given(
    sizes=st.lists(st.integers(10, 300), min_size=1, max_size=60),
    weights=st.tuples(st.integers(1, 8), st.integers(1, 8), st.integers(1, 8)),
)
def test_counts_are_within_one_of_the_share_in_every_class_and_in_total(
    sizes: list[int], weights: tuple[int, int, int]
) -> None:
    # Every weight is at least 1/17 of the sum: sizes from 17 need no row to fill an empty split.
    sizes = [size + 7 for size in sizes]
    shares = [Fraction(weight, sum(weights)) for weight in weights]
    counts = stratified_counts(sizes, shares)
    assert counts.sum(axis=1).tolist() == sizes
    for size, row in zip(sizes, counts.tolist(), strict=True):
        assert all(abs(n - size * share) < 1 for n, share in zip(row, shares, strict=True))
    for total, share in zip(counts.sum(axis=0).tolist(), shares, strict=True):
        assert abs(total - sum(sizes) * share) < 2


def test_counts_by_hand() -> None:
    assert stratified_counts([100, 10], SHARES).tolist() == [[80, 10, 10], [8, 1, 1]]
    # Quotas 12, 1.5, 1.5: the second class gets the other half back.
    assert stratified_counts([15, 15], SHARES).tolist() == [[12, 2, 1], [12, 1, 2]]
    # Quotas 2.4, 0.3, 0.3: one row each all the same.
    assert stratified_counts([3], SHARES).tolist() == [[1, 1, 1]]
    many = stratified_counts([15] * 100, SHARES)
    assert many.sum(axis=0).tolist() == [1200, 150, 150]


def test_decimal_fractions_are_exact() -> None:
    splits = split_dataset(dataset_of(shuffled([1000, 2000])))
    assert [np.bincount(part.labels).tolist() for part in parts(splits)] == [
        [800, 1600],
        [100, 200],
        [100, 200],
    ]


def test_the_seed_decides() -> None:
    dataset = dataset_of(shuffled([200, 100]))
    first, again, other = (split_dataset(dataset, seed=seed) for seed in (5, 5, 6))
    assert rows_of(first.test) == rows_of(again.test)
    assert rows_of(first.train) == rows_of(again.train)
    assert rows_of(first.test) != rows_of(other.test)


def test_a_split_is_the_same_on_every_platform() -> None:
    """Pinned: a change here makes every stored run irreproducible."""
    splits = split_dataset(dataset_of([0, 1] * 20), seed=0)
    assert rows_of(splits.validation) == [5, 12, 16, 37]
    assert rows_of(splits.test) == [9, 26, 27, 38]


def test_the_split_does_not_depend_on_the_texts() -> None:
    dataset = dataset_of([0, 1] * 20)
    changed = replace(dataset, texts=("",) * 40)
    assert rows_of(split_dataset(changed).test) == rows_of(split_dataset(dataset).test)


@pytest.mark.parametrize("size", [2, 3, 50, 239, 240])
def test_max_train_rows_samples_training_only(size: int) -> None:
    dataset = dataset_of(shuffled([200, 100]))
    whole = split_dataset(dataset, seed=1)
    small = split_dataset(dataset, seed=1, max_train_rows=size)
    assert len(small.train) == size
    assert set(rows_of(small.train)) <= set(rows_of(whole.train))
    assert rows_of(small.train) == sorted(rows_of(small.train))
    assert rows_of(small.validation) == rows_of(whole.validation)
    assert rows_of(small.test) == rows_of(whole.test)
    positives = int((small.train.labels == 1).sum())
    assert abs(positives - size / 3) < 1
    assert positives >= 1


@pytest.mark.parametrize("predefined", [False, True])
def test_max_eval_rows_samples_validation_and_test_only(predefined: bool) -> None:
    names = ["train", "validation", "test", "test"] * 75
    dataset = dataset_of(shuffled([200, 100]), names)
    whole = split_dataset(dataset, seed=1, predefined=predefined)
    small = split_dataset(dataset, seed=1, predefined=predefined, max_eval_rows=12)
    assert rows_of(small.train) == rows_of(whole.train)
    for few, all_of_them in zip(parts(small)[1:], parts(whole)[1:], strict=True):
        assert len(few) == 12
        assert set(rows_of(few)) <= set(rows_of(all_of_them))
        assert rows_of(few) == sorted(rows_of(few))
        shares = np.bincount(all_of_them.labels) * 12 / len(all_of_them)
        assert np.abs(np.bincount(few.labels) - shares).max() < 1
    both = split_dataset(
        dataset, seed=1, predefined=predefined, max_train_rows=9, max_eval_rows=1000
    )
    assert [len(part) for part in parts(both)] == [9, len(whole.validation), len(whole.test)]


def test_a_rare_class_stays_in_the_training_sample() -> None:
    dataset = dataset_of(shuffled([1000, 12, 12]))
    train = split_dataset(dataset, max_train_rows=20).train
    assert np.bincount(train.labels).tolist() == [18, 1, 1]


def test_max_train_rows_above_the_training_rows_keeps_all() -> None:
    dataset = dataset_of(shuffled([50, 50]))
    assert len(split_dataset(dataset, max_train_rows=1000).train) == 80


def test_predefined_splits_are_kept() -> None:
    names = ["train", "train", "validation", "test", "train", "validation"]
    splits = split_dataset(dataset_of([0, 1, 0, 1, 0, 1], names), predefined=True)
    assert [rows_of(part) for part in parts(splits)] == [[0, 1, 4], [2, 5], [3]]


def test_a_files_own_splits_are_kept_by_default_and_those_of_glue_on_request() -> None:
    names = ["train", "train", "validation", "test"] * 10
    dataset = dataset_of([0, 1, 0, 1] * 10, names)
    assert rows_of(split_dataset(dataset).test) == list(range(3, 40, 4))
    assert len(split_dataset(dataset, predefined=False).test) == 4
    assert len(split_dataset(replace(dataset, task="glue/rte")).test) == 4


@pytest.mark.parametrize("held_out", ["validation", "test"])
def test_with_one_held_out_split_it_is_the_test_and_validation_is_a_tenth_of_training(
    held_out: str,
) -> None:
    labels = [*shuffled([100, 100]), 0, 1, 1]
    dataset = dataset_of(labels, ["train"] * 200 + [held_out] * 3)
    splits = split_dataset(dataset, predefined=True, seed=3)
    assert rows_of(splits.test) == [200, 201, 202]
    assert np.bincount(splits.validation.labels).tolist() == [10, 10]
    assert sorted(rows_of(splits.train) + rows_of(splits.validation)) == list(range(200))
    again = split_dataset(dataset, predefined=True, seed=3)
    other = split_dataset(dataset, predefined=True, seed=4)
    assert rows_of(again.validation) == rows_of(splits.validation)
    assert rows_of(other.validation) != rows_of(splits.validation)


@pytest.mark.parametrize(
    ("labels", "predefined", "message"),
    [
        ([0, 1], None, "no predefined splits; name the column .* split_column, or leave"),
        ([0, 1], ["train", "train"], "in validation or test, got train;"),
        ([0, 1], ["validation", "test"], "got validation, test;"),
        (
            [0, 1, 2, 1],
            ["train", "train", "validation", "test"],
            "validation .*'class 2', which no",
        ),
        ([0, 1, 1, 2], ["train", "train", "validation", "test"], "the test split .*'class 2'"),
        ([0, 0, 0, 0], ["train", "train", "validation", "test"], "one class only"),
        ([0, 1, 1, 1], ["train", "train", "train", "test"], "'class 0' has 1 rows, .* at least 2"),
    ],
)
def test_predefined_splits_that_cannot_be_used(
    labels: list[int], predefined: list[str] | None, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        split_dataset(dataset_of(labels, predefined), predefined=True)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0] * 50 + [1] * 2, "class 'class 1' has 2 rows, .* at least 3"),
        ([0] * 50 + [2] * 50, "class 'class 1' has 0 rows"),
        ([0] * 50, "one class only .class 0."),
        ([], "one class only"),
    ],
)
def test_too_few_rows_of_a_class(labels: list[int], message: str) -> None:
    with pytest.raises(DataError, match=message):
        split_dataset(dataset_of(labels))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seed": -1}, "seed is -1"),
        ({"fractions": (0.8, 0.2)}, "three positive numbers"),
        ({"fractions": (0.8, 0.2, 0.0)}, "three positive numbers"),
        ({"fractions": (0.8, 0.3, 0.1)}, "sum 1"),
        ({"fractions": (float("nan"), 0.5, 0.5)}, "three positive numbers"),
        ({"max_train_rows": 0}, "max_train_rows is 0"),
        ({"max_train_rows": 1}, "max_train_rows is 1, but .* 2 classes"),
        ({"max_eval_rows": 0}, "max_eval_rows is 0"),
        ({"max_eval_rows": 1}, "max_eval_rows is 1, but .* 2 classes"),
    ],
)
def test_settings_out_of_range(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        split_dataset(dataset_of([0, 1] * 20), **options)


@given(
    sizes=st.lists(st.integers(1, 40), min_size=2, max_size=5),
    seed=st.integers(0, 2**31),
    data=st.data(),
)
def test_a_sample_keeps_the_shares_of_the_classes_and_the_order(
    sizes: list[int], seed: int, data: st.DataObject
) -> None:
    dataset = dataset_of(shuffled(sizes))
    size = data.draw(st.integers(len(sizes), len(dataset)))
    sample = stratified_sample(dataset, size, seed=seed)
    rows = rows_of(sample)
    assert rows == sorted(set(rows))
    assert len(rows) == size
    assert rows_of(stratified_sample(dataset, size, seed=seed)) == rows
    counts = np.bincount(sample.labels, minlength=len(sizes))
    for count, whole in zip(counts.tolist(), sizes, strict=True):
        assert 1 <= count <= whole
        # Off by at most the rounding, and by the rows that fill empty classes.
        assert abs(count - Fraction(whole * size, len(dataset))) < len(sizes)


@given(
    st.lists(st.integers(0, 3), min_size=2, max_size=60),
    st.floats(0.05, 0.95),
    st.integers(0, 5),
)
def test_two_parts_hold_each_row_once_and_each_class_by_its_share(
    labels: list[int], share: float, seed: int
) -> None:
    codes = np.array(labels)
    first, second = halves(codes, share, seed)
    assert sorted([*first.tolist(), *second.tolist()]) == list(range(len(labels)))
    assert first.tolist() == sorted(first)
    for code in set(labels):
        size = labels.count(code)
        there = int((codes[first] == code).sum())
        if size == 1:
            assert there == 0
        else:
            assert 1 <= there <= size - 1
            assert abs(there - share * size) < 1 or there in (1, size - 1)
    np.testing.assert_array_equal(halves(codes, share, seed)[0], first)
