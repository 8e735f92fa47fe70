"""The tables of the state file, and answers and what was learnt as rows of them."""

from __future__ import annotations

import json
import time
import zlib
from typing import Any, NamedTuple

import safetensors.numpy
from safetensors import SafetensorError

from dimec.mobile.prediction import Prediction, Stay
from dimec.policies.kinds import Arrays

SCHEMA = (
    "CREATE TABLE meta(key TEXT PRIMARY KEY, value TEXT NOT NULL)",
    "CREATE TABLE memory(seq INTEGER PRIMARY KEY CHECK (seq = 1), arrays BLOB NOT NULL, "
    "check_sum INTEGER NOT NULL)",
    "CREATE TABLE answers(seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, time REAL NOT NULL, "
    "label TEXT NOT NULL, probability REAL NOT NULL, probabilities TEXT NOT NULL, "
    "route TEXT NOT NULL, distances TEXT NOT NULL, margin REAL, path TEXT NOT NULL, "
    "answered_by TEXT NOT NULL, fallback_reason TEXT, tried TEXT NOT NULL, "
    "milliseconds REAL NOT NULL, cost REAL NOT NULL, learnt INTEGER NOT NULL)",
    "CREATE TABLE jobs(target TEXT PRIMARY KEY, id TEXT NOT NULL, time REAL NOT NULL)",
)
_COLUMNS = (
    "id, label, probability, probabilities, route, distances, margin, path, answered_by, "
    "fallback_reason, tried, milliseconds, cost"
)
INSERT = (
    f"INSERT INTO answers({_COLUMNS}, time, learnt) VALUES ({', '.join('?' * 15)}) "
    "ON CONFLICT(id) DO NOTHING"
)
SELECT = f"SELECT {_COLUMNS} FROM answers WHERE id = ?"


# What was learnt is one row, so that it is there whole or not at all.
# Updated in place: sqlite writes only those pages of it that differ.
WRITE_MEMORY = (
    "INSERT INTO memory VALUES (1, ?, ?) "
    "ON CONFLICT(seq) DO UPDATE SET arrays = excluded.arrays, check_sum = excluded.check_sum"
)
READ_MEMORY = "SELECT arrays, check_sum FROM memory"
ANY_LEARNT = "SELECT EXISTS (SELECT 1 FROM answers WHERE learnt)"


class Record(NamedTuple):
    """An answer to be recorded, and what the policy is to learn from it; None for nothing."""

    prediction: Prediction
    lesson: object | None


def memory_row(arrays: Arrays) -> tuple[bytes, int]:
    """The values of :data:`WRITE_MEMORY`."""
    blob = safetensors.numpy.save(dict(arrays))
    return blob, zlib.crc32(blob)


def arrays_of(row: tuple[Any, Any]) -> Arrays:
    """The arrays of a row of :data:`READ_MEMORY`.

    Raises:
        ValueError: the row was altered.
    """
    blob, check = row
    if not isinstance(blob, bytes) or zlib.crc32(blob) != check:
        raise ValueError("what was learnt was altered")
    try:
        return safetensors.numpy.load(blob)
    except SafetensorError as error:
        raise ValueError(f"what was learnt cannot be read: {error}") from None


def row_of(prediction: Prediction, lesson: object | None) -> tuple[Any, ...]:
    """The values of :data:`INSERT`."""
    p = prediction
    return (
        *(p.id, p.label, p.probability, json.dumps(p.probabilities), p.route),
        *(json.dumps(p.distances), p.margin, json.dumps([vars(stay) for stay in p.path])),
        *(p.answered_by, p.fallback_reason, ",".join(p.tried)),
        *(p.milliseconds, p.cost, time.time(), lesson is not None),
    )


def prediction_of(row: tuple[Any, ...]) -> Prediction:
    """The answer of a row of :data:`SELECT`."""
    id_, label, probability, probabilities, route, distances, margin, *rest = row
    path, answered_by, fallback_reason, tried, milliseconds, cost = rest
    return Prediction(
        id=id_,
        label=label,
        probability=probability,
        probabilities=json.loads(probabilities),
        route=route,
        distances=json.loads(distances),
        margin=margin,
        path=tuple(Stay(**stay) for stay in json.loads(path)),
        answered_by=answered_by,
        fallback_reason=fallback_reason,
        tried=tuple(tried.split(",")) if tried else (),
        milliseconds=milliseconds,
        cost=cost,
        recorded=True,
    )
