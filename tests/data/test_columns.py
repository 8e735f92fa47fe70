from __future__ import annotations

import tracemalloc
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dimec.data.columns import TextColumn, first_repeated, take_rows

TEXTS = st.lists(st.text(st.characters(codec="utf-8"), max_size=20), max_size=30)


@given(texts=TEXTS, choice=st.data())
def test_a_column_says_what_a_tuple_says(texts: list[str], choice: st.DataObject) -> None:
    column, plain = TextColumn.of(iter(texts)), tuple(texts)
    rows = choice.draw(st.lists(st.integers(0, max(len(texts) - 1, 0)), max_size=2 * len(texts)))
    if not texts:
        rows = []
    start, stop = choice.draw(st.integers(-5, 35)), choice.draw(st.integers(-5, 35))
    assert len(column) == len(plain)
    assert tuple(column) == plain
    assert [column[row] for row in range(-len(plain), len(plain))] == [*plain, *plain]
    assert column[start:stop] == plain[start:stop]
    assert tuple(column.take(np.array(rows, np.int64))) == tuple(plain[row] for row in rows)
    assert column.nbytes == sum(len(text.encode()) for text in texts)


def test_equal_to_any_sequence_of_the_same_texts() -> None:
    column = TextColumn.of(["é", "", "z"])
    assert column == ("é", "", "z")
    plain: object = ("é", "", "z")
    assert plain == column  # a tuple leaves the answer to the column
    assert column == ["é", "", "z"]
    assert column == TextColumn.of(["x", "é", "", "z"])[1:]
    assert column != ("é", "", "y")
    assert column != ("é", "")
    assert TextColumn.of("ab") != "ab"
    assert column != 3
    with pytest.raises(TypeError):
        hash(column)


def test_positions_beyond_the_end_are_refused() -> None:
    column = TextColumn.of(["a"])
    with pytest.raises(IndexError):
        column[1]
    assert repr(column) == "TextColumn(['a'], 1 texts)"
    assert repr(TextColumn.of("abcd")) == "TextColumn(['a', 'b', 'c', …], 4 texts)"


def test_half_a_surrogate_pair_is_no_text() -> None:
    with pytest.raises(UnicodeEncodeError):
        TextColumn.of(["\ud800"])


def test_most_of_a_column_shares_its_bytes_and_a_small_sample_lets_go_of_them() -> None:
    column = TextColumn.of(["x" * 1000] * 1000)
    tracemalloc.start()
    most, few = column.take(np.arange(900)), column.take(np.arange(10))
    made, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert made < 100_000
    assert len(few._data) == 10_000
    assert most._data is column._data


@pytest.mark.parametrize("make", [tuple, TextColumn.of])
def test_a_repeated_text_is_found(make: type[tuple[str, ...]]) -> None:
    assert first_repeated(make(["a", "b", "a", "b"])) == "a"
    assert first_repeated(make(["a", "b", ""])) is None
    assert first_repeated(make([])) is None


def test_taking_keeps_the_kind() -> None:
    rows = np.array([1, 0])
    plain: Sequence[str] = take_rows(("a", "b"), rows)
    assert plain == ("b", "a")
    assert isinstance(plain, tuple)
    assert isinstance(take_rows(TextColumn.of("ab"), rows), TextColumn)
