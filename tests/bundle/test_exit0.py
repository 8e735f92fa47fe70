"""Exit 0's scorer, against its equations written out in plain Python, and against crafted files."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dimec.base.errors import CorruptArtefactError, DataError, MissingArtefactError
from dimec.base.storage import save_arrays
from dimec.bundle.exit0 import LARGEST, LARGEST_FILE, Exit0
from dimec.bundle.exit0_rows import share_bins
from support.exit0 import SEPARATOR, VOCABULARY, WIDTH, make_exit0

KINDS = [(pairs, classes) for pairs in (False, True) for classes in (1, 2, 3, 20)]
kinds = pytest.mark.parametrize(("pairs", "classes"), KINDS)
ids_ = st.lists(st.integers(0, VOCABULARY - 1), max_size=24)


def expected(exit0: Exit0, ids: list[int], pooled: Any) -> list[float]:
    """The probabilities, by the steps of the module's docstring."""
    index = {int(one): row for row, one in enumerate(exit0.ids)}
    columns = range(exit0.mix.shape[0])
    known = [one for one in ids if one in index]
    z = [0.0] * len(columns)
    if exit0.pairs:
        cut = ids.index(exit0.separator) if exit0.separator in ids else len(ids)
        a = {one for one in ids[:cut] if one in index}
        b = {one for one in ids[cut:] if one in index}
        n = len(a | b)
        for table, side in enumerate((a - b, b - a, a & b)):
            for one in side:
                for k in columns:
                    z[k] += float(exit0.tokens[table, index[one], k])
    else:
        n = len(known)
        for one in known:
            for k in columns:
                z[k] += float(exit0.tokens[0, index[one], k])
        bits = len(exit0.bigrams).bit_length() - 1
        for first, second in itertools.pairwise(known):
            h = (first * 0x9E3779B97F4A7C15 + second * 0xC2B2AE3D27D4EB4F) % 2**64 >> (64 - bits)
            for k in columns:
                z[k] += float(exit0.bigrams[h, k])
    if not n:
        return [float(one) for one in exit0.prior]
    z = [value / n**exit0.power for value in z]
    if exit0.pairs:
        for table, whole in enumerate((a | b, a, b)):
            bin_ = math.floor(20 * len(a & b) / len(whole)) if whole else 0
            for k in columns:
                z[k] += float(exit0.shares[table, bin_, k])
    for k in columns:
        z[k] += sum(float(w) * float(e) for w, e in zip(exit0.pooled[k], pooled, strict=True))
    logits = [
        sum(z[k] * float(exit0.mix[k, c]) for k in columns) + float(exit0.bias[c])
        for c in range(exit0.classes)
    ]
    top = max(logits)
    odds = [math.exp(value - top) for value in logits]
    return [value / sum(odds) for value in odds]


@kinds
@given(ids=ids_, seed=st.integers(0, 99), power=st.sampled_from([0.0, 0.5, 1.0]))
def test_it_does_what_its_equations_say(
    pairs: bool, classes: int, ids: list[int], seed: int, power: float
) -> None:
    exit0 = make_exit0(pairs=pairs, classes=classes, seed=seed, power=power)
    pooled = np.random.default_rng(seed).standard_normal(WIDTH).astype(np.float32)
    got = exit0.one(np.array(ids, np.int64), pooled)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, expected(exit0, ids, pooled), rtol=0, atol=1e-6)
    assert abs(float(got.sum(dtype=np.float64)) - 1) < 1e-6


@kinds
@given(texts=st.lists(ids_, min_size=1, max_size=5))
def test_a_text_says_the_same_by_itself_and_in_a_batch(
    pairs: bool, classes: int, texts: list[list[int]]
) -> None:
    exit0 = make_exit0(pairs=pairs, classes=classes)
    pooled = np.random.default_rng(0).standard_normal((len(texts), WIDTH)).astype(np.float32)
    flat = np.array([one for text in texts for one in text], np.uint16)
    got = exit0.many(flat, np.cumsum([0, *map(len, texts)]), pooled)
    for row, text in enumerate(texts):
        alone = exit0.one(np.array(text, np.int64), pooled[row])
        np.testing.assert_array_equal(got[row], alone)


