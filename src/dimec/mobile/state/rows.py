"""The tables of the state file, and answers and pools as rows of them."""

from __future__ import annotations

import json
import sqlite3
import time
import zlib
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from dimec.mobile.prediction import Prediction

SCHEMA = (
    "CREATE TABLE meta(key TEXT PRIMARY KEY, value TEXT NOT NULL)",
    "CREATE TABLE pools(tier TEXT PRIMARY KEY, sum BLOB NOT NULL, count INTEGER NOT NULL, "
    "check_sum INTEGER NOT NULL)",
    "CREATE TABLE answers(seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, time REAL NOT NULL, "
    "label TEXT NOT NULL, probability REAL NOT NULL, probabilities TEXT NOT NULL, "
    "route TEXT NOT NULL, distances TEXT NOT NULL, margin REAL, served_by TEXT NOT NULL, "
    "fallback_reason TEXT, tried TEXT NOT NULL, milliseconds REAL NOT NULL, cost REAL NOT NULL, "
    "learnt INTEGER NOT NULL)",
    "CREATE TABLE jobs(target TEXT PRIMARY KEY, id TEXT NOT NULL, time REAL NOT NULL)",
)
_COLUMNS = (
    "id, label, probability, probabilities, route, distances, margin, served_by, fallback_reason, "
    "tried, milliseconds, cost"
)
INSERT = (
    f"INSERT INTO answers({_COLUMNS}, time, learnt) VALUES ({', '.join('?' * 14)}) "
    "ON CONFLICT(id) DO NOTHING"
)
SELECT = f"SELECT {_COLUMNS} FROM answers WHERE id = ?"


class Record(NamedTuple):
    """An answer to be recorded, and the (D,) embedding that the router learnt, if it did."""

    prediction: Prediction
    embedding: npt.NDArray[np.floating] | None


def new_pool(tier: str) -> tuple[str, bytes, int, int]:
    """The values of a row of ``pools`` that is yet to be written by :func:`write_pool`."""
    return tier, b"", 0, 0


def write_pool(
    database: sqlite3.Connection, tier: str, total: npt.NDArray[np.float64], count: int
) -> None:
    """Put a pool's (D,) sum and its count in place of the old ones."""
    blob = total.astype("<f8").tobytes()
    row = (blob, count, check_sum(blob, count), tier)
    database.execute("UPDATE pools SET sum = ?, count = ?, check_sum = ? WHERE tier = ?", row)


def check_sum(total: bytes, count: int) -> int:
    """Tells a pool that was altered from a sound one."""
    return zlib.crc32(b"%d" % count, zlib.crc32(total))


def row_of(prediction: Prediction, learnt: bool) -> tuple[Any, ...]:
    """The values of :data:`INSERT`."""
    p = prediction
    return (
        *(p.id, p.label, p.probability, json.dumps(p.probabilities), p.route),
        *(json.dumps(p.distances), p.margin, p.served_by, p.fallback_reason, ",".join(p.tried)),
        *(p.milliseconds, p.cost, time.time(), learnt),
    )


def prediction_of(row: tuple[Any, ...]) -> Prediction:
    """The answer of a row of :data:`SELECT`."""
    id_, label, probability, probabilities, route, distances, margin, *rest = row
    served_by, fallback_reason, tried, milliseconds, cost = rest
    return Prediction(
        id=id_,
        label=label,
        probability=probability,
        probabilities=json.loads(probabilities),
        route=route,
        distances=json.loads(distances),
        margin=margin,
        served_by=served_by,
        fallback_reason=fallback_reason,
        tried=tuple(tried.split(",")) if tried else (),
        milliseconds=milliseconds,
        cost=cost,
        recorded=True,
    )
