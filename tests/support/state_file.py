"""A mobile's state file, read with sqlite alone: what must hold at every moment."""

from __future__ import annotations

import contextlib
import sqlite3
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dimec.routing import CentroidRouter
from dimec.tiers.names import TIER_NAMES


def read_answers(path: Path) -> list[dict[str, Any]]:
    """All recorded answers in the order in which they were recorded."""
    with contextlib.closing(_open(path)) as database:
        rows = database.execute("SELECT * FROM answers ORDER BY seq").fetchall()
    return [dict(row) for row in rows]


def check_state(
    path: Path,
    router: CentroidRouter,
    embeddings: Mapping[str, npt.NDArray[np.floating]],
    *,
    adaptive: bool,
) -> list[dict[str, Any]]:
    """Check the file, every answer's identity, and the pools against the answers.

    Args:
        path: the state file; no process may write to it.
        router: as fitted.
        embeddings: id → (D,) of every answer that may be recorded.
        adaptive: whether the mobile learnt.

    Returns:
        The answers.
    """
    with contextlib.closing(_open(path)) as database:
        assert database.execute("PRAGMA integrity_check").fetchall()[0][0] == "ok"
        rows = database.execute("SELECT bytes FROM memory ORDER BY seq").fetchall()
    pools = _pools(rows) if rows else router.state()
    assert bool(rows) == (adaptive and bool(read_answers(path)))
    answers = read_answers(path)
    ids = [answer["id"] for answer in answers]
    assert len(set(ids)) == len(ids)
    assert set(ids) <= set(embeddings)
    assert [answer["seq"] for answer in answers] == list(range(1, len(answers) + 1))
    assert {answer["learnt"] for answer in answers} <= {int(adaptive)}
    learnt = answers if adaptive else []
    by_route = Counter(answer["route"] for answer in learnt)
    for tier, name in enumerate(TIER_NAMES):
        total, count = pools["sums"][tier], pools["counts"][tier]
        taken = [embeddings[a["id"]] for a in learnt if a["route"] == name]
        assert count == router.counts[tier] + by_route[name]
        expected = router.sums[tier] + np.sum(taken, axis=0, dtype=np.float64)
        np.testing.assert_allclose(total, expected, rtol=1e-9, atol=1e-6)
    return answers


def _pools(rows: list[sqlite3.Row]) -> Mapping[str, Any]:
    """Of a centroid router, from the rows of its memory: a tier's sum, and then its count."""
    blobs = [row["bytes"] for row in rows]
    return {
        "sums": [np.frombuffer(blob[:-8], np.float64) for blob in blobs],
        "counts": [int.from_bytes(blob[-8:], sys.byteorder) for blob in blobs],
    }


def _open(path: Path) -> sqlite3.Connection:
    assert path.exists()
    database = sqlite3.connect(path)
    database.row_factory = sqlite3.Row
    return database