@given(ids=st.lists(st.integers(0, VOCABULARY - 1), min_size=1), data=st.data())
def test_order_matters_by_neighbours_only(ids: list[int], data: st.DataObject) -> None:
    moved = np.array(data.draw(st.permutations(ids)), np.int64)
    pooled = np.ones(WIDTH, np.float32)
    exit0 = make_exit0()
    without = replace(exit0, bigrams=exit0.bigrams[:0])
    np.testing.assert_array_equal(without.one(np.array(ids), pooled), without.one(moved, pooled))


def test_neighbours_in_another_order_say_something_else() -> None:
    exit0, pooled = make_exit0(), np.ones(WIDTH, np.float32)
    a, b = exit0.ids[:2].tolist()
    one, other = (exit0.one(np.array(ids), pooled) for ids in ([a, b], [b, a]))
    assert (one != other).any()


@pytest.mark.parametrize("pairs", [False, True])
@given(ids=ids_, data=st.data())
def test_a_token_without_weights_changes_nothing(
    pairs: bool, ids: list[int], data: st.DataObject
) -> None:
    exit0, pooled = make_exit0(pairs=pairs), np.ones(WIDTH, np.float32)
    unknown = sorted(set(range(VOCABULARY)) - set(exit0.ids.tolist()) - {SEPARATOR})
    place = data.draw(st.integers(0, len(ids)))
    more = [*ids[:place], data.draw(st.sampled_from(unknown)), *ids[place:]]
    np.testing.assert_array_equal(
        exit0.one(np.array(ids, np.int64), pooled), exit0.one(np.array(more, np.int64), pooled)
    )


@kinds
def test_an_empty_text_gives_the_prior(pairs: bool, classes: int) -> None:
    exit0 = make_exit0(pairs=pairs, classes=classes)
    got = exit0.one(np.array([SEPARATOR], np.int64), np.full(WIDTH, 9, np.float32))
    np.testing.assert_array_equal(got, exit0.prior)


def test_shares_are_binned_in_whole_numbers() -> None:
    # In floating point 20·(3/20) is below 3.
    assert share_bins(range(17), (), range(3)) == (3, 3, 20)
    assert share_bins((), (), ()) == (0, 0, 0)


@pytest.mark.parametrize("pairs", [False, True])
def test_a_file_gives_it_back(tmp_path: Path, pairs: bool) -> None:
    exit0, path = make_exit0(pairs=pairs, classes=3), tmp_path / "exit0.safetensors"
    exit0.save(path)
    again, pooled = Exit0.load(path), np.ones(WIDTH, np.float32)
    assert (again.power, again.vocabulary, again.model) == (0.5, VOCABULARY, exit0.model)
    ids = np.arange(VOCABULARY)
    np.testing.assert_array_equal(again.one(ids, pooled), exit0.one(ids, pooled))


