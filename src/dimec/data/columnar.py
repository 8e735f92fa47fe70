"""Large files in good order: the wanted columns at once, in the room of their bytes.

:mod:`dimec.data.tables` reads every file, and tells the line of whatever is wrong with it; that
takes several times the file's size. Most files have nothing wrong. Here such a file is read by
Arrow (delimited text, Parquet) or line by line (JSON lines), and only the columns that are wanted
are kept. Where anything is out of the ordinary the answer is None, and the caller reads the file
the other way: both give the same rows, which the tests hold them to.
"""

from __future__ import annotations

import codecs
import importlib
from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic_core import from_json

from dimec.base.errors import DataError
from dimec.data.columns import TextColumn
from dimec.data.delimited import (
    Form,
    csv_records,
    delimiter_of,
    find_form,
    tsv_records,
    with_header,
)
from dimec.data.sources import codec_of, numbered_lines
from dimec.data.tables import check_options, class_names_in, class_names_of

_BLOCK = 1 << 20  # bytes that are parsed at once; a longer record is out of the ordinary
_WRONG = (ValueError, TypeError, LookupError, NotImplementedError, RecursionError)  # Arrow's too
_NUL, _LF, _CR, _QUOTE = 0, 10, 13, 34


@dataclass(frozen=True)
class Choice:
    """Columns to keep: ``texts`` as they are, ``values`` by their distinct values."""

    texts: tuple[str, ...]
    values: tuple[str, ...]


Choose = Callable[[tuple[str, ...]], Choice | None]


@dataclass(frozen=True, eq=False)
class Columns:
    """What was kept of a file of N rows.

    Attributes:
        names: of all columns of the file.
        texts: name → N texts.
        values: name → the distinct values in order of appearance, and (N,) int64 which of them each
            row has. Values are text, except in JSON lines and Parquet.
            Class names that a Parquet file keeps beside numbers stand for them.
    """

    names: tuple[str, ...]
    texts: Mapping[str, TextColumn]
    values: Mapping[str, tuple[list[Any], npt.NDArray[np.int64]]]


class _UnusualError(Exception):
    """The file is for :mod:`dimec.data.tables`."""


def read_columns(
    path: Path,
    kind: str,
    choose: Choose,
    *,
    delimiter: str | None = None,
    encoding: str | None = None,
    header: bool = True,
) -> Columns | None:
    """The wanted columns of a regular, uncompressed file in good order; None for any other.

    Args:
        path: the file.
        kind: ``"csv"``, ``"tsv"``, ``"jsonl"`` or ``"parquet"``; None is the answer for others.
        choose: the columns to keep, of those that the file has; None where they are not there.
        delimiter: a character or its name; default: what the first line settles.
        encoding: default UTF-8; None is the answer for others.
        header: False where the first line of delimited text is a row.

    Raises:
        ConfigError: an option that the kind does not have, or that has no such value.
    """
    check_options(kind, delimiter=delimiter, encoding=encoding, header=header)
    try:
        if not path.is_file() or path.suffix.lower() == ".gz":
            return None
        if kind in ("csv", "tsv"):
            return _read_delimited(path, kind, choose, delimiter, encoding, header)
        if kind == "jsonl":
            return _read_jsonl(path, choose, encoding)
        return _read_parquet(path, choose) if kind == "parquet" else None
    except (_UnusualError, DataError, ImportError, OSError, *_WRONG):
        return None


