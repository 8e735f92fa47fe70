"""What was learnt as rows: all of it comes back, little is written, and no row can go astray."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import zlib
from collections.abc import Iterator

import numpy as np
import pytest

from dimec.mobile.state.memory import SCHEMA, Memory
from dimec.policies.kinds import Arrays


@pytest.fixture
def database() -> Iterator[sqlite3.Connection]:
    """Empty, with the table."""
    with contextlib.closing(sqlite3.connect(":memory:", isolation_level=None)) as opened:
        opened.execute(SCHEMA)
        yield opened


NOTHING = Memory.of({})
POOLS: Arrays = {
    "sums": np.arange(12.0).reshape(3, 4),
    "counts": np.array([1, 2, 3]),
    "seen": np.array(6),
}


def same(one: Arrays, other: Arrays) -> bool:
    """Bit for bit, NaN and signs of zero included."""
    kinds = [{name: (a.dtype, a.shape, a.tobytes()) for name, a in x.items()} for x in (one, other)]
    return kinds[0] == kinds[1]


@pytest.mark.parametrize(
    "arrays",
    [
        POOLS,
        {"seen": np.array(7), "flags": np.array([True, False]), "empty": np.zeros((0, 3))},
        {"none": np.zeros(0, np.float32), "deep": np.arange(24, dtype=np.int8).reshape(2, 3, 4)},
        {"größer, ☃": np.array([np.nan, -0.0, np.inf]), "other end": np.arange(4.0, dtype=">f4")},
        {"a": np.zeros((2, 3)), "seen": np.array(7), "b": np.array([1, 2]), "c": np.ones((3, 2))},
        {"no width": np.zeros((2, 0)), "": np.array(1)},
        {"turned": np.asfortranarray(np.arange(12.0).reshape(3, 4)), "wide": np.zeros((1, 2000))},
        {},
    ],
)
def test_all_of_it_comes_back(database: sqlite3.Connection, arrays: Arrays) -> None:
    Memory.of(arrays).write(database, NOTHING)
    found = Memory.read(database)
    assert same(found.arrays, arrays)
    assert found.rows == Memory.of(arrays).rows


def test_only_what_changed_is_written(database: sqlite3.Connection) -> None:
    before = Memory.of(POOLS)
    before.write(database, NOTHING)
    sums = POOLS["sums"].copy()
    sums[1] += 1
    after = Memory.of({**POOLS, "sums": sums, "counts": np.array([1, 3, 3])})
    written = database.total_changes
    after.write(database, before)
    assert database.total_changes - written == 1
    after.write(database, after)
    assert database.total_changes - written == 1
    assert same(Memory.read(database).arrays, after.arrays)


@pytest.mark.parametrize(
    "arrays",
    [
        {"sums": np.ones((5, 4)), "counts": np.array([1, 2, 3])},
        {"sums": np.ones((2, 4))},
        {"counts": np.array([1, 2, 3]), "sums": POOLS["sums"]},
        {},
    ],
)
def test_arrays_of_other_shapes_take_their_place(
    database: sqlite3.Connection, arrays: Arrays
) -> None:
    before, after = Memory.of(POOLS), Memory.of(arrays)
    before.write(database, NOTHING)
    after.write(database, before)
    assert same(Memory.read(database).arrays, arrays)


@pytest.mark.parametrize(
    ("statement", "problem"),
    [
        ("DELETE FROM memory WHERE seq = 0", "not all there"),
        ("DELETE FROM memory WHERE seq = 1", "not all there"),
        ("DELETE FROM memory WHERE seq < 3", "not all there"),
        ("DELETE FROM memory WHERE seq = 3", "not all there"),
        ("UPDATE memory SET seq = 4 WHERE seq = 3", "altered"),
        ("UPDATE memory SET seq = -1 WHERE seq = 2", "altered"),
        ("UPDATE memory SET total = 5", "altered"),
        ("UPDATE memory SET bytes = zeroblob(32) WHERE seq = 2", "altered"),
        ("UPDATE memory SET bytes = 'text', check_sum = 'text'", "altered"),
        (
            "UPDATE memory SET (bytes, check_sum) = "
            "(SELECT bytes, check_sum FROM memory WHERE seq = 0) WHERE seq = 1",
            "altered",
        ),
        (
            "INSERT INTO memory SELECT 4, total, arrays, bytes, check_sum "
            "FROM memory WHERE seq = 3",
            "altered",
        ),
    ],
)
def test_a_row_that_is_lost_altered_or_in_anothers_place_is_found(
    database: sqlite3.Connection, statement: str, problem: str
) -> None:
    Memory.of(POOLS).write(database, NOTHING)
    database.execute(statement)
    with pytest.raises(ValueError, match=problem):
        Memory.read(database)


@pytest.mark.parametrize(
    "foreign",
    [
        {"sums": np.ones((4, 4))},
        {**POOLS, "sums": np.ones((3, 5))},
        {**POOLS, "sums": np.ones((3, 4), np.float32)},
        {**POOLS, "counts": np.array([1, 2, 3], np.int8)},
        {"sums": POOLS["sums"], "numbers": POOLS["counts"], "seen": np.array(6)},
        {**POOLS, "sums": np.ones((2, 4)), "counts": np.ones((2, 4))},
    ],
)
def test_a_sound_row_of_another_memory_is_found(
    database: sqlite3.Connection, foreign: Arrays
) -> None:
    Memory.of(POOLS).write(database, NOTHING)
    with contextlib.closing(sqlite3.connect(":memory:", isolation_level=None)) as other:
        other.execute(SCHEMA)
        Memory.of(foreign).write(other, NOTHING)
        row = other.execute("SELECT * FROM memory WHERE seq = 1").fetchone()
    database.execute("REPLACE INTO memory VALUES (?, ?, ?, ?, ?)", row)
    with pytest.raises((ValueError, TypeError)):
        Memory.read(database)


def test_objects_are_refused(database: sqlite3.Connection) -> None:
    with pytest.raises(ValueError, match="Python objects"):
        Memory.of({"sums": np.array([None])})
    kinds, values = json.dumps([["sums", "|O", [1]]]), bytes(8)
    sound = zlib.crc32(values, zlib.crc32(f"0 1 {kinds}".encode()))
    database.execute("INSERT INTO memory VALUES (0, 1, ?, ?, ?)", (kinds, values, sound))
    with pytest.raises(ValueError, match="Python objects"):
        Memory.read(database)
