"""Thresholds on the confidence, one per exit and predicted class: the rule, and how it is fitted.

An exit answers where its largest probability is at least the threshold of the exit and of the class
that it predicts. One threshold per exit, one for all, and "always" or "never" by the class are
special cases of the same table.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from dimec.base.arrays import BoolArray, FloatArray, IntArray
from dimec.policies.kinds import Arrays, register_kind
from dimec.policies.literature.exit_walk import (
    Exit,
    Probabilities,
    Seen,
    WalkPolicy,
    stored_way,
)

ALWAYS, NEVER = 0.0, 2.0  # thresholds that every confidence reaches, and that none does
MOST_CANDIDATES = 200  # of one threshold: all confidences that occur, or so many quantiles
_SWEEPS = 20

Cells = Literal["exit", "class"]
Candidates = Literal["confidences", "gate"]


class ThresholdsPolicy(WalkPolicy):
    """Answer at the first exit that is as confident as its class has to be.

    Args:
        name: of its row.
        way: E exits, in order.
        thresholds: (E - 1, C) of each exit but the last, and of each class; 2 is never reached.

    Raises:
        ValueError: not as many thresholds, or one that is not finite.
    """

    kind = "exit-thresholds"

    def __init__(self, name: str, way: Sequence[Exit], thresholds: npt.ArrayLike) -> None:
        super().__init__(name, way)
        self.thresholds = np.asarray(thresholds, np.float64)
        if self.thresholds.ndim != 2 or len(self.thresholds) != len(self.way) - 1:
            raise ValueError(
                f"{len(self.way)} exits need thresholds of the shape ({len(self.way) - 1}, C), got "
                f"{self.thresholds.shape}"
            )
        if not np.isfinite(self.thresholds).all():
            raise ValueError("expected finite thresholds")

    def stops(self, looks: Sequence[Probabilities]) -> BoolArray:
        """Where the last exit's confidence reaches the threshold of its class."""
        p = looks[-1]
        reached: BoolArray = p.max(axis=1) >= self.thresholds[len(looks) - 1][p.argmax(axis=1)]
        return reached

    def arrays(self) -> Arrays:
        """``thresholds``."""
        return {"thresholds": self.thresholds}


def one_threshold(name: str, seen: Seen, threshold: float) -> ThresholdsPolicy:
    """The policy with one threshold for every exit and class."""
    shape = (len(seen.way) - 1, seen.classes)
    return ThresholdsPolicy(name, seen.way, np.full(shape, float(threshold)))


def fit_thresholds(
    seen: Seen, lam: float, cells: Cells, candidates: Candidates = "confidences"
) -> FloatArray:
    """(E - 1, C) thresholds of a high mean of (right or wrong) - λ·cost on a validation split.

    First by backward induction: from the last exit to the first, each threshold is the best for
    all samples, where what comes after follows the thresholds that are there already. Then by
    coordinate descent, from the last exit to the first and anew, each for those samples alone that
    come to its exit, until none changes. Every step is exact over its candidates, so the mean never
    falls; of equally good thresholds the first pass takes the lowest, which costs least.

    Args:
        seen: the split.
        lam: λ.
        cells: one threshold per exit, or per exit and predicted class.
        candidates: the confidences that occur in the cell, at most :data:`MOST_CANDIDATES`
            quantiles of them, beside "always" and "never"; for a ``"gate"`` these two alone.
    """
    exits, classes = len(seen.way) - 1, seen.classes
    cell = seen.predictions if cells == "class" else np.zeros_like(seen.predictions)
    value = seen.right - lam * seen.costs
    table = np.full((exits, classes if cells == "class" else 1), NEVER)
    stopping = np.zeros((len(seen), exits + 1), bool)
    stopping[:, -1] = True
    tried = {
        (e, c): _candidates(seen.confidences[cell[:, e] == c, e], candidates)
        for e in range(exits)
        for c in range(table.shape[1])
    }
    for sweep in range(_SWEEPS):
        before = table.copy()
        for e in reversed(range(exits)):
            onward = _first_stop(value[:, e + 1 :], stopping[:, e + 1 :])
            arrives = ~stopping[:, :e].any(axis=1) | (sweep == 0)
            gain = value[:, e] - onward
            for c in range(table.shape[1]):
                rows = arrives & (cell[:, e] == c)
                here = seen.confidences[rows, e]
                start = table[e, c] if sweep else None
                table[e, c] = _best(here, gain[rows], tried[e, c], start)
            stopping[:, e] = seen.confidences[:, e] >= table[e][cell[:, e]]
        if sweep and np.array_equal(table, before):
            break
    return np.broadcast_to(table, (exits, classes)).copy()


def _candidates(confidences: FloatArray, kind: Candidates) -> FloatArray:
    """(T,) thresholds to try in a cell, ascending."""
    if kind == "gate":
        return np.array([ALWAYS, NEVER])
    inner = np.unique(confidences)
    if len(inner) > MOST_CANDIDATES:
        shares = np.linspace(0, 1, MOST_CANDIDATES)
        inner = np.unique(np.quantile(confidences, shares, method="inverted_cdf"))
    # The lowest that occurs lets all answer; others that come later may be lower still.
    return np.concatenate([[ALWAYS], inner[1:], [NEVER]])


def _best(
    confidences: FloatArray, gain: FloatArray, candidates: FloatArray, start: float | None
) -> float:
    """The candidate of the highest Σ of gain where the confidence reaches it.

    Args:
        confidences: (n,) of the samples of a cell.
        gain: (n,) what each gains by stopping.
        candidates: (T,) ascending.
        start: stays where none is better; None takes the lowest of the best.
    """
    order = np.argsort(confidences, kind="stable")
    behind = np.append(np.cumsum(gain[order][::-1])[::-1], 0.0)  # of the i-th and all above it
    total = behind[np.searchsorted(confidences[order], candidates, side="left")]
    best = int(total.argmax())
    if not len(gain):
        return NEVER if start is None else start
    if start is not None:
        held = float(total[np.searchsorted(candidates, start)])
        return float(candidates[best]) if total[best] > held + 1e-9 else start
    return float(candidates[best])


def _first_stop(value: FloatArray, stopping: BoolArray) -> FloatArray:
    """(N,) value at the first exit that stops."""
    first: IntArray = stopping.argmax(axis=1)
    taken: FloatArray = value[np.arange(len(value)), first]
    return taken


def _made_of(name: str, settings: Mapping[str, Any], arrays: Arrays) -> ThresholdsPolicy:
    if arrays.keys() != {"thresholds"}:
        raise ValueError(f"expected thresholds, got {list(arrays)}")
    return ThresholdsPolicy(name, stored_way(settings), arrays["thresholds"])


register_kind(ThresholdsPolicy.kind, _made_of)