HALF, SINGLE = np.float16, np.float32
CRAFTED: dict[str, dict[str, Any]] = {
    "ids that descend": {"ids": np.arange(9, -1, -1, dtype=np.int32)},
    "an id twice": {"ids": np.zeros(10, np.int32)},
    "an id out of range": {"ids": np.arange(VOCABULARY - 9, VOCABULARY + 1, dtype=np.int32)},
    "an id below zero": {"ids": np.arange(-1, 9, dtype=np.int32)},
    "fewer ids than weights": {"ids": np.arange(9, dtype=np.int32)},
    "ids of another type": {"ids": np.arange(10, dtype=np.int64)},
    "two tables": {"tokens": np.zeros((2, 10, 3), HALF)},
    "a flat table": {"tokens": np.zeros((10, 3), HALF)},
    "weights that are not finite": {"tokens": np.full((1, 10, 3), np.inf, HALF)},
    "neighbours that are no power of two": {"bigrams": np.zeros((12, 3), HALF)},
    "one row of neighbours": {"bigrams": np.zeros((1, 3), HALF)},
    "neighbours of another width": {"bigrams": np.zeros((16, 2), HALF)},
    "neighbours that are a number": {"bigrams": np.array(0, HALF)},
    "shares of a single text": {"shares": np.zeros((3, 21, 3), HALF)},
    "a map of other columns": {"pooled": np.zeros((2, WIDTH), SINGLE)},
    "a map of no width": {"pooled": np.zeros((3, 0), SINGLE)},
    "a map that is a number": {"pooled": np.array(0, SINGLE)},
    "a mix of no class": {"mix": np.zeros((3, 0), SINGLE)},
    "a bias of another class": {"bias": np.zeros(4, SINGLE)},
    "a bias that is not finite": {"bias": np.full(3, np.nan, SINGLE)},
    "a prior that does not sum to 1": {"prior": np.full(3, 0.5, SINGLE)},
    "a prior below zero": {"prior": np.array([-1, 1, 1], SINGLE)},
    "a power that there is not": {"power": 2.0},
    "a power that is a text": {"power": "1"},
    "a power that is a truth": {"power": True},
    "a separator out of range": {"separator": VOCABULARY},
    "a separator that is no whole number": {"separator": 1.0},
    "no vocabulary": {"vocabulary": 0},
    "a vocabulary that asks for all memory": {"vocabulary": 1 << 40},
    "a model that is a number": {"model": 3},
    "more than there is room for": {"bigrams": np.zeros((1 << 20, 3), HALF)},
    "a part that nobody knows": {"another": np.zeros(1)},
    "a later version": {"version": 2},
}


@pytest.mark.parametrize("change", CRAFTED.values(), ids=list(CRAFTED))
def test_a_crafted_file_is_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    exit0, path = make_exit0(classes=3), tmp_path / "exit0.safetensors"
    parts = {**vars(exit0), "version": 1, **change}
    arrays = {name: part for name, part in parts.items() if isinstance(part, np.ndarray)}
    numbers = {name: part for name, part in parts.items() if name not in arrays}
    save_arrays(path, "exit 0", arrays, numbers)
    with pytest.raises(CorruptArtefactError, match=r"holds no exit 0|larger than any"):
        Exit0.load(path)


def test_a_part_that_is_missing_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "exit0.safetensors"
    save_arrays(path, "exit 0", {"ids": np.zeros(0, np.int32)}, {"version": 1})
    with pytest.raises(CorruptArtefactError, match="holds no exit 0"):
        Exit0.load(path)


def test_a_file_that_is_too_large_is_not_even_read(tmp_path: Path) -> None:
    path = tmp_path / "exit0.safetensors"
    with path.open("wb") as stream:
        stream.truncate(LARGEST_FILE + 1)
    with pytest.raises(CorruptArtefactError, match="larger than any exit 0"):
        Exit0.load(path)
    assert LARGEST < LARGEST_FILE


def test_a_file_that_is_missing_or_altered_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "exit0.safetensors"
    with pytest.raises(MissingArtefactError, match="dimec train"):
        Exit0.load(path)
    make_exit0().save(path)
    path.write_bytes(path.read_bytes()[:-1] + b"\1")
    with pytest.raises(CorruptArtefactError, match="altered"):
        Exit0.load(path)


@pytest.mark.parametrize(
    ("ids", "width", "problem"),
    [([VOCABULARY], WIDTH, "token ids"), ([-1], WIDTH, "token ids"), ([1], 3, "embeddings of")],
)
def test_what_it_cannot_look_up_is_refused(ids: list[int], width: int, problem: str) -> None:
    pooled = np.zeros((1, width), np.float32)
    with pytest.raises(DataError, match=problem):
        make_exit0().many(np.array(ids), np.array([0, 1]), pooled)
