"""Reading tables of text: CSV, TSV, JSON lines and Parquet, with the line of every error.

Lines are cut at newlines only (a carriage return before one is dropped), never at the other
characters that Unicode counts as line breaks, because those occur inside texts. Wholly empty lines
are skipped but counted.
"""

from __future__ import annotations

import csv
import gzip
import importlib
import io
import json
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dimec.errors import DataError, MissingExtraError

_LONGEST_FIELD = 2**31 - 1  # csv's own limit is 128 KiB, less than a long document


@dataclass(frozen=True)
class Table:
    """The rows of a file.

    Attributes:
        path: the file.
        columns: its column names.
        rows: per row the line it starts on and one cell per column; cells are text, except in JSON
            lines and Parquet. A JSON object without one of the columns has :data:`ABSENT` there.
        unit: what the numbers in ``rows`` count: ``"line"``, or ``"row"`` for Parquet.
    """

    path: Path
    columns: tuple[str, ...]
    rows: list[tuple[int, tuple[Any, ...]]]
    unit: str = "line"

    def position(self, column: str) -> int:
        """Where ``column`` is in a row; DataError when there is no such column."""
        if column not in self.columns:
            raise DataError(
                f"{self.path}: expected a column {column!r}, the file has "
                f"{', '.join(map(repr, self.columns)) or 'no rows'}; rename it, or name another one"
            )
        return self.columns.index(column)

    def error(self, number: int, problem: str) -> DataError:
        """A DataError about the row that starts at line ``number``."""
        return DataError(f"{self.path}, {self.unit} {number}: {problem}")


class _Absent:
    def __repr__(self) -> str:
        return "nothing"


ABSENT = _Absent()


def read_table(path: Path, kind: str) -> Table:
    """Read a file of kind ``"csv"``, ``"tsv"``, ``"jsonl"`` or ``"parquet"``.

    The first three are UTF-8 and may be compressed (``.gz``). CSV follows RFC 4180: quoted fields
    may hold commas, quotes and newlines. TSV has no quoting: a ``"`` is a plain character.

    Raises:
        DataError: the file is missing, damaged, not UTF-8, or a row cannot be parsed.
        MissingExtraError: Parquet without pyarrow.
    """
    readers: dict[str, Callable[[Path], Table]] = {
        "csv": read_csv,
        "tsv": read_tsv,
        "jsonl": read_jsonl,
        "parquet": read_parquet,
    }
    return readers[kind](path)


def read_text(path: Path) -> str:
    """The whole of a UTF-8 file, decompressed when its name ends in ``.gz``, without a BOM."""
    content = _read_bytes(path)
    if path.suffix == ".gz":
        try:
            content = gzip.decompress(content)
        except (OSError, EOFError, zlib.error) as error:
            raise DataError(
                f"{path} is not a whole gzip file ({error}); copy or compress it again"
            ) from None
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"{path}, line {line}: expected UTF-8, got the byte 0x{content[error.start]:02x}; "
            "convert the file to UTF-8"
        ) from None


def numbered_lines(text: str) -> Iterator[tuple[int, str]]:
    """(line number from 1, line) of every line that is not empty."""
    for number, line in enumerate(text.split("\n"), start=1):
        if stripped := line.removesuffix("\r"):
            yield number, stripped


def read_tsv(path: Path) -> Table:
    """Tab-separated values with a header line and no quoting."""
    lines = ((number, tuple(line.split("\t"))) for number, line in numbered_lines(read_text(path)))
    return _with_header(path, lines, "fields separated by tabs")


def read_csv(path: Path) -> Table:
    """Comma-separated values with a header line; quoted fields may span lines."""
    return _with_header(path, _csv_records(path), "fields separated by commas")


def read_jsonl(path: Path) -> Table:
    """One JSON object a line; the columns are the keys of all of them, in order of appearance."""
    objects: list[tuple[int, dict[str, Any]]] = []
    columns: dict[str, None] = {}
    for number, line in numbered_lines(read_text(path)):
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise DataError(
                f"{path}, line {number}: not valid JSON ({error}); write one JSON object a line"
            ) from None
        if not isinstance(value, dict):
            raise DataError(
                f"{path}, line {number}: expected a JSON object, got {type(value).__name__}; write "
                'rows like {"text": "...", "label": "..."}'
            )
        objects.append((number, value))
        columns.update(dict.fromkeys(value))
    rows = [(n, tuple(value.get(name, ABSENT) for name in columns)) for n, value in objects]
    return Table(path, tuple(columns), rows)


def read_parquet(path: Path) -> Table:
    """A Parquet file, through pyarrow; rows are counted from 1."""
    try:
        pyarrow = importlib.import_module("pyarrow")
        parquet = importlib.import_module("pyarrow.parquet")
    except ImportError:
        raise MissingExtraError("pyarrow", "train", "reading Parquet files") from None
    content = _read_bytes(path)
    try:
        table = parquet.read_table(io.BytesIO(content))
        columns = [column.to_pylist() for column in table.columns]
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise DataError(
            f"{path} is not a whole Parquet file ({reason}); copy or write it again"
        ) from None
    rows = list(enumerate(zip(*columns, strict=True), start=1))
    return Table(path, _distinct(path, tuple(table.column_names)), rows, unit="row")


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise DataError(f"{path} does not exist; check the path") from None
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}; check the path") from None


def _csv_records(path: Path) -> Iterator[tuple[int, tuple[str, ...]]]:
    reader = csv.reader(io.StringIO(read_text(path), newline=""), strict=True)
    previous_limit = csv.field_size_limit(_LONGEST_FIELD)
    start = 1
    try:
        for record in reader:
            if record:
                yield start, tuple(record)
            start = reader.line_num + 1
    except csv.Error as error:
        raise DataError(
            f"{path}, line {start}: not valid CSV ({error}); quote fields that hold commas or "
            'quotes, and double the quotes inside ("")'
        ) from None
    finally:
        csv.field_size_limit(previous_limit)


def _with_header(path: Path, records: Iterator[tuple[int, tuple[str, ...]]], form: str) -> Table:
    """Take the first record as header and check that every other has as many fields."""
    _, columns = next(records, (0, ()))
    if not columns:
        raise DataError(f"{path} is empty; expected a header line and {form}")
    rows = []
    for number, cells in records:
        if len(cells) != len(columns):
            raise DataError(
                f"{path}, line {number}: expected {len(columns)} {form} "
                f"({', '.join(columns)}), got {len(cells)}; correct or remove the row"
            )
        rows.append((number, cells))
    return Table(path, _distinct(path, columns), rows)


def _distinct(path: Path, columns: tuple[str, ...]) -> tuple[str, ...]:
    for name in columns:
        if columns.count(name) > 1:
            raise DataError(f"{path}: two columns are called {name!r}; rename one of them")
    return columns
