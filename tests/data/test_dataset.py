from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from dimec.base.errors import DataError
from dimec.data import Dataset


@pytest.fixture
def pairs() -> Dataset:
    return Dataset(
        task="csv:pairs.csv",
        texts=("a", "", "c"),
        pairs=("x", "y", "z"),
        labels=np.array([1, 0, 1]),
        label_names=("no", "yes"),
        guids=("row-0", "row-1", "row-2"),
        predefined=("train", "validation", "test"),
        extra={"rating": np.array([0.5, -1.0, 2.0])},
        source_rows="a sample",
    )


def test_take_picks_every_part_in_the_given_order(pairs: Dataset) -> None:
    taken = pairs.take(np.array([2, 0]))
    assert taken.texts == ("c", "a")
    assert taken.pairs == ("z", "x")
    assert taken.labels.tolist() == [1, 1]
    assert taken.guids == ("row-2", "row-0")
    assert taken.predefined == ("test", "train")
    assert taken.extra["rating"].tolist() == [2.0, 0.5]
    assert (taken.task, taken.label_names, taken.source_rows) == (
        pairs.task,
        pairs.label_names,
        "a sample",
    )
    assert len(taken) == 2
    assert len(pairs.take(np.array([], dtype=np.int64))) == 0


def test_take_without_pairs_or_splits(pairs: Dataset) -> None:
    plain = replace(pairs, pairs=None, predefined=None).take(np.array([1]))
    assert plain.pairs is None
    assert plain.predefined is None


@pytest.mark.parametrize(
    "change",
    [
        {"texts": ("a", "", "d")},
        {"texts": ("", "a", "c")},
        {"pairs": ("x", "y", "Z")},
        {"pairs": None},
        {"labels": np.array([1, 1, 1])},
        {"label_names": ("yes", "no")},
        {"label_names": ("no", "yes", "maybe")},
    ],
)
def test_fingerprint_sees_every_change_of_content(pairs: Dataset, change: dict[str, Any]) -> None:
    assert replace(pairs, **change).fingerprint() != pairs.fingerprint()


def test_fingerprint_depends_on_content_only(pairs: Dataset) -> None:
    renamed = replace(pairs, task="jsonl:other", guids=("a", "b", "c"), metric="f1", extra={})
    assert renamed.fingerprint() == pairs.fingerprint()
    # The same characters, cut into texts and pairs elsewhere, are another dataset.
    one = replace(pairs, texts=("ab", "", "c"), pairs=("", "y", "z"))
    other = replace(pairs, texts=("a", "", "c"), pairs=("b", "y", "z"))
    assert one.fingerprint() != other.fingerprint()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pairs": ("x",)}, "3 texts but 1 pairs"),
        ({"guids": ("a", "b")}, "3 texts but 2 guids"),
        ({"guids": ("a", "b", "a")}, "twice"),
        ({"predefined": ("train", "dev", "test")}, r"unknown splits \['dev'\]"),
        ({"extra": {"rating": np.zeros(2)}}, "3 texts but 2 rating"),
        ({"labels": np.array([0, 1])}, "expected 3 int64 labels"),
        ({"labels": np.array([0.0, 1.0, 0.0])}, "float64"),
        ({"labels": np.array([0, 1, 2])}, "from 0 to 2 but there are 2"),
        ({"labels": np.array([0, -1, 1])}, "from -1 to 1"),
        ({"metric": "recall"}, "unknown metric 'recall'"),
    ],
)
def test_parts_that_do_not_fit_are_refused(
    pairs: Dataset, change: dict[str, Any], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        replace(pairs, **change)
