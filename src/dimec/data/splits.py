"""Stratified, seeded splits: the same on every platform and with every version of numpy.

Each row draws one 64-bit key from PCG64, whose raw stream numpy promises never to change (the
methods of ``Generator`` carry no such promise). Within a class the rows, sorted by key, fill the
training, validation and test splits in turn. Counts are computed in exact fractions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from dimec.base.errors import ConfigError, DataError, option
from dimec.data.dataset import SPLITS, Dataset, Splits


def check_part(rows: str) -> None:
    """Refuse what is no part of a dataset to trace.

    Raises:
        ConfigError: neither ``"all"`` nor ``"test"``.
    """
    if rows not in ("all", "test"):
        raise ConfigError(f"{option('rows')} is {rows!r}; use 'all' or 'test'")


def split_dataset(
    dataset: Dataset,
    *,
    seed: int = 0,
    predefined: bool | None = None,
    fractions: Sequence[float] = (0.8, 0.1, 0.1),
    max_train_rows: int | None = None,
    max_eval_rows: int | None = None,
) -> Splits:
    """Cut a dataset into training, validation and test rows.

    By default all rows are pooled and split anew, stratified by label (design: 80/10/10 over the
    union of the labelled files), unless a file has a column that says otherwise. Inside each split
    rows keep the dataset's order.

    With ``predefined`` the source's own splits are used. Where the source has only one labelled
    split beside training (GLUE's test labels are not public), that split becomes the TEST split,
    so that scores are on GLUE's dev set, and the validation split is a stratified, seeded share
    ``fractions[1]`` (a tenth) of the training rows.

    Args:
        dataset: the rows.
        seed: non-negative; the same seed gives the same split.
        predefined: use ``dataset.predefined``; default: where it is a file's, by its split column.
        fractions: shares of training, validation and test; positive, sum 1.
        max_train_rows: keep a stratified, seeded sample of this many training rows.
        max_eval_rows: the same for validation and for test, each.

    Raises:
        ConfigError: seed, fractions, max_train_rows or max_eval_rows out of range.
        DataError: a class has too few rows to be in every split; predefined splits are wanted and
            there are none; or a label of validation or test does not occur in training.
    """
    limits = {"max_train_rows": max_train_rows, "max_eval_rows": max_eval_rows}
    shares = _check_settings(seed, fractions, limits)
    keys = np.random.PCG64(np.random.SeedSequence(int(seed))).random_raw(len(dataset))
    if predefined is None:  # GLUE's are kept by request only
        predefined = dataset.predefined is not None and ":" in dataset.task
    codes = _predefined_codes(dataset, keys, shares) if predefined else _deal(dataset, keys, shares)
    parts = []
    for code in range(3):
        rows = np.flatnonzero(codes == code)
        setting = "max_eval_rows" if code else "max_train_rows"
        size = limits[setting]
        if size is not None and size < len(rows):
            rows = _sample(dataset, rows, keys, size, setting)
        parts.append(dataset.take(rows))
    splits = Splits(*parts)
    check_labels(splits.train, splits.validation, splits.test)
    return splits


def stratified_sample(dataset: Dataset, size: int, *, seed: int = 0) -> Dataset:
    """``size`` rows, every class by its share and at least once, in the dataset's order.

    All of it where it has no more rows than that.

    Raises:
        ConfigError: a size below the number of classes.
    """
    if size >= len(dataset):
        return dataset
    keys = np.random.PCG64(np.random.SeedSequence(int(seed))).random_raw(len(dataset))
    return dataset.take(_sample(dataset, np.arange(len(dataset)), keys, size, "limit"))


def stratified_rows(labels: NDArray[np.integer], size: int, seed: int) -> NDArray[np.int64]:
    """``size`` of N rows in their own order, drawn by seed, each class with its share."""
    shuffled = np.random.default_rng(seed).permutation(len(labels))
    place = np.empty(len(labels))
    for label in np.unique(labels):
        own = shuffled[labels[shuffled] == label]
        # Evenly from 0 to 1 within each class: the first rows of all of them have equal shares.
        place[own] = (np.arange(len(own)) + 0.5) / len(own)
    return np.sort(np.argsort(place, kind="stable")[:size]).astype(np.int64)


def stratified_counts(class_sizes: Sequence[int], shares: Sequence[Fraction]) -> NDArray[np.int64]:
    """How many rows of each class go to each split: (classes, splits) int64.

    Largest remainders within a class, where the rounding error of the classes before is added to
    the remainders: each count is its quota (size times share) rounded up or down, and the errors of
    many small classes do not pile up in one split. Then every split gets at least one row of every
    class, taken from the class's largest split. Ties go to the earlier split.

    Args:
        class_sizes: rows per class, each at least the number of splits.
        shares: positive, sum 1.
    """
    table = np.zeros((len(class_sizes), len(shares)), dtype=np.int64)
    carried = [Fraction(0)] * len(shares)
    for row, size in enumerate(class_sizes):
        quotas = [size * share for share in shares]
        counts = [int(quota) for quota in quotas]
        due = [quota - count + c for quota, count, c in zip(quotas, counts, carried, strict=True)]
        # A split whose quota is whole already has it.
        open_splits = [s for s, quota in enumerate(quotas) if quota.denominator != 1]
        open_splits.sort(key=due.__getitem__, reverse=True)
        for split in open_splits[: size - sum(counts)]:
            counts[split] += 1
        _fill_empty(counts)
        carried = [c + q - n for c, q, n in zip(carried, quotas, counts, strict=True)]
        table[row] = counts
    return table


def halves(
    labels: NDArray[np.int64], share: float, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Two parts of N rows, stratified by label, each in the rows' order.

    Args:
        labels: (N,) codes. The only row of a class goes to the second part.
        share: of the first part, above 0 and below 1.
        seed: non-negative.

    Example:
        >>> first, second = halves(np.array([0, 0, 0, 0, 1, 1]), 0.5, 0)
        >>> len(first), len(second)
        (3, 3)
    """
    keys = np.random.PCG64(np.random.SeedSequence(int(seed))).random_raw(len(labels))
    exact = Fraction(repr(float(share)))
    present, sizes = np.unique(labels, return_counts=True)
    many = present[sizes > 1].tolist()
    counts = stratified_counts(sizes[sizes > 1].tolist(), [exact, 1 - exact])
    first = np.zeros(len(labels), bool)
    for label, (count, _) in zip(many, counts, strict=True):
        first[_by_key(np.flatnonzero(labels == label), keys)[:count]] = True
    return np.flatnonzero(first), np.flatnonzero(~first)


def _fill_empty(counts: list[int]) -> None:
    """Raise every 0 to 1, at the cost of the largest count; the sum is at least the length."""
    for position, count in enumerate(counts):
        if count == 0:
            counts[counts.index(max(counts))] -= 1
            counts[position] += 1


def _check_settings(
    seed: int, fractions: Sequence[float], limits: Mapping[str, int | None]
) -> list[Fraction]:
    """The fractions as exact shares of sum 1."""
    if seed < 0:
        raise ConfigError(f"{option('seed')} is {seed}; give a whole number from 0 upwards")
    positive = len(fractions) == 3 and all(fraction > 0 for fraction in fractions)  # NaN is not
    if not positive or abs(sum(fractions) - 1) > 1e-6:
        raise ConfigError(
            f"fractions are {tuple(fractions)}; give three positive numbers of sum 1, such as "
            "(0.8, 0.1, 0.1)"
        )
    for name, size in limits.items():
        if size is not None and size < 1:
            raise ConfigError(f"{option(name)} is {size}; give at least 1, or leave it out")
    exact = [Fraction(repr(float(fraction))) for fraction in fractions]  # 0.1 is a tenth here
    return [fraction / sum(exact) for fraction in exact]


def _deal(
    dataset: Dataset, keys: NDArray[np.uint64], shares: Sequence[Fraction]
) -> NDArray[np.int64]:
    """Assign each row the position of its share: (N,) codes."""
    sizes = np.bincount(dataset.labels, minlength=len(dataset.label_names)).tolist()
    _check_classes(dataset, sizes, len(shares))
    codes = np.empty(len(dataset), dtype=np.int64)
    for label, counts in enumerate(stratified_counts(sizes, shares)):
        rows = _by_key(np.flatnonzero(dataset.labels == label), keys)
        codes[rows] = np.repeat(np.arange(len(shares)), counts)
    return codes


def _predefined_codes(
    dataset: Dataset, keys: NDArray[np.uint64], shares: Sequence[Fraction]
) -> NDArray[np.int64]:
    """The source's splits as codes 0 train, 1 validation, 2 test; fills in a missing one."""
    if dataset.predefined is None:
        raise DataError(
            f"{dataset.task} has no predefined splits; name the column that holds them with "
            f"{option('split_column')}, or leave {option('predefined_splits')} out"
        )
    codes = np.array([SPLITS.index(name) for name in dataset.predefined], dtype=np.int64)
    present = set(codes.tolist())
    if 0 not in present or len(present) < 2:
        found = ", ".join(SPLITS[code] for code in sorted(present)) or "no rows"
        raise DataError(
            f"{dataset.task}: predefined splits need labelled rows in train and in validation or "
            f"test, got {found}; add the missing split, or let the rows be split anew"
        )
    if len(present) == 2:
        codes[codes != 0] = 2
        train = np.flatnonzero(codes == 0)
        codes[train] = _deal(dataset.take(train), keys[train], [1 - shares[1], shares[1]])
    return codes


def _sample(
    dataset: Dataset,
    rows: NDArray[np.int64],
    keys: NDArray[np.uint64],
    size: int,
    setting: str,
) -> NDArray[np.int64]:
    """``size`` of ``rows``, every class by its share (largest remainder) and at least once."""
    labels = dataset.labels[rows]
    present, sizes = np.unique(labels, return_counts=True)
    if size < len(present):
        raise ConfigError(
            f"{option(setting)} is {size}, but {dataset.task} has {len(present)} classes; give at "
            "least one row per class"
        )
    quotas = [Fraction(int(n) * size, len(rows)) for n in sizes]
    counts = [int(quota) for quota in quotas]
    by_remainder = sorted(range(len(quotas)), key=lambda c: (counts[c] - quotas[c], c))
    for label in by_remainder[: size - sum(counts)]:
        counts[label] += 1
    _fill_empty(counts)
    chosen = [
        _by_key(rows[labels == label], keys)[:count]
        for label, count in zip(present, counts, strict=True)
    ]
    return np.sort(np.concatenate(chosen))


def _by_key(rows: NDArray[np.int64], keys: NDArray[np.uint64]) -> NDArray[np.int64]:
    ordered: NDArray[np.int64] = rows[np.argsort(keys[rows], kind="stable")]
    return ordered


def _check_classes(dataset: Dataset, sizes: Sequence[int], needed: int) -> None:
    if len(sizes) < 2:
        raise DataError(
            f"{dataset.task} has one class only ({', '.join(dataset.label_names) or 'no label'}); "
            "a classifier needs at least two"
        )
    smallest = int(np.argmin(sizes))
    if sizes[smallest] < needed:
        raise DataError(
            f"{dataset.task}: class {dataset.label_names[smallest]!r} has {sizes[smallest]} rows, "
            f"but a stratified split needs at least {needed}, one for each part; add rows of this "
            "class, or remove it"
        )


def check_labels(train: Dataset, validation: Dataset, test: Dataset) -> None:
    """Every label of validation and test must occur in training, and training needs two.

    Raises:
        DataError: it is not so.
    """
    known = set(train.labels.tolist())
    for name, part in zip(SPLITS[1:], (validation, test), strict=True):
        unknown = sorted(set(part.labels.tolist()) - known)
        if missing := [train.label_names[code] for code in unknown]:
            raise DataError(
                f"{train.task}: the {name} split has the label {missing[0]!r}, which no training "
                "row has; add training rows with this label, or remove it"
            )
    if len(known) < 2:
        raise DataError(
            f"{train.task}: the training split has one class only; a classifier needs at least two"
        )
