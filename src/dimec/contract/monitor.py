"""Watching a contract while it runs: an e-process, which may be looked at after every row.

A value x in {0, 1} (do the answers of an audited row differ?), or D in {-1, 0, 1} where labels
come, has under the contract a mean of at most some bound b. One bets on more: a stake λ multiplies
money by 1 + λ (x - b), which has a mean of at most 1 while the contract holds. Ramdas, Grünwald,
Vovk and Shafer (2023), "Game-theoretic statistics and safe anytime-valid inference", arXiv
2210.01948; Waudby-Smith and Ramdas, arXiv 2010.09686.

The money is spread over K stakes, and over the rows at which betting begins: half of it at the
first row, the rest later, row after row. So a drift that sets in after a long time of peace meets
money that peace has not eaten up: the Shiryaev-Roberts recursion with weights wₜ that sum to 1,

    Sₜ(λ) = (Sₜ₋₁(λ) + wₜ / K) (1 + λ (xₜ - b)),   Eₜ = ∑ Sₜ(λ) + cashₜ,

with cashₜ = 1 / (2 + log₂ t), where wₜ is what cash loses at row t. (E-detectors, Shin, Ramdas and
Rinaldo, arXiv 2203.03532, leave the weights at 1, which bounds the rate of false alarms and not,
as here, their probability.) E has a mean of at most 1 at every stopping time, so P(E ever reaches
1/α) ≤ α while each row's mean, given the rows before, is at most b.

Rows are to be those that chance picked for the audit, in the order in which it picked them. A
label that is late holds up the rows behind it (:mod:`dimec.contract.late`): else rows that agree
would come before those that do not.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from functools import cache
from typing import Self

import numpy as np
import numpy.typing as npt

from dimec.base.arrays import FloatArray
from dimec.base.errors import ConfigError, CorruptArtefactError, DataError

STAKES = 16
_MOST = 0.5  # of what may be staked without ruin
_FORM = 1  # of the JSON


@dataclass
class Monitor:
    """An e-process of "the mean is at most ``bound``", and its alarm.

    An alarm stays until a new monitor is begun; rows after it are counted, and bet on no more.

    Attributes:
        bound: b: of the share of different answers in (0, 1), or of the drop.
        alpha: the probability of any false alarm, ever, in (0, 1).
        low: the least value of a row: 0 for different answers, -1 for drops.
        rows: how many it has seen.
        sum: of their values.
        invested: (K,) S, the money at each stake.
        alarm: the row, counted from 1, at which the capital reached 1/α; 0 for none yet.
    """

    bound: float
    alpha: float
    low: int = 0
    rows: int = 0
    sum: int = 0
    invested: FloatArray = field(default_factory=lambda: np.zeros(STAKES))
    alarm: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.bound < 1:
            raise ConfigError(f"a monitor's bound is a share over 0 and under 1, got {self.bound}")
        if not 0 < self.alpha < 1:
            raise ConfigError(f"a monitor's alpha must be over 0 and under 1, got {self.alpha}")
        if self.low not in (0, -1):
            raise ConfigError(f"a monitor's rows begin at 0 or -1, got {self.low}")

    @classmethod
    def of_differences(cls, bound: float, alpha: float) -> Self:
        """Of the share of different answers: values 0 and 1."""
        return cls(bound, alpha, 0)

    @classmethod
    def of_drops(cls, bound: float, alpha: float) -> Self:
        """Of the drop in accuracy: values -1, 0 and 1, the D of each row."""
        return cls(bound, alpha, -1)

    @property
    def capital(self) -> float:
        """E: 1 at first; 1/α is the alarm."""
        return float(self.invested.sum()) + cash(self.rows if not self.alarm else self.alarm)

    def update(self, value: int) -> bool:
        """Take in one audited row, at a cost that does not grow with the rows before.

        Args:
            value: 0 or 1, or for drops -1, 0 or 1.

        Returns:
            Whether the alarm has been raised, now or before.

        Raises:
            DataError: another value.
        """
        if not (self.low <= value <= 1 and value == int(value)):
            raise DataError(f"an audited row has a value from {self.low} to 1, got {value!r}")
        self.rows += 1
        self.sum += int(value)
        if not self.alarm:
            self.invested = bet(self.invested, self.rows, value, self.bound, self.low)
            if self.capital >= 1 / self.alpha:
                self.alarm = self.rows
        return self.alarm > 0

    def extend(self, values: npt.ArrayLike) -> bool:
        """Take in audited rows in their order; whether the alarm has been raised."""
        for value in np.asarray(values).tolist():
            self.update(value)
        return self.alarm > 0

    def to_json(self) -> str:
        """The whole state; :meth:`of_json` gives back the same to the last bit."""
        state = {**vars(self), "form": _FORM, "invested": self.invested.tolist()}
        return json.dumps(state, allow_nan=False)

    @classmethod
    def of_json(cls, text: str) -> Self:
        """The monitor that :meth:`to_json` wrote.

        Raises:
            CorruptArtefactError: it is no such state.
        """
        try:
            state = json.loads(text)
            if state.pop("form") != _FORM:
                raise ValueError("it is of another form")
            state["invested"] = np.array(state["invested"], np.float64)
            monitor = cls(**state)
            monitor._check()
        except (ValueError, TypeError, KeyError, AttributeError, ConfigError) as error:
            raise CorruptArtefactError(
                f"the state of the contract's monitor cannot be read ({error}); begin a new one"
            ) from error
        return monitor

    def _check(self) -> None:
        sound = self.invested.shape == (STAKES,) and np.isfinite(self.invested).all()
        if not (sound and self.invested.min() >= 0 and 0 <= self.alarm <= self.rows):
            raise ValueError("its numbers contradict each other")
        if not self.low * self.rows <= self.sum <= self.rows:
            raise ValueError("its counts contradict each other")


def bet(
    invested: FloatArray, row: int, values: npt.ArrayLike, bound: float, low: int
) -> FloatArray:
    """(..., K) the money at each stake after one more row, of one stream or of many.

    Args:
        invested: (..., K) the money before it.
        row: which one it is, counted from 1.
        values: (...) its value in each stream.
        bound: b.
        low: the least value.
    """
    fresh = (cash(row - 1) - cash(row)) / STAKES
    excess = np.asarray(values, np.float64)[..., None] - bound
    result: FloatArray = (invested + fresh) * (1 + _stakes(bound, low) * excess)
    return result


def cash(rows: int) -> float:
    """Money not yet bet after that many rows: 1, 1/2, then ever more slowly towards 0."""
    return 1 / (2 + math.log2(rows)) if rows else 1.0


@cache
def _stakes(bound: float, low: int) -> FloatArray:
    """(K,) λ, up to half of what ruin allows.

    The best one is about (mean - b) / variance: a quarter of the bound is one for a mean that is a
    quarter over it where every row varies, and less than that is not worth a stake.
    """
    grid: FloatArray = np.geomspace(bound / 4, _MOST, STAKES) / (bound - low)
    return grid
