"""What ``dimec predict --input`` reads: lines of text, and the tables that training reads."""

from __future__ import annotations

import codecs
import os
import queue
import stat
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from dimec.base.errors import ConfigError, DataError, option

if TYPE_CHECKING:
    from dimec.data.tables import Table
    from dimec.mobile import Mobile
    from dimec.mobile.arrivals import Arrival
    from dimec.mobile.batch.lines import Line
    from dimec.mobile.core import Text

FORMATS = ("text", "csv", "tsv", "json", "jsonl", "parquet", "arrow")
_TEXTS, _PAIRS, _IDS = ("text", "sentence", "sentence1"), ("pair", "sentence2"), ("id",)
_LULL, _AHEAD = 0.05, 64  # seconds; rows of a stream that may wait

Check = Callable[["Text", str | None], None]


@dataclass(frozen=True)
class Reading:
    """How an input is read: the options as they are given, None where they are not."""

    format: str | None = None
    text_column: str | None = None
    pair_column: str | None = None
    id_column: str | None = None
    delimiter: str | None = None
    encoding: str | None = None
    header: bool = True

    def source(self, given: str) -> Source:
        """The input that is named: a file, ``csv:FILE`` as training takes it, or - for a stream.

        Raises:
            ConfigError: no such format, or an option that does nothing for it.
        """
        from dimec.base.storage import expanded
        from dimec.data.tables import KINDS

        kind, colon, path = given.partition(":")
        if not (colon and kind in KINDS):
            name = given if given == "-" else str(expanded(given))
            return Source(name, self._kind(name), self)
        if self.format is not None:
            raise ConfigError(
                f"{option('format')} does nothing beside {kind}:FILE, which names it; leave it out"
            )
        return replace(self, format=kind).source(path)

    def _kind(self, name: str) -> str | None:
        """The format of an input; None for lines of text or of JSON objects, which they show."""
        from dimec.data.tables import check_options, kind_of

        kind = self.format or (None if name == "-" else kind_of(name))
        if self.format is not None and self.format not in FORMATS:
            raise ConfigError(
                f"{option('format')}: expected one of {', '.join(FORMATS)}, got {self.format!r}"
            )
        if kind in (None, "text"):
            for keyword in ("text_column", "pair_column", "id_column", "delimiter", "encoding"):
                if getattr(self, keyword) is not None:
                    raise self._needless(keyword)
            if not self.header:
                raise self._needless("header")
        else:
            check_options(
                kind or "", delimiter=self.delimiter, encoding=self.encoding, header=self.header
            )
        return kind

    def _needless(self, keyword: str) -> ConfigError:
        return ConfigError(
            f"{option(keyword)} does nothing for lines of text; name the {option('format')}, such "
            "as csv"
        )


class Source(NamedTuple):
    """An input: its name (- for standard input), its format, and how it is read."""

    name: str
    kind: str | None
    reading: Reading


def open_input(mobile: Mobile, source: Source, stack: ExitStack) -> tuple[int, int]:
    """Descriptor of the input, and how many texts there are, 0 where that cannot be known.

    A file is read through first, so that what is wrong with a line is told before any is answered.
    """
    name = source.name
    if name == "-":
        return sys.stdin.fileno(), 0
    try:
        descriptor = os.open(name, os.O_RDONLY)
    except FileNotFoundError:
        raise DataError(f"{name} does not exist; check the path") from None
    except OSError as error:
        raise DataError(f"cannot read {name}: {error.strerror}; check the path") from None
    stack.callback(os.close, descriptor)
    kind = os.fstat(descriptor).st_mode
    if stat.S_ISDIR(kind):
        raise DataError(f"cannot read {name}: it is a folder; check the path")
    if not stat.S_ISREG(kind):
        return descriptor, 0
    total = sum(line is not None for line in lines_of(mobile, descriptor, source))
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor, total


def lines_of(mobile: Mobile, descriptor: int, source: Source) -> Iterator[Line | None]:
    """The texts of an input that is open, checked; None for a lull."""
    from dimec.mobile.batch.lines import read_lines

    name, kind, core = source.name, source.kind, mobile.engine.core
    plain = kind in (None, "text") or (
        kind == "jsonl"
        and source.reading in (Reading(), Reading("jsonl"))
        and name[-3:] != ".gz"
        and not (name != "-" and _is_array(descriptor))
    )
    if not plain and kind is not None:
        return read_rows(
            descriptor, name, kind, source.reading, pairs=core.pairs, check=mobile.engine.check
        )
    return read_lines(
        descriptor,
        "standard input" if name == "-" else name,
        pairs=core.pairs,
        check=mobile.engine.check,
        jsonl=kind == "jsonl",
        plain=kind == "text",
    )


def _is_array(descriptor: int) -> bool:
    """Whether a file that is called JSON lines is an array, which training reads too."""
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        return False
    start = os.read(descriptor, 100)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return start.removeprefix(codecs.BOM_UTF8).lstrip().startswith(b"[")


def arrivals_of(lines: Iterator[Line | None]) -> Iterator[Arrival]:
    """The texts and their ids, as a mobile takes them."""
    for line in lines:
        yield None if line is None else (line.text, line.id)