class _Kept:
    """Columns as they grow."""

    def __init__(self, names: tuple[str, ...], choose: Choose) -> None:
        if (choice := choose(names)) is None:
            raise _UnusualError
        self.names, self.choice = names, choice
        self._data = {name: bytearray() for name in choice.texts}
        self._ends = {name: array("q", [0]) for name in choice.texts}
        self._known: dict[str, dict[tuple[type, Any], int]] = {name: {} for name in choice.values}
        self._codes = {name: array("q") for name in choice.values}

    def add_text(self, name: str, text: object) -> None:
        if not isinstance(text, str):
            raise _UnusualError
        encoded = text.encode("utf-8")
        self._data[name] += encoded
        self._ends[name].append(self._ends[name][-1] + len(encoded))

    def add_value(self, name: str, value: Any) -> None:
        # 1, 1.0 and True are equal and yet not the same value.
        known = self._known[name]
        self._codes[name].append(known.setdefault((type(value), value), len(known)))

    def add_batch(self, batch: Any, arrow: Any) -> None:
        """Rows of an Arrow record batch; empty ones are none."""
        for name in self.choice.texts:
            column = batch.column(name).cast(arrow.large_string())
            if column.null_count:
                raise _UnusualError
            _, offsets, data = column.buffers()
            ends = np.frombuffer(offsets, np.int64)[column.offset : column.offset + len(column) + 1]
            first = self._ends[name][-1] - int(ends[0])
            if data is not None:
                self._data[name] += memoryview(data)[ends[0] : ends[-1]]
            self._ends[name].frombytes((ends[1:] + first).tobytes())
        for name in self.choice.values:
            column = batch.column(name).dictionary_encode()
            if column.null_count:
                raise _UnusualError
            known = self._known[name]
            distinct = column.dictionary.to_pylist()
            codes = [known.setdefault((type(value), value), len(known)) for value in distinct]
            rows = np.array(codes, np.int64)[column.indices.to_numpy(zero_copy_only=False)]
            self._codes[name].frombytes(rows.tobytes())

    def done(self, classes: Mapping[str, Sequence[str]] | None = None) -> Columns:
        texts = {
            name: TextColumn.of_offsets(
                np.frombuffer(data, np.uint8), np.frombuffer(self._ends[name], np.int64)
            )
            for name, data in self._data.items()
        }
        values = {}
        for name, known in self._known.items():
            distinct = class_names_of([value for _, value in known], (classes or {}).get(name))
            values[name] = (distinct, np.frombuffer(self._codes[name], np.int64))
        return Columns(self.names, texts, values)


def _read_delimited(
    path: Path,
    kind: str,
    choose: Choose,
    delimiter: str | None,
    encoding: str | None,
    header: bool,
) -> Columns:
    arrow, csv = importlib.import_module("pyarrow"), importlib.import_module("pyarrow.csv")
    form, names = _form(path, kind, delimiter, encoding, header)
    kept = _Kept(names, choose)
    if not _in_good_order(path, form):
        raise _UnusualError
    wanted = [*kept.choice.texts, *kept.choice.values]
    reader = csv.open_csv(
        path,
        read_options=csv.ReadOptions(
            block_size=_BLOCK,
            use_threads=False,  # a thread more holds more of the file, and is hardly quicker
            column_names=names,
            skip_rows=form.skip + header,
        ),
        parse_options=csv.ParseOptions(
            delimiter=form.delimiter,
            quote_char='"' if form.quoting else False,
            newlines_in_values=form.quoting,
        ),
        convert_options=csv.ConvertOptions(
            column_types=dict.fromkeys(wanted, arrow.string()),
            include_columns=list(dict.fromkeys(wanted)),
            strings_can_be_null=False,
        ),
    )
    for batch in reader:
        kept.add_batch(batch, arrow)
    columns = kept.done()
    if _last_is_blank(columns):
        raise _UnusualError  # it may be the rest of a spreadsheet
    return columns


def _last_is_blank(columns: Columns) -> bool:
    texts = [texts[-1:] for texts in columns.texts.values()]
    values = [values[int(code)] for values, codes in columns.values.values() for code in codes[-1:]]
    return not any(text for last in texts for text in last) and not any(values)


