"""What was learnt, as rows of the state file: one for each array, or for each part of it.

An array of two or more axes is cut along the first, and only the rows that an answer changed are
written with it. An index of the first axis is a tier's pool, say, or an arm's sums, and an answer
seldom changes more than one of them. No row can be lost, altered or put in another's place without
being missed: each says what it is and how many there are, and its checksum covers all of that.
"""

from __future__ import annotations

import json
import sqlite3
import zlib
from itertools import zip_longest
from typing import NamedTuple, Self

import numpy as np

from dimec.policies.kinds import Arrays

SCHEMA = (
    "CREATE TABLE memory(seq INTEGER PRIMARY KEY, total INTEGER NOT NULL, name TEXT NOT NULL, "
    "type TEXT NOT NULL, shape TEXT NOT NULL, bytes BLOB NOT NULL, check_sum INTEGER NOT NULL)"
)
_READ = "SELECT seq, total, name, type, shape, bytes, check_sum FROM memory ORDER BY seq"
_WRITE = "INSERT OR REPLACE INTO memory VALUES (?, ?, ?, ?, ?, ?, ?)"
_FORGET = "DELETE FROM memory WHERE seq >= ?"


class _Row(NamedTuple):
    """A part of an array.

    Attributes:
        seq: its position among all rows, from 0.
        total: how many rows there are.
        name: of the array.
        type: the array's, as numpy and JSON write it.
        shape: the whole array's, as JSON.
        bytes: the part's values in C order.
    """

    seq: int
    total: int
    name: str
    type: str
    shape: str
    bytes: bytes

    def check_sum(self) -> int:
        """CRC-32 of all of it."""
        return zlib.crc32(self.bytes, zlib.crc32(repr(self[:-1]).encode()))


class Memory(NamedTuple):
    """What was learnt, and the rows that hold it.

    Attributes:
        arrays: by name; empty before the first lesson.
        rows: in the order of the arrays and of their parts.
    """

    arrays: Arrays
    rows: tuple[_Row, ...]

    @classmethod
    def of(cls, arrays: Arrays) -> Self:
        """The memory of these arrays, which must not change any more."""
        parts = [
            (*whole, part.tobytes())
            for name, array in arrays.items()
            for whole in [(name, array.dtype.str, json.dumps(array.shape))]
            for part in (array if array.ndim > 1 and len(array) else array[None])
        ]
        return cls(arrays, tuple(_Row(k, len(parts), *part) for k, part in enumerate(parts)))

    @classmethod
    def read(cls, database: sqlite3.Connection) -> Self:
        """What the file holds.

        Raises:
            ValueError, TypeError: a row is missing, was altered, or belongs elsewhere.
        """
        rows = []
        for *values, check_sum in database.execute(_READ):
            rows.append(row := _Row(*values))
            if not isinstance(row.bytes, bytes) or row.check_sum() != check_sum:
                raise ValueError(f"what was learnt was altered in row {row.seq}")
        if any((row.seq, row.total) != (k, len(rows)) for k, row in enumerate(rows)):
            raise ValueError("what was learnt is not all there")
        memory = cls.of(_joined(rows))
        if memory.rows != tuple(rows):
            raise ValueError("what was learnt does not go together")
        return memory

    def write(self, database: sqlite3.Connection, before: Memory) -> None:
        """Put it in place of the memory that the file holds."""
        changed = [
            (*row, row.check_sum())
            for row, old in zip_longest(self.rows, before.rows)
            if row is not None and row != old
        ]
        database.executemany(_WRITE, changed)
        if len(self.rows) < len(before.rows):
            database.execute(_FORGET, (len(self.rows),))


def _joined(rows: list[_Row]) -> Arrays:
    """The arrays of which these are the parts."""
    content: dict[tuple[str, str, str], bytearray] = {}
    for row in rows:
        content.setdefault((row.name, row.type, row.shape), bytearray()).extend(row.bytes)
    return {
        name: np.frombuffer(values, np.dtype(type_)).reshape(json.loads(shape))
        for (name, type_, shape), values in content.items()
    }
