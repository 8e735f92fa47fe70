"""States of a mobile without a mobile: a router of three pools, and answers made up."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from dimec.mobile.prediction import Prediction
from dimec.mobile.state.store import State

WIDTH = 8
SUMS = np.arange(3.0 * WIDTH).reshape(3, WIDTH)
COUNTS = np.array([4, 0, 2])
IDENTITY = "ab" * 32


def open_state(path: Path | str, identity: str = IDENTITY) -> State:
    return State(path, identity, SUMS, COUNTS)


def prediction(id_: str, **changes: Any) -> Prediction:
    plain = Prediction(
        id=id_,
        label="größer",
        probability=0.1 + 0.2,
        probabilities={"größer": 0.1 + 0.2, "b": 1 - (0.1 + 0.2)},
        route="cloud",
        distances={"mobile": 1 / 3, "edge": None, "cloud": 0.0},
        margin=1 / 3,
        served_by="mobile",
        fallback_reason="cloud: timeout; edge: unreachable",
        tried=("cloud", "edge"),
        milliseconds=1.25,
        cost=8.5,
        recorded=True,
    )
    return replace(plain, **changes)


def embedding(seed: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    return np.random.default_rng(seed).standard_normal(WIDTH).astype(np.float32)
