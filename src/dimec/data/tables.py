"""Reading tables: CSV, TSV, JSON, JSON lines, Parquet and Arrow, with the line of every error.

Lines are cut at newlines only (a carriage return before one is dropped), never at the other
characters that Unicode counts as line breaks, because those occur inside texts. Wholly empty lines
are skipped but counted.
"""

from __future__ import annotations

import importlib
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dimec.base.errors import ConfigError, DataError, MissingExtraError, option, quoted, shown
from dimec.data.delimited import (
    Form,
    Record,
    csv_records,
    delimiter_of,
    distinct,
    find_form,
    tsv_records,
    with_header,
)
from dimec.data.sources import (
    checked_encoding,
    kind_of,
    numbered_lines,
    read_bytes,
    read_text,
    shown_names,
)

__all__ = ["ABSENT", "KINDS", "Table", "kind_of", "read_table", "read_text"]

KINDS = ("csv", "tsv", "jsonl", "json", "parquet", "arrow")
_TABS = Form("\t", quoting=False)


@dataclass(frozen=True)
class Table:
    """The rows of a file.

    Attributes:
        path: the file.
        columns: its column names.
        rows: per row the line it starts on and one cell per column; cells are text, except in JSON,
            Parquet and Arrow. A JSON object without one of the columns has :data:`ABSENT` there.
        unit: what the numbers in ``rows`` count: ``"line"``, or ``"row"`` for Parquet, Arrow
            and JSON arrays.
        headed: whether the names of the columns are a first line, which may be a row in truth.
        guids: an identifier for each row, where the source has its own; None: they are counted.
    """

    path: Path
    columns: tuple[str, ...]
    rows: list[tuple[int, tuple[Any, ...]]]
    unit: str = "line"
    headed: bool = False
    guids: tuple[str, ...] | None = None

    def position(self, column: str, keyword: str | None = None) -> int:
        """Where ``column`` is in a row.

        DataError when there is no such column; it names the option that chooses another one by its
        ``keyword``.
        """
        if column not in self.columns:
            other = f" with {option(keyword)}" if keyword else ""
            raise DataError(
                f"{self.path}: expected a column {quoted(column)}, the file has "
                f"{shown_names(self.columns) or 'no rows'}; rename it, or name another one{other}"
            )
        return self.columns.index(column)

    def error(self, number: int, problem: str) -> DataError:
        """A DataError about the row that starts at line ``number``."""
        return DataError(f"{self.path}, {self.unit} {number}: {problem}")


class _Absent:
    def __repr__(self) -> str:
        return "nothing"


ABSENT = _Absent()


def read_table(
    path: Path,
    kind: str,
    *,
    delimiter: str | None = None,
    encoding: str | None = None,
    header: bool = True,
) -> Table:
    """Read a file of one of :data:`KINDS`.

    Those of text may be compressed (``.gz``). CSV follows RFC 4180: quoted fields may hold
    delimiters, quotes and newlines. TSV has no quoting: a ``"`` is a plain character. JSON is an
    array of objects, JSON lines an object a line; what is one is read as such where it is called
    the other.

    Args:
        path: a regular file; of ``arrow`` also a split that ``datasets`` saved, a folder.
        kind: one of :data:`KINDS`; :func:`kind_of` tells it by a file's ending.
        delimiter: of CSV: a character or its name (:func:`dimec.data.delimited.delimiter_of`);
            default: what is certain (:func:`dimec.data.delimited.find_form`).
        encoding: default: what the byte order mark says, else UTF-8.
        header: False where the first line of CSV or TSV is a row: the columns are ``column-1`` …

    Raises:
        ConfigError: an option that the kind does not have, or that has no such value.
        DataError: the file is missing, damaged, in another encoding, or a row cannot be parsed.
        MissingExtraError: Parquet or Arrow without pyarrow.
    """
    check_options(kind, delimiter=delimiter, encoding=encoding, header=header)
    if kind == "parquet":
        return read_parquet(path)
    if kind == "arrow":
        from dimec.data.arrow import read_arrow  # which stands on this module

        return read_arrow(path)
    text = read_text(path, encoding)
    if kind in ("json", "jsonl"):
        return _json_table(path, text, kind)
    if text[:100].lstrip().startswith(("[{", '{"')) and header and delimiter is None:
        raise DataError(f"{path} holds JSON; read it as json:FILE (or jsonl:), not as {kind}")
    if kind == "tsv":
        return _delimited(path, tsv_records(numbered_lines(text)), _TABS, header)
    stream = io.StringIO(text, newline="")

    def lines() -> Iterable[str]:
        stream.seek(0)
        return stream

    form = find_form(lines, str(path), None if delimiter is None else delimiter_of(delimiter))
    return _delimited(path, csv_records(lines(), form, str(path), header=header), form, header)


def check_options(
    kind: str, *, delimiter: str | None = None, encoding: str | None = None, header: bool = True
) -> None:
    """Raise ConfigError where one of the options of :func:`read_table` does nothing for a kind."""
    if delimiter is not None and kind != "csv":
        hint = "; for quoted fields with tabs between, read it as csv" if kind == "tsv" else ""
        raise ConfigError(f"{option('delimiter')} is of csv, a {kind} file has none{hint}")
    if encoding is not None and kind in ("parquet", "arrow"):
        raise ConfigError(
            f"{option('encoding')} is of text files, {kind.capitalize()} has its own; leave it out"
        )
    if not header and kind not in ("csv", "tsv"):
        raise ConfigError(f"{option('header')} is of csv and tsv; {kind} names its columns itself")
    if delimiter is not None:
        delimiter_of(delimiter)
    if encoding is not None:
        checked_encoding(encoding)


