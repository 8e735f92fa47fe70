"""What was learnt, as rows of the state file.

An array of two or more axes is cut along the first, together with all other arrays that are as
long: an index is a tier's pool, say, its sum and its count, and an answer seldom changes more than
one. Whatever else there is goes into one row. Only rows that an answer changed are written with it.
None can be lost, altered or put in another's place without being missed: each says what it is and
how many there are, and its checksum covers all of that.
"""

from __future__ import annotations

import json
import sqlite3
import zlib
from functools import lru_cache
from typing import Any, NamedTuple, Self, TypeAlias

import numpy as np
import numpy.typing as npt

from dimec.policies.kinds import Arrays

SCHEMA = (
    "CREATE TABLE memory(seq INTEGER PRIMARY KEY, total INTEGER NOT NULL, "
    "arrays TEXT NOT NULL, bytes BLOB NOT NULL, check_sum INTEGER NOT NULL)"
)
_READ = "SELECT seq, total, arrays, bytes, check_sum FROM memory ORDER BY seq"
_WRITE = "INSERT OR REPLACE INTO memory VALUES (?, ?, ?, ?, ?)"
_FORGET = "DELETE FROM memory WHERE seq >= ?"

_Kind: TypeAlias = tuple[str, str, tuple[int, ...]]  # name, type and shape of an array
_Row: TypeAlias = tuple[str, bytes]  # the kinds of the arrays in it as JSON, and their values


class Memory(NamedTuple):
    """What was learnt, and the rows that hold it.

    Attributes:
        arrays: by name; empty before the first lesson.
        rows: in their order in the file.
    """

    arrays: Arrays
    rows: tuple[_Row, ...]

    @classmethod
    def of(cls, arrays: Arrays) -> Self:
        """The memory of these arrays, which must not change any more."""
        rows: list[_Row] = []
        for table in _tables(tuple((name, a.dtype.str, a.shape) for name, a in arrays.items())):
            length, size = table.length or 1, table.record.itemsize
            records = np.empty(length, table.record)
            for field, name in table.fields:
                records[field] = arrays[name]
            values = records.tobytes()
            rows += [(table.kinds, values[k * size : (k + 1) * size]) for k in range(length)]
        return cls(arrays, tuple(rows))

    @classmethod
    def read(cls, database: sqlite3.Connection) -> Self:
        """What the file holds.

        Raises:
            ValueError, TypeError: a row is missing, was altered, or belongs elsewhere.
        """
        numbers, rows = [], []
        for seq, total, kinds, values, check_sum in database.execute(_READ):
            numbers.append((seq, total))
            rows.append((kinds, values))
            if not isinstance(values, bytes) or check_sum != _check_sum(seq, total, kinds, values):
                raise ValueError(f"what was learnt was altered in row {seq}")
        if numbers != [(k, len(rows)) for k in range(len(rows))]:
            raise ValueError("what was learnt is not all there")
        memory = cls.of(_arrays_of(rows))
        if memory.rows != tuple(rows):
            raise ValueError("what was learnt does not go together")
        return memory

    def write(self, database: sqlite3.Connection, before: Memory) -> None:
        """Put it in place of the memory that the file holds."""
        total = len(self.rows)
        same = total == len(before.rows)  # else all have to be written, for each says how many
        for seq, row in enumerate(self.rows):
            if not (same and row == before.rows[seq]):
                database.execute(_WRITE, (seq, total, *row, _check_sum(seq, total, *row)))
        if not same:
            database.execute(_FORGET, (total,))


class _Table(NamedTuple):
    """Arrays whose values stand side by side.

    Attributes:
        kinds: of the arrays, as JSON.
        record: the type of a row's values.
        length: how many rows there are; 0 for one that has each array whole.
        fields: of the record, and the name of the array of each.
    """

    kinds: str
    record: np.dtype[Any]
    length: int
    fields: tuple[tuple[str, str], ...]


@lru_cache(16)  # asked for with each answer, and ever the same
def _tables(kinds: tuple[_Kind, ...]) -> tuple[_Table, ...]:
    """How arrays of these kinds are cut into rows."""
    lengths = {shape[0] for _, _, shape in kinds if len(shape) > 1}
    groups: dict[int, list[_Kind]] = {}
    for kind in kinds:
        first, *_ = (*kind[2], 0)
        groups.setdefault(first if first in lengths else 0, []).append(kind)
    return tuple(_table(group, length) for length, group in groups.items())


def _table(kinds: list[_Kind], length: int) -> _Table:
    fields = [
        (str(k), type_, shape[1:] if length else shape) for k, (_, type_, shape) in enumerate(kinds)
    ]
    names = tuple((str(k), name) for k, (name, _, _) in enumerate(kinds))
    record = np.dtype(fields)
    if record.hasobject:  # their bytes are addresses
        raise ValueError("Python objects are nothing that can be kept")
    return _Table(json.dumps(kinds), record, length, names)


def _arrays_of(rows: list[_Row]) -> Arrays:
    """The arrays that these rows hold.

    Raises:
        ValueError, TypeError: they hold none.
    """
    content: dict[str, bytearray] = {}
    for kinds, values in rows:
        content.setdefault(kinds, bytearray()).extend(values)
    arrays: dict[str, npt.NDArray[Any]] = {}
    for kinds, joined in content.items():
        (table,) = _tables(tuple((name, type_, tuple(s)) for name, type_, s in json.loads(kinds)))
        records = np.ndarray(table.length or 1, table.record, joined)
        for field, name in table.fields:
            column = records[field]
            arrays[name] = np.array(column if table.length else column[0, ...], order="C")
    return arrays


def _check_sum(seq: int, total: int, kinds: str, values: bytes) -> int:
    """CRC-32 of a row."""
    return zlib.crc32(values, zlib.crc32(f"{seq} {total} {kinds}".encode()))
