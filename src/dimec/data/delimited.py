"""Records of delimited text (CSV and TSV), from any lines: their delimiter, fields and header.

Nothing here opens a file, so that a stream is read as a file is.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from dimec.base.errors import ConfigError, DataError, option, quoted
from dimec.data.sources import shown_names

LONGEST_FIELD = 2**31 - 1  # csv's own limit is 128 KiB, less than a long document
DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "pipe"}

Record = tuple[int, tuple[str, ...]]  # the line it starts on, its cells


@dataclass(frozen=True)
class Form:
    """How lines are cut into fields.

    Attributes:
        delimiter: one character.
        skip: how many lines at the top say so (``sep=;``), and hold no record.
        quoting: whether quoted fields may hold delimiters and newlines.
    """

    delimiter: str
    skip: int = 0
    quoting: bool = True

    def __str__(self) -> str:
        name = DELIMITERS.get(self.delimiter)
        return f"fields separated by {f'{name}s' if name else repr(self.delimiter)}"


def delimiter_of(given: str) -> str:
    """The character that is named: itself, or by ``tab``, ``comma``, ``semicolon`` or ``pipe``.

    Raises:
        ConfigError: it is neither, or a quote or a line's end.
    """
    names = {name: character for character, name in DELIMITERS.items()} | {"\\t": "\t"}
    delimiter = names.get(given.lower(), given)
    if len(delimiter) != 1 or delimiter in '"\r\n\0':
        raise ConfigError(
            f"{option('delimiter')}: expected one character, or {', '.join(DELIMITERS.values())}, "
            f"got {quoted(given)}"
        )
    return delimiter


def find_form(lines: Callable[[], Iterable[str]], name: str, given: str | None = None) -> Form:
    """The form of lines that begin with a header or the first record.

    A first line ``sep=;`` settles it, as Excel reads it. Else it is settled where the first record
    has several fields with one of comma, semicolon, tab and pipe only, or where one only of those
    cuts every record into as many; where there is none at all, there is one column.

    Args:
        lines: the lines with their ends, from the top at each call; of a stream, those that were
            read so far.
        name: what errors call them.
        given: the delimiter where it is known (:func:`delimiter_of` has checked it).

    Raises:
        DataError: more than one would do.
    """
    first = next(iter(lines()), "").rstrip("\r\n").strip('"')
    separator = first[4:] if first[:4].lower() == "sep=" and len(first) == 5 else None
    skip = 0 if separator is None else 1
    if given or separator:
        return Form(given or separator or "", skip)
    candidates = [d for d in DELIMITERS if _width_of_first(lines(), d) > 1]
    if len(candidates) > 1:
        candidates = [d for d in candidates if _is_even(lines(), d)] or candidates[:1]
    if len(candidates) > 1:
        names = " and ".join(DELIMITERS[d] for d in candidates)
        raise DataError(
            f"{name}: {names} cut every row into as many fields; say which it is with "
            f"{option('delimiter', DELIMITERS[candidates[0]])}"
        )
    return Form(candidates[0] if candidates else ",")


def csv_records(
    lines: Iterable[str],
    form: Form,
    name: str,
    *,
    longest: int = LONGEST_FIELD,
    header: bool = True,
) -> Iterator[Record]:
    """Records of CSV lines; quoted fields may hold delimiters, quotes and newlines.

    Empty lines are skipped but counted, and so are rows at the end that hold delimiters only.

    Args:
        lines: with their ends, as a file opened with ``newline=""`` gives them.
        form: see :func:`find_form`.
        name: what errors call the source.
        longest: the most characters of a field.
        header: whether the first record is one, for what an error says.

    Raises:
        DataError: a record cannot be parsed.
    """
    last = [""]
    reader = csv.reader(_remembered(lines, form.skip, last), delimiter=form.delimiter, strict=True)
    previous_limit = csv.field_size_limit(longest)
    start = 1 + form.skip
    blank: list[Record] = []
    try:
        for record in reader:
            # Empty texts in quotes are meant; delimiters alone may be the rest of a spreadsheet.
            if any(record) or (record and last[0].strip(form.delimiter + "\r\n")):
                if blank:
                    yield from blank
                    blank = []
                yield start, tuple(record)
            elif record:
                blank.append((start, tuple(record)))
            start = reader.line_num + 1 + form.skip
    except csv.Error as error:
        if "end of data" in str(error):
            hint = f"; a file without a header line needs {option('header')} too"
            raise DataError(
                f"{name}, line {start}: not valid CSV ({error}: the last quote here is never "
                'closed); close it, double quotes inside a field (""), or copy the file again '
                f"whole{hint if header and start == 1 + form.skip else ''}"
            ) from None
        raise DataError(
            f"{name}, line {start}: not valid CSV ({error}); quote fields that hold "
            f"{DELIMITERS.get(form.delimiter, repr(form.delimiter))}s or quotes, and double the "
            f'quotes inside (""); or name another {option("delimiter")}'
        ) from None
    finally:
        csv.field_size_limit(previous_limit)


def tsv_records(lines: Iterable[tuple[int, str]]) -> Iterator[Record]:
    """Records of numbered lines without ends; there is no quoting.

    Rows at the end that hold tabs only are skipped.
    """
    blank: list[Record] = []
    for number, line in lines:
        record = (number, tuple(line.split("\t")))
        if any(record[1]):
            if blank:
                yield from blank
                blank = []
            yield record
        else:
            blank.append(record)


def with_header(
    records: Iterator[Record], form: Form, name: str, *, header: bool = True
) -> tuple[tuple[str, ...], Iterator[Record]]:
    """Column names, and the records below them, each checked to have as many fields.

    The first record is the header; without one the columns are ``column-1``, ``column-2`` …, and
    so is a column whose header is empty. Empty fields beyond the header's are dropped, and empty
    columns that the header has beyond its last name need not be in a row.

    Raises:
        DataError: there is no record, two columns have one name, or (while the records are taken)
            one has more or fewer fields than the header.
    """
    first = next(records, None)
    if first is None:
        what = "a header line and " if header else ""
        raise DataError(f"{name} is empty; expected {what}{form}")
    names = tuple(cell.strip() if header else "" for cell in first[1])
    columns = tuple(cell or f"column-{place}" for place, cell in enumerate(names, start=1))
    named = len(names)
    while header and named and not names[named - 1]:
        named -= 1
    distinct(columns, name, headed=header)
    rows = records if header else _chained(first, records)
    return columns, _even(rows, columns, named or len(names), form, name)


def distinct(columns: tuple[str, ...], name: str, *, headed: bool = False) -> None:
    """DataError where two columns have one name, perhaps by a first line that is no header."""
    hint = f", or, if the first line is no header, say so with {option('header')}"
    seen: set[str] = set()
    for column in columns:
        if column in seen:
            raise DataError(
                f"{name}: two columns are called {quoted(column)}; rename one of them"
                f"{hint if headed else ''}"
            )
        seen.add(column)


def _even(
    records: Iterator[Record], columns: tuple[str, ...], named: int, form: Form, name: str
) -> Iterator[Record]:
    width = len(columns)
    for number, cells in records:
        if len(cells) == width:
            yield number, cells
        elif named <= len(cells) < width:
            yield number, cells + ("",) * (width - len(cells))
        elif len(cells) > width and not any(cells[width:]):
            yield number, cells[:width]
        else:
            other = (
                f"name another {option('delimiter')}"
                if form.quoting
                else "read it as csv where quoted fields hold tabs or newlines"
            )
            raise DataError(
                f"{name}, line {number}: expected {named} {form} "
                f"({shown_names(columns, quotes=False)}), got {len(cells)}; correct or remove the "
                f"row, or {other}"
            )


def _chained(first: Record, records: Iterator[Record]) -> Iterator[Record]:
    yield first
    yield from records


def _remembered(lines: Iterable[str], skip: int, last: list[str]) -> Iterator[str]:
    """The lines below the first ``skip``; ``last`` holds the one that was taken last."""
    source = iter(lines)
    for _ in range(skip):
        next(source, None)
    for line in source:
        last[0] = line
        yield line


def _width_of_first(lines: Iterable[str], delimiter: str) -> int:
    try:
        return len(next(csv_records(lines, Form(delimiter), ""), (0, ()))[1])
    except DataError:
        return 0


def _is_even(lines: Iterable[str], delimiter: str) -> bool:
    form = Form(delimiter)
    try:
        records = csv_records(lines, form, "")
        _, rows = with_header(records, form, "", header=False)
        for _ in rows:
            pass
    except DataError:
        return False
    return True
