"""Calibrations drawn from a population, and how far along a path each of the tests goes on them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from dimec.base.arrays import FloatArray, IntArray
from dimec.contract import betting
from dimec.contract.losses import Losses
from dimec_studies.contracts import COUNTED
from dimec_studies.populations import Population


@dataclass(frozen=True, eq=False)
class Counts:
    """Of R calibrations of n rows: (R, K) rows lost, won and different, by each of K policies."""

    plus: IntArray
    minus: IntArray
    different: IntArray


@dataclass(frozen=True, eq=False)
class Draws:
    """Calibrations beside one fit.

    Attributes:
        population: what they are drawn from.
        rows: (R, N) positions in it, of R calibrations of the largest size; a smaller one is the
            beginning of a larger.
    """

    population: Population
    rows: IntArray

    @classmethod
    def of(cls, drawn: Population, resplits: int, rows: int, seed: Sequence[int]) -> Draws:
        """R calibrations of so many rows, each row as likely as the others, with replacement."""
        rng = np.random.default_rng(seed)
        return cls(drawn, rng.integers(len(drawn), size=(resplits, rows)))

    def times(self, n: int) -> FloatArray:
        """(R, P) how often each row is in each calibration of ``n`` rows."""
        size, resplits = len(self.population), len(self.rows)
        flat = self.rows[:, :n] + size * np.arange(resplits)[:, None]
        counts = np.bincount(flat.ravel(), minlength=size * resplits)
        return counts.reshape(resplits, size).astype(np.float64)

    def counts(self, times: FloatArray, places: Sequence[int]) -> Counts:
        """Of the policies at these positions, given :meth:`times`."""
        drop = self.population.drop[list(places)]
        parts = (drop == 1, drop == -1, self.population.different[list(places)])
        return Counts(*((times @ part.T.astype(np.float64)).astype(np.int64) for part in parts))


class Decisions:
    """Whether counts pass a test that looks at counts alone; few are asked for twice.

    Of the same number of discordant rows, those with fewer lost pass where others do: only what
    lies between a pass and a failure has to be asked.
    """

    def __init__(self, test: str, n: int, delta: float, alpha: float) -> None:
        self._ask, self._n, self._terms = COUNTED[test], n, (delta, alpha)
        self._known: dict[int, tuple[int, int]] = {}  # most lost that passes, least that fails

    def __call__(self, plus: int, minus: int) -> bool:
        """Of so many rows lost, and so many won."""
        m = plus + minus
        passes, fails = self._known.get(m, (-1, m + 1))
        if passes < plus < fails:
            passed = self._ask(self._n, plus, minus, *self._terms)
            passes, fails = (plus, fails) if passed else (passes, plus)
            self._known[m] = passes, fails
        return plus <= passes


@cache
def decisions(test: str, n: int, delta: float, alpha: float) -> Decisions:
    """The same for the same terms, with all that is known already."""
    return Decisions(test, n, delta, alpha)


Passes = Callable[[int, int], bool]  # the calibration, and the policy's number on the path


def passes(
    test: str,
    draws: Draws,
    places: Sequence[int],
    counts: Counts,
    n: int,
    terms: tuple[float, float],
) -> Passes:
    """Whether a calibration accepts a policy of a path, looked at by itself.

    Args:
        test: a name of :data:`dimec_studies.contracts.COUNTED`, or ``"betting"``.
        draws: the calibrations.
        places: positions of the path's policies.
        counts: theirs.
        n: rows of a calibration.
        terms: Δ and α.
    """
    delta, alpha = terms
    if test == "betting":  # it alone looks at the order of the rows, which is random as drawn
        drop = draws.population.drop

        def bets(r: int, k: int) -> bool:
            losses = Losses(drop[places[k]][draws.rows[r, :n]])
            return betting.p_value(losses, delta) <= alpha

        return bets
    decide = decisions(test, n, delta, alpha)
    if test == "disagreement":
        return lambda r, k: decide(int(counts.different[r, k]), 0)
    return lambda r, k: decide(int(counts.plus[r, k]), int(counts.minus[r, k]))


def accepted(passed: Passes, resplits: int, policies: int) -> IntArray:
    """(R,) how many policies of a path each calibration accepts, until the first refused."""
    result = np.zeros(resplits, np.int64)
    for r in range(resplits):
        while result[r] < policies and passed(r, int(result[r])):
            result[r] += 1
    return result