def _form(
    path: Path, kind: str, delimiter: str | None, encoding: str | None, header: bool
) -> tuple[Form, tuple[str, ...]]:
    """How the file is cut into fields, where its first lines settle that, and its columns."""
    with path.open("rb") as stream:
        start = stream.read(_BLOCK)
    if codec_of(start, str(path), encoding) not in ("utf-8", "utf-8-sig"):
        raise _UnusualError
    # Two lines: the first may be "sep=;". Neither may end within quotes.
    lines = [line.decode("utf-8-sig") for line in start.split(b"\n", 2)[:2]]
    lines = [f"{line}\n" for line in lines]
    if kind == "tsv":
        form = Form("\t", quoting=False)
        records = tsv_records(numbered_lines(lines[0]))
    else:
        given = None if delimiter is None else delimiter_of(delimiter)
        form = find_form(lambda: lines[:1], str(path), given)
        records = csv_records(lines[: 1 + form.skip], form, str(path))
    first = lines[form.skip] if form.skip < len(lines) else ""
    if not first.strip() or (form.quoting and first.count('"') % 2):
        raise _UnusualError
    names, _ = with_header(records, form, str(path), header=header)
    if len(names) < 2 or any(name.startswith("column-") for name in names if header):
        raise _UnusualError  # one column, or a column without a name
    return form, names


def _in_good_order(path: Path, form: Form) -> bool:
    """Whether Arrow and :mod:`csv` read the file alike.

    They do where quotes open and close at a field's edge or stand doubled, carriage returns
    stand before newlines only, and there is no NUL.
    """
    edges = np.zeros(256, bool)
    edges[[ord(form.delimiter), _LF, _CR, _QUOTE]] = True
    before, quotes = b"\n", 0
    with path.open("rb") as stream:
        while True:
            chunk = stream.read(_BLOCK)
            block = np.frombuffer(before + (chunk or b"\n"), np.uint8)
            inner = block[1:-1]
            if (inner == _NUL).any():
                return False
            returns = np.flatnonzero(inner == _CR)
            if (block[returns + 2] != _LF).any():
                return False
            if form.quoting:
                found = np.flatnonzero(inner == _QUOTE)
                opens = (np.arange(len(found)) + quotes) % 2 == 0
                if not edges[block[found[opens]]].all():
                    return False
                if not edges[block[found[~opens] + 2]].all():
                    return False
                quotes += len(found)
            if not chunk:
                return quotes % 2 == 0
            before = block[-2:].tobytes()


def _read_jsonl(path: Path, choose: Choose, encoding: str | None) -> Columns:
    kept: _Kept | None = None
    with path.open("rb") as stream:
        if codec_of(stream.read(4), str(path), encoding) not in ("utf-8", "utf-8-sig"):
            raise _UnusualError
        stream.seek(0)
        for line in _lines(stream):
            row = from_json(line)
            if not isinstance(row, dict):
                raise _UnusualError
            if kept is None:
                kept = _Kept(tuple(row), choose)
                names = row.keys()
                texts, values = kept.choice.texts, kept.choice.values
            if row.keys() != names:
                raise _UnusualError  # the other reader knows all columns before it takes one
            for name in texts:
                kept.add_text(name, row[name])
            for name in values:
                kept.add_value(name, row[name])
    if kept is None:
        raise _UnusualError
    return kept.done()


def _lines(stream: Iterable[bytes]) -> Iterable[bytes]:
    for number, line in enumerate(stream):
        text = line if number else line.removeprefix(codecs.BOM_UTF8)
        if stripped := text.removesuffix(b"\n").removesuffix(b"\r"):
            yield stripped


def _read_parquet(path: Path, choose: Choose) -> Columns:
    arrow = importlib.import_module("pyarrow")
    parquet = importlib.import_module("pyarrow.parquet")
    # Without pre_buffer no thread of Arrow reads; see dimec.data.tables.read_parquet.
    with parquet.ParquetFile(path, pre_buffer=False) as file:
        schema = file.schema_arrow
        kept = _Kept(tuple(schema.names), choose)
        if len(set(schema.names)) < len(schema.names):
            raise _UnusualError
        for name in kept.choice.texts:
            if not (
                arrow.types.is_string(kind := schema.field(name).type)
                or arrow.types.is_large_string(kind)
            ):
                raise _UnusualError
        wanted = list(dict.fromkeys([*kept.choice.texts, *kept.choice.values]))
        for batch in file.iter_batches(columns=wanted, batch_size=1 << 14, use_threads=False):
            kept.add_batch(batch, arrow)
        return kept.done(class_names_in(schema.metadata))
