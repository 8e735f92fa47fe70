"""The tables of the state file, and answers as rows of them."""

from __future__ import annotations

import json
import time
from functools import lru_cache
from typing import Any, NamedTuple

from dimec.mobile.prediction import Prediction, Stay
from dimec.mobile.state import audits, memory
from dimec.mobile.state.audits import Audited

SCHEMA = (
    "CREATE TABLE meta(key TEXT PRIMARY KEY, value TEXT NOT NULL)",
    memory.SCHEMA,
    "CREATE TABLE answers(seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, time REAL NOT NULL, "
    "label TEXT NOT NULL, probability REAL NOT NULL, probabilities TEXT NOT NULL, "
    "route TEXT NOT NULL, distances TEXT NOT NULL, margin REAL, path TEXT NOT NULL, "
    "answered_by TEXT NOT NULL, fallback_reason TEXT, tried TEXT NOT NULL, "
    "milliseconds REAL NOT NULL, cost REAL NOT NULL, learnt INTEGER NOT NULL, "
    "safe INTEGER NOT NULL DEFAULT 0)",
    "CREATE TABLE jobs(target TEXT PRIMARY KEY, id TEXT NOT NULL, time REAL NOT NULL)",
    *audits.SCHEMA,
)
# What a file of an earlier version lacks.
LATER = audits.SCHEMA
LATER_COLUMN = "ALTER TABLE answers ADD COLUMN safe INTEGER NOT NULL DEFAULT 0"
_COLUMNS = (
    "id, label, probability, probabilities, route, distances, margin, path, answered_by, "
    "fallback_reason, tried, milliseconds, cost, safe"
)
INSERT = (
    f"INSERT INTO answers({_COLUMNS}, time, learnt) VALUES ({', '.join('?' * 16)}) "
    "ON CONFLICT(id) DO NOTHING"
)
SELECT = f"SELECT {_COLUMNS} FROM answers WHERE id = ?"
ANY_LEARNT = "SELECT EXISTS (SELECT 1 FROM answers WHERE learnt)"


class Record(NamedTuple):
    """An answer to be recorded.

    Attributes:
        prediction: the answer.
        lesson: what the policy is to learn from it; None for nothing.
        audited: what the last tier says of the text, where it was picked for the audit.
    """

    prediction: Prediction
    lesson: object | None
    audited: Audited | None = None


def row_of(record: Record) -> tuple[Any, ...]:
    """The values of :data:`INSERT`."""
    p = record.prediction
    return (
        *(p.id, p.label, p.probability, json.dumps(p.probabilities), p.route),
        *(json.dumps(p.distances), p.margin, _path_of(p.path)),
        *(p.answered_by, p.fallback_reason, ",".join(p.tried)),
        *(p.milliseconds, p.cost, p.safe, time.time(), record.lesson is not None),
    )


@lru_cache(256)  # few are possible
def _path_of(path: tuple[Stay, ...]) -> str:
    """A path as JSON."""
    return json.dumps([vars(stay) for stay in path])


def prediction_of(row: tuple[Any, ...]) -> Prediction:
    """The answer of a row of :data:`SELECT`."""
    id_, label, probability, probabilities, route, distances, margin, *rest = row
    path, answered_by, fallback_reason, tried, milliseconds, cost, safe = rest
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
        safe=bool(safe),
    )