def read_rows(
    descriptor: int, name: str, kind: str, reading: Reading, *, pairs: bool, check: Check
) -> Iterator[Line | None]:
    """Texts of a table; of a pipe as they come, with None for a lull.

    Raises:
        DataError: names the row: what training refuses, an id that came before, no text.
        ConfigError: a column that the model does not take.
    """
    from dimec.mobile.batch.lines import Checked

    if reading.pair_column is not None and not pairs:
        raise ConfigError(f"{option('pair_column')} does nothing: this model takes one text")
    whole = stat.S_ISREG(os.fstat(descriptor).st_mode) and name != "-"
    shown = "standard input" if name == "-" else name
    if not whole and kind not in ("csv", "tsv"):
        what = f"{kind} with options of tables" if kind == "jsonl" else kind
        raise DataError(f"{shown}: {what} is read from a file only, not from a stream")
    table, rows = (
        _of_file(Path(name), kind, reading)
        if whole
        else _of_stream(descriptor, shown, kind, reading)
    )
    places = [
        _column(table, reading.text_column, _TEXTS, "text_column"),
        _column(table, reading.pair_column, _PAIRS, "pair_column") if pairs else None,
        _column(table, reading.id_column, _IDS, "id_column"),
    ]
    checked = Checked(shown, check, table.unit)
    for row in rows:
        if row is None:
            yield None
            continue
        number, cells = row
        text, pair, id_ = (None if place is None else cells[place] for place in places)
        yield checked.row(number, text, pair, id_, pairs=pairs)


Rows = Iterator[tuple[int, tuple[Any, ...]] | None]


def _of_file(path: Path, kind: str, reading: Reading) -> tuple[Table, Rows]:
    from dimec.data.tables import read_table

    table = read_table(
        path, kind, delimiter=reading.delimiter, encoding=reading.encoding, header=reading.header
    )
    return table, iter(table.rows)


def _of_stream(descriptor: int, name: str, kind: str, reading: Reading) -> tuple[Table, Rows]:
    from dimec.data.delimited import (
        Form,
        csv_records,
        delimiter_of,
        find_form,
        tsv_records,
        with_header,
    )
    from dimec.data.tables import Table
    from dimec.mobile.batch.lines import LONGEST_LINE

    lines = _decoded(descriptor, name, reading.encoding)
    first = next(lines, "")

    def all_lines() -> Iterator[str]:
        yield first
        yield from lines

    if kind == "tsv":
        form = Form("\t", quoting=False)
        numbered = enumerate((line.rstrip("\r\n") for line in all_lines()), start=1)
        records = tsv_records((number, line) for number, line in numbered if line)
    else:
        given = None if reading.delimiter is None else delimiter_of(reading.delimiter)
        form = find_form(lambda: [first], name, given)
        records = csv_records(all_lines(), form, name, longest=LONGEST_LINE, header=reading.header)
    columns, rows = with_header(iter(records), form, name, header=reading.header)
    return Table(Path(name), columns, [], headed=reading.header), _pumped(rows)


def _decoded(descriptor: int, name: str, encoding: str | None) -> Iterator[str]:
    """Lines with their ends, as they come."""
    from dimec.data.sources import codec_of, undecodable
    from dimec.mobile.batch.lines import LONGEST_LINE, chunks, too_long

    parts: list[str] = []
    number, size = 1, 0
    decoder: codecs.IncrementalDecoder | None = None
    codec = "utf-8"
    for chunk in _and_end(chunks(descriptor)):
        if decoder is None:
            codec = codec_of(chunk, name, encoding)
            decoder = codecs.getincrementaldecoder(codec)()
        try:
            text = decoder.decode(chunk, final=not chunk)
        except UnicodeDecodeError as error:
            raise undecodable(name, number, codec, error.object[error.start]) from None
        *ends, rest = text.split("\n")
        for end in ends:
            yield "".join([*parts, end, "\n"])
            parts, size, number = [], 0, number + 1
        parts.append(rest)
        size += len(rest)
        if size > LONGEST_LINE:
            raise too_long(name, number)
    if size:
        yield "".join(parts)


def _and_end(source: Iterator[bytes | None]) -> Iterator[bytes]:
    yield from (chunk for chunk in source if chunk is not None)
    yield b""


def _pumped(rows: Iterator[tuple[int, tuple[str, ...]]]) -> Rows:
    """The rows, read by a thread so that a lull within one of several lines is noticed too."""
    waiting: queue.Queue[Any] = queue.Queue(_AHEAD)

    def pump() -> None:
        try:
            for row in rows:
                waiting.put(row)
            waiting.put(StopIteration())
        except Exception as error:
            waiting.put(error)

    threading.Thread(target=pump, daemon=True).start()
    while True:
        try:
            item = waiting.get(timeout=_LULL)
        except queue.Empty:
            yield None
            item = waiting.get()
        if isinstance(item, StopIteration):
            return
        if isinstance(item, Exception):
            raise item
        yield item


def _column(table: Table, named: str | None, usual: tuple[str, ...], keyword: str) -> int | None:
    """Where a column is; None where it is not named and no row needs it."""
    if named is not None:
        return table.position(named, keyword)
    for name in usual:
        if name in table.columns:
            return table.columns.index(name)
    if keyword == "id_column":
        return None
    if keyword == "text_column" and len(table.columns) == 1 and table.columns[0] == "column-1":
        return 0
    from dimec.data.files import header_hint
    from dimec.data.sources import shown_names

    raise DataError(
        f"{table.path}: no column called {' or '.join(usual)}; name it with {option(keyword)}: "
        f"the file has {shown_names(table.columns, 4) or 'no rows'}{header_hint(table)}"
    )
