"""A part of a file, chunk by chunk: texts, and the columns that are kept."""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from dimec.base.errors import DataError, quoted, shown
from dimec.scoring.layout import ALL, Layout
from dimec.scoring.part import Text
from dimec.scoring.shards import Shard
from dimec.scoring.survey import Piece, opened, parquet_file

CHUNK = 4096  # rows that are read, answered and written together
_LONGEST = 1 << 24  # bytes of a line; a book has less


@dataclass(frozen=True, eq=False)
class Chunk:
    """Some rows of a file.

    Attributes:
        rows: their numbers in the file, from 1: of rows in Parquet, else of lines.
        texts: as many.
        kept: column → as many values, a pyarrow array of Parquet, else a list.
        read: rows, or lines, that were read for it, empty ones among them.
    """

    rows: list[int]
    texts: list[Text]
    kept: Mapping[str, Any] = field(default_factory=dict)
    read: int = 0


def read_chunks(shard: Shard, piece: Piece, layout: Layout, pairs: bool) -> Iterator[Chunk]:
    """The chunks of a part of a file; at least one, which tells the columns.

    Raises:
        DataError: names the file and the row.
    """
    if shard.kind == "parquet":
        yield from _parquet(shard, piece, layout, pairs)
        return
    with opened(shard.path) as stream:
        stream.seek(piece.offset)
        yield from _of_lines(shard, piece, layout, pairs, stream)


def _of_lines(
    shard: Shard, piece: Piece, layout: Layout, pairs: bool, stream: BinaryIO
) -> Iterator[Chunk]:
    parse = _JsonLine(shard, layout, pairs) if shard.kind == "jsonl" else _PlainLine(shard, pairs)
    left, number = piece.rows, piece.start
    while True:
        rows: list[int] = []
        texts: list[Text] = []
        kept: dict[str, list[Any]] = {}
        size = min(CHUNK, left)
        for _ in range(size):
            number += 1
            content = _line(stream, shard, number)
            if shard.kind == "jsonl" and not content.strip():
                continue
            text, values = parse(content, number)
            for name, value in values.items():
                kept.setdefault(name, [None] * len(rows)).append(value)
            rows.append(number)
            texts.append(text)
            for column in kept.values():  # a line without one of the columns
                column.extend([None] * (len(rows) - len(column)))
        left -= size
        yield Chunk(rows, texts, kept, size)
        if not left:
            return


def _line(stream: BinaryIO, shard: Shard, number: int) -> str:
    raw = stream.readline(_LONGEST + 1)
    if len(raw) > _LONGEST:
        raise DataError(
            f"{shard.path}, line {number}: longer than {_LONGEST:,} bytes, the most that a line "
            "may have; is it text, one a line?"
        )
    if number == 1:
        raw = raw.removeprefix(codecs.BOM_UTF8)
    try:
        return raw.removesuffix(b"\n").removesuffix(b"\r").decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{shard.path}, line {number}: expected UTF-8, got the byte 0x{raw[error.start]:02x}; "
            "convert the file"
        ) from None


class _PlainLine:
    """A text a line; of pairs a tab between the two."""

    def __init__(self, shard: Shard, pairs: bool) -> None:
        self._shard, self._pairs = shard, pairs

    def __call__(self, content: str, number: int) -> tuple[Text, dict[str, Any]]:
        if not self._pairs:
            return content, {}
        first, *others = content.split("\t")
        if len(others) != 1:
            raise DataError(
                f"{self._shard.path}, line {number}: expected two texts with a tab between them, "
                f"got {1 + len(others)}"
            )
        return (first, others[0]), {}


class _JsonLine:
    """An object a line."""

    def __init__(self, shard: Shard, layout: Layout, pairs: bool) -> None:
        self._shard, self._layout, self._pairs = shard, layout, pairs

    def __call__(self, content: str, number: int) -> tuple[Text, dict[str, Any]]:
        where = f"{self._shard.path}, line {number}"
        try:
            value = json.loads(content)
        except (ValueError, RecursionError) as error:
            raise DataError(
                f"{where}: not valid JSON ({shown(str(error), 80)}); write one object a line"
            ) from None
        if not isinstance(value, dict):
            raise DataError(f'{where}: expected an object such as {{"text": "..."}}')
        columns = self._layout.texts(list(value), where, self._pairs)
        text = _text([value[name] for name in columns if name is not None], where)
        # What one line lacks another may have: only what was named and is there is kept.
        names = [name for name in ("id", *self._layout.keep) if name in value]
        if self._layout.keep == (ALL,):
            names = [name for name in value if name not in columns]
        return text, {name: value[name] for name in names if name not in columns}


def _text(parts: list[Any], where: str) -> Text:
    for part in parts:
        if not isinstance(part, str):
            raise DataError(
                f'{where}: expected a text, got {quoted(part)}; write an empty one as ""'
            )
        try:
            part.encode("utf-8")
        except UnicodeEncodeError as error:
            raise DataError(
                f"{where}: character {error.start} of the text is none (half a surrogate pair); "
                "remove it"
            ) from None
    return (parts[0], parts[1]) if len(parts) == 2 else str(parts[0])


def _parquet(shard: Shard, piece: Piece, layout: Layout, pairs: bool) -> Iterator[Chunk]:
    with parquet_file(shard.path) as file:
        names = list(file.schema_arrow.names)
        columns = layout.texts(names, str(shard.path), pairs)
        kept = layout.kept(names, str(shard.path), columns)
        wanted = list(dict.fromkeys([*(c for c in columns if c is not None), *kept]))
        number = piece.start
        for table in _tables(file, piece, wanted):
            texts = [table.column(name).to_pylist() for name in columns if name is not None]
            rows = list(range(number + 1, number + 1 + len(table)))
            checked = [
                _text(list(parts), f"{shard.path}, row {row}")
                for row, parts in zip(rows, zip(*texts, strict=True), strict=True)
            ]
            number += len(table)
            values = {name: table.column(name) for name in kept}
            yield Chunk(rows, checked, values, len(rows))


def _tables(file: Any, piece: Piece, wanted: list[str]) -> Iterator[Any]:
    """The rows of a part in tables of a chunk's size, whatever the file's row groups are."""
    import pyarrow

    groups, before, seen = [], 0, 0
    for group in range(file.num_row_groups):
        size = file.metadata.row_group(group).num_rows
        if seen + size <= piece.start:
            before = seen + size
        elif seen < piece.start + piece.rows:
            groups.append(group)
        seen += size
    skip, left = piece.start - before, piece.rows
    held: list[Any] = []
    count = 0
    batches = file.iter_batches(
        batch_size=CHUNK, row_groups=groups, columns=wanted, use_threads=False
    )
    for batch in batches if piece.rows else ():
        passed = min(skip, len(batch))
        skip, batch = skip - passed, batch.slice(passed)
        while len(batch) and left:
            some = batch.slice(0, min(CHUNK - count, left))
            held.append(some)
            count, left, batch = count + len(some), left - len(some), batch.slice(len(some))
            if count == CHUNK or not left:
                yield pyarrow.Table.from_batches(held)
                held, count = [], 0
    if not piece.rows:
        yield file.schema_arrow.empty_table().select(wanted)
