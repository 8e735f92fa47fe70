"""A hand-made ledger and small inputs; nothing is trained."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from dimec.cartography import DataMap, build_pools
from dimec.evaluation.ledger import Ledger, LedgerRow
from dimec.report import PooledInputs

# policy, accuracy, metric, drop and its interval, cost, reduction and its interval, shares
_ROWS = (
    ("all-mobile", 0.801, 0.60, 0.111, 0.091, 0.132, 3.0, 2 / 3, 2 / 3, 2 / 3, 1.0, 0.0, 0.0),
    ("all-edge", 0.843, 0.68, 0.069, 0.052, 0.087, 5.5, 0.389, 0.389, 0.389, 0.0, 1.0, 0.0),
    ("all-cloud", 0.912, 0.82, 0.0, 0.0, 0.0, 9.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0),
    ("random", 0.852, 0.7, 0.06, 0.049, 0.071, 5.83, 0.352, 0.352, 0.352, 1 / 3, 1 / 3, 1 / 3),
    ("dimec-fixed", 0.887, 0.77, 0.025, 0.012, 0.038, 5.93, 0.341, 0.323, 0.36, 0.61, 0.09, 0.3),
    ("random@dimec-fixed", 0.86, 0.7, 0.052, 0.04, 0.06, 5.93, 0.341, 0.34, 0.34, 0.61, 0.09, 0.3),
    ("oracle", 0.962, 0.92, -0.05, -0.064, -0.037, 4.1, 0.544, 0.53, 0.559, 0.8, 0.08, 0.12),
)

_CONTEXT: dict[str, Any] = {
    "task": "vader/movies",
    "backbone": "minilm-l6",
    "exits": [2, 3, 6],
    "samples": 1061,
    "train_rows": 8484,
    "alpha": 0.6,
    "beta": 0.02,
    "grid": "quantile",
    "lam": 0.01,
    "seed": 0,
    "cloud_charge": 6.0,
    "prices": [3.0, 5.5, 9.0],
    "draws": 1000,
    "versions": {"dimec": "0.1.0"},
}


@pytest.fixture
def ledger() -> Ledger:
    """Seven policies of a two-class task."""
    rows = [LedgerRow(*row) for row in _ROWS]
    at = [row.policy for row in rows].index("dimec-fixed")
    rows[at] = replace(rows[at], gain=0.027, gain_low=0.011, gain_high=0.042)
    return Ledger(tuple(rows), "accuracy", dict(_CONTEXT))


@pytest.fixture
def change_row() -> Callable[..., Ledger]:
    """``change_row(ledger, policy, drop=…)``: the ledger with one row changed."""

    def change(ledger: Ledger, policy: str, /, **values: Any) -> Ledger:
        rows = tuple(replace(r, **values) if r.policy == policy else r for r in ledger.rows)
        return replace(ledger, rows=rows)

    return change


@pytest.fixture
def make_inputs(ledger: Ledger) -> Callable[..., PooledInputs]:
    """``make_inputs(count, beta=…)``: validation samples drawn from a fixed seed."""

    def make(count: int = 60, *, beta: float = 0.02, **others: Any) -> PooledInputs:
        rng = np.random.default_rng(3)
        data_map = DataMap.from_probabilities(rng.beta(4, 1.5, size=(5, count)))
        values: dict[str, Any] = {
            "ledger": ledger,
            "data_map": data_map,
            "pools": build_pools(data_map, 0.6, beta),
            "alpha": 0.6,
            "beta": beta,
            "embeddings": rng.normal(size=(count, 8)).astype(np.float32),
            "exit_accuracy": {"": {2: 0.801, 3: 0.843, 4: 0.88, 6: 0.912}},
            "tiers": (2, 3, 6),
            "seed": 0,
        }
        return PooledInputs(**(values | others))

    return make
