"""Tables in any number of columns of text: nothing is cut, nothing is left out."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.box import SIMPLE_HEAD
from rich.console import Console

from dimec.report.blocks import Column, Columns, fit_columns

_WORDS = st.text("abcdefgh ", min_size=1, max_size=30).map(str.strip)


def _printed(columns: list[Column], width: int, *, ruled: bool = False) -> str:
    console = Console(file=io.StringIO(), width=width, color_system=None, legacy_windows=False)
    with console.capture() as capture:
        console.print(Columns(columns, box=SIMPLE_HEAD if ruled else None))
    return capture.get()


def _letters(text: str) -> list[str]:
    return sorted(char for char in text if char.isalnum() or char in ".-")


TABLE = [
    Column("tier", ["mobile", "edge"], words=True),
    Column("disk MB", ["1.5", "21.0"]),
    Column("labels", ["a rather long name of a label", "short"], words=True),
    Column("start ms", ["12", "1234"]),
]


def test_where_there_is_room_it_is_one_table_with_numbers_on_the_right() -> None:
    lines = [line.rstrip() for line in _printed(TABLE, 100).splitlines()]
    assert lines == [
        "tier    disk MB  labels                         start ms",
        "mobile      1.5  a rather long name of a label        12",
        "edge       21.0  short                              1234",
    ]


def test_words_are_folded_before_a_column_goes_to_another_table() -> None:
    lines = [line.rstrip() for line in _printed(TABLE, 40).splitlines()]
    assert lines[0] == "tier    disk MB  labels         start ms"
    assert len(fit_columns(TABLE, 40)) == 1


def test_what_does_not_fit_stands_below_with_the_rows_names() -> None:
    lines = [line.rstrip() for line in _printed(TABLE, 26).splitlines()]
    assert "tier    disk MB" in lines
    assert sum(line.startswith("mobile ") for line in lines) == 3
    assert "" in lines  # between two tables


@given(
    rows=st.integers(0, 3).flatmap(
        lambda count: st.lists(
            st.tuples(st.booleans(), st.lists(_WORDS, min_size=count, max_size=count)),
            min_size=1,
            max_size=5,
        )
    ),
    width=st.integers(4, 90),
    ruled=st.booleans(),
)
def test_at_any_width_every_letter_is_there_and_no_line_is_longer(
    rows: list[tuple[bool, list[str]]], width: int, ruled: bool
) -> None:
    columns = [Column(f"t{place}", cells, words=words) for place, (words, cells) in enumerate(rows)]
    text = _printed(columns, width, ruled=ruled)
    assert max(map(len, text.splitlines()), default=0) <= width
    again = len(fit_columns(columns, width, box=SIMPLE_HEAD if ruled else None)) - 1
    first = "".join([columns[0].title, *columns[0].cells])
    whole = "".join("".join([one.title, *one.cells]) for one in columns)
    assert _letters(text) == _letters(whole + again * first)


def test_the_first_table_has_the_title_and_the_last_the_caption() -> None:
    from rich.text import Text

    tables = fit_columns(TABLE, 20, title=Text("above"), caption=Text("below"))
    assert len(tables) == 3
    assert [str(table.title) for table in tables] == ["above", " ", " "]
    assert [table.caption is not None for table in tables] == [False, False, True]


@pytest.mark.parametrize("width", [1, 2])
def test_no_room_at_all_is_no_error(width: int) -> None:
    assert _printed(TABLE, width)