def read_tsv(path: Path) -> Table:
    """Tab-separated values with a header line and no quoting."""
    return read_table(path, "tsv")


def read_csv(path: Path) -> Table:
    """Comma-separated values with a header line; quoted fields may span lines."""
    return read_table(path, "csv")


def read_jsonl(path: Path) -> Table:
    """One JSON object a line; the columns are the keys of all of them, in order of appearance."""
    return read_table(path, "jsonl")


def read_parquet(path: Path) -> Table:
    """A Parquet file, through pyarrow; rows are counted from 1.

    Read in this thread alone: what Arrow's threads still do when the interpreter ends may abort it
    (apache/arrow, issues 33975 and 34314).
    """
    try:
        pyarrow = importlib.import_module("pyarrow")
        parquet = importlib.import_module("pyarrow.parquet")
    except ImportError:
        raise MissingExtraError("pyarrow", "train", "reading Parquet files") from None
    content = read_bytes(path)
    try:
        with parquet.ParquetFile(pyarrow.BufferReader(content), pre_buffer=False) as file:
            found = arrow_table(file.read(use_threads=False), path)
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        if content[:4] != b"PAR1":
            named = kind_of(path)
            hint = (
                f"read it as {named}:FILE" if named not in (None, "parquet") else "check its kind"
            )
            raise DataError(f"{path} is no Parquet file; {hint}") from None
        reason = shown(" ".join(str(error).split()), 80)
        raise DataError(
            f"{path} is not a whole Parquet file ({reason}); copy or write it again"
        ) from None
    return found


def arrow_table(table: Any, path: Path) -> Table:
    """The rows of a pyarrow table, counted from 1; classes by the names that ``datasets`` keeps."""
    names = tuple(table.column_names)
    distinct(names, str(path))
    classes = class_names_in(table.schema.metadata)
    columns = [
        class_names_of(arrow_values(column), classes.get(name))
        for name, column in zip(names, table.columns, strict=True)
    ]
    rows = list(enumerate(zip(*columns, strict=True), start=1))
    return Table(path, names, rows, unit="row")


def arrow_values(column: Any) -> list[Any]:
    """The values of a pyarrow column; times that Python cannot hold, as text."""
    try:
        return list(column.to_pylist())
    except (OverflowError, ValueError):
        types = importlib.import_module("pyarrow.types")
        if not types.is_temporal(column.type):
            raise
        return list(column.cast("string").to_pylist())


def class_names_in(metadata: Mapping[bytes, bytes] | None) -> dict[str, tuple[str, ...]]:
    """The class names that ``datasets`` keeps in a schema's metadata, by column."""
    try:
        features = json.loads((metadata or {})[b"huggingface"])["info"]["features"]
        found = {name: field["names"] for name, field in features.items() if "names" in field}
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError):
        return {}  # written by something else
    return {
        column: tuple(names)
        for column, names in found.items()
        if isinstance(names, list) and all(isinstance(name, str) for name in names)
    }


def class_names_of(values: list[Any], names: Sequence[str] | None) -> list[Any]:
    """The values of a column, class codes by their names; -1 stands for no class."""
    if names is None:
        return values
    codes: dict[Any, str | None] = {-1: None, **dict(enumerate(names))}
    return [codes.get(value, value) for value in values]


def _delimited(path: Path, records: Iterable[Record], form: Form, header: bool) -> Table:
    columns, rows = with_header(iter(records), form, str(path), header=header)
    return Table(path, columns, list(rows), headed=header)


def _json_table(path: Path, text: str, kind: str) -> Table:
    """JSON objects of an array or of lines, whichever it is."""
    objects: list[tuple[int, dict[str, Any]]] = []
    columns: dict[str, None] = {}
    array = text[:100].lstrip().startswith("[")
    unit = "row" if array else "line"
    for number, value in _json_array(path, text) if array else _json_lines(path, text, kind):
        if not isinstance(value, dict):
            raise DataError(
                f"{path}, {unit} {number}: expected a JSON object, got {type(value).__name__}; "
                'write rows like {"text": "...", "label": "..."}'
            )
        objects.append((number, value))
        columns.update(dict.fromkeys(value))
    rows = [(n, tuple(value.get(name, ABSENT) for name in columns)) for n, value in objects]
    return Table(path, tuple(columns), rows, unit)


def _json_lines(path: Path, text: str, kind: str) -> Iterator[tuple[int, Any]]:
    form = "one array of objects, or one object a line" if kind == "json" else "one object a line"
    for number, line in numbered_lines(text):
        try:
            yield number, json.loads(line)
        except (ValueError, RecursionError) as error:
            raise _not_json(path, number, error, form) from None


def _json_array(path: Path, text: str) -> Iterator[tuple[int, Any]]:
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        line = error.lineno if isinstance(error, json.JSONDecodeError) else 1
        raise _not_json(path, line, error, "one array of objects, or one object a line") from None
    return enumerate(values, start=1)


def _not_json(path: Path, line: int, error: Exception, form: str) -> DataError:
    named = kind_of(path)
    hint = "" if named in (None, "json", "jsonl") else f", or read it as {named}:FILE"
    return DataError(f"{path}, line {line}: not valid JSON ({error}); write {form}{hint}")
