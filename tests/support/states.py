"""States of a mobile without a mobile: arrays that learn, and answers made up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from dimec.base.errors import DataError
from dimec.mobile.prediction import Prediction, Stay
from dimec.mobile.state.rows import Record
from dimec.mobile.state.store import State
from dimec.policies.kinds import Arrays
from dimec.tiers.names import TIER_NAMES

WIDTH = 8
IDENTITY = "ab" * 32


def open_state(path: Path | str, identity: str = IDENTITY) -> State:
    return State(path, identity, TIER_NAMES, check)


def check(arrays: Arrays) -> None:
    """What :func:`learn` makes, or DataError."""
    found = {name: (str(array.dtype), array.shape) for name, array in arrays.items()}
    if found != {"sum": ("float64", (WIDTH,)), "count": ("int64", ())}:
        raise DataError(f"expected a sum and a count, got {found}")


def learn(known: Arrays, records: Sequence[Record]) -> Arrays:
    """The sum of all lessons, and their number."""
    total, count = known.get("sum", np.zeros(WIDTH)), known.get("count", np.array(0))
    for record in records:
        assert isinstance(record.lesson, np.ndarray)
        total, count = total + record.lesson, count + 1
    return {"sum": total, "count": np.array(count, np.int64)}


def learnt_by(state: State) -> tuple[bytes, int]:
    """What is in the file, bit for bit."""
    return state.arrays["sum"].tobytes(), int(state.arrays["count"])


def prediction(id_: str, **changes: Any) -> Prediction:
    plain = Prediction(
        id=id_,
        label="größer",
        probability=0.1 + 0.2,
        probabilities={"größer": 0.1 + 0.2, "b": 1 - (0.1 + 0.2)},
        route="cloud",
        distances={"mobile": 1 / 3, "edge": None, "cloud": 0.0},
        margin=1 / 3,
        path=(Stay("mobile", 0, 2, None),),
        answered_by="mobile",
        fallback_reason="cloud: timeout; edge: unreachable",
        tried=("cloud", "edge"),
        milliseconds=1.25,
        cost=8.5,
        recorded=True,
    )
    return replace(plain, **changes)


def embedding(seed: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    return np.random.default_rng(seed).standard_normal(WIDTH).astype(np.float32)
