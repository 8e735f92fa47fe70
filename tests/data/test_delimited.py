from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dimec.base.errors import ConfigError, DataError, typed_options
from dimec.data.delimited import (
    DELIMITERS,
    Form,
    csv_records,
    delimiter_of,
    find_form,
    with_header,
)

COMMA = Form(",")
CELL = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)

TYPED = {"delimiter": "--delimiter", "no_header": "--no-header"}


def form_of(text: str, given: str | None = None) -> Form:
    return find_form(lambda: io.StringIO(text, newline=""), "a.csv", given)


def rows_of(text: str, *, header: bool = True) -> list[tuple[str, ...]]:
    form = form_of(text)
    records = csv_records(io.StringIO(text, newline=""), form, "a.csv")
    columns, rows = with_header(records, form, "a.csv", header=header)
    return [columns, *(cells for _, cells in rows)]


@given(
    delimiter=st.sampled_from(list(DELIMITERS)),
    rows=st.lists(st.tuples(CELL, CELL, CELL), max_size=5),
)
def test_the_delimiter_of_what_a_spreadsheet_writes_is_found(
    delimiter: str, rows: list[tuple[str, str, str]]
) -> None:
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, delimiter=delimiter, quoting=csv.QUOTE_ALL)
    writer.writerows([("id", "text", "label"), *rows])
    assert form_of(stream.getvalue()) == Form(delimiter)
    assert rows_of(stream.getvalue()) == [("id", "text", "label"), *rows]


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("sep=;\r\ntext,really;label\r\n", Form(";", skip=1)),
        ('"sep=|"\ntext|label\n', Form("|", skip=1)),
        ("SEP=\t\ntext\tlabel\n", Form("\t", skip=1)),
        ("text\nno delimiter at all\n", COMMA),
        ("", COMMA),
        ('"one; text",label\na,b\n', COMMA),
        ("text, with commas;label\na, b, c;d\n", Form(";")),  # one only cuts all rows alike
        ('1;"good, really";x\n2;"bad";y\n', Form(";")),
    ],
)
def test_forms_that_are_certain(text: str, form: Form) -> None:
    assert form_of(text) == form


def test_two_delimiters_that_would_do_are_not_guessed_among() -> None:
    with (
        typed_options(TYPED),
        pytest.raises(DataError, match=r"comma and semicolon cut every row .*--del"),
    ):
        form_of("a,b;c\n1,2;3\n")
    assert form_of("a,b;c\n1,2;3\n", ",") == COMMA


def test_a_given_delimiter_stands_above_the_first_line() -> None:
    assert form_of("sep=;\na,b\n", ",") == Form(",", skip=1)


@pytest.mark.parametrize(
    ("given", "delimiter"), [(";", ";"), ("tab", "\t"), ("\\t", "\t"), ("Pipe", "|"), ("^", "^")]
)
def test_delimiters_by_name(given: str, delimiter: str) -> None:
    assert delimiter_of(given) == delimiter


@pytest.mark.parametrize("given", ["", "::", '"', "\n", "\r", "\0", "comma;"])
def test_what_is_no_delimiter(given: str) -> None:
    with pytest.raises(ConfigError, match="delimiter: expected one character, or comma, semicolon"):
        delimiter_of(given)


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        # What a spreadsheet leaves of columns and rows that were emptied.
        ("text,label,,\na,1,,\nb,0,,\n,,,\n,,,\n", [("a", "1", "", ""), ("b", "0", "", "")]),
        ("text,label,,\na,1\nb,0,,\n", [("a", "1", "", ""), ("b", "0", "", "")]),
        ("text,label\na,1,,\nb,0\n,\n\n", [("a", "1"), ("b", "0")]),
        # An empty row between others is a row, and so are empty texts in quotes.
        ("text,label\n,\na,1\n", [("", ""), ("a", "1")]),
        ('text,label\na,1\n"",""\n', [("a", "1"), ("", "")]),
        ('text\na\n""\n', [("a",), ("",)]),
    ],
)
def test_empty_columns_and_rows_at_the_end(text: str, rows: list[tuple[str, ...]]) -> None:
    assert rows_of(text)[1:] == rows


def test_columns_without_a_name_are_numbered() -> None:
    assert rows_of(",text, label \n0,a,1\n")[0] == ("column-1", "text", "label")
    assert rows_of("a,1\nb,0\n", header=False) == [("column-1", "column-2"), ("a", "1"), ("b", "0")]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "text;label\na;1\nb;0;c\n",
            "line 3: expected 2 fields separated by semicolons .text, lab",
        ),
        ("sep=;\ntext;label\n\na\n", "line 4: expected 2 .* got 1; .* or name another --delimiter"),
        ("text,label\na,1,x\n", "line 2: expected 2 .*, got 3"),
        ("text,text\n", "two columns are called 'text'; .* no header, say so with --no-header"),
        ('text,label\n"a" b,1\n', "line 2: not valid CSV"),
        ('"text,label\na,1\n', "line 1: not valid CSV .* copy .* again whole; .* --no-header"),
        ("", "a.csv is empty; expected a header line and fields separated by commas"),
    ],
)
def test_records_that_are_wrong(text: str, message: str) -> None:
    with typed_options(TYPED), pytest.raises(DataError, match=message):
        rows_of(text)


def test_who_said_that_there_is_no_header_is_not_told_to() -> None:
    with typed_options(TYPED), pytest.raises(DataError, match=r"copy the file again whole$"):
        list(csv_records(['"a,1\n'], Form(","), "a.csv", header=False))


def test_records_of_a_stream_are_given_as_they_come() -> None:
    taken: list[str] = []

    def lines() -> Iterator[str]:
        for line in ("text,label\n", "a,1\n", '"two\n', 'lines",0\n', ",\n", "end,1\n"):
            taken.append(line)
            yield line

    columns, rows = with_header(csv_records(lines(), COMMA, "-"), COMMA, "-")
    assert (columns, len(taken)) == (("text", "label"), 1)
    assert (next(rows), len(taken)) == ((2, ("a", "1")), 2)
    assert (next(rows), len(taken)) == ((3, ("two\nlines", "0")), 4)
    assert list(rows) == [(5, ("", "")), (6, ("end", "1"))]


def test_a_field_may_be_bounded() -> None:
    lines: Iterable[str] = ["x" * 100 + ",1\n"]
    with pytest.raises(DataError, match=r"line 1: not valid CSV .field larger than field limit"):
        list(csv_records(lines, COMMA, "-", longest=99))
