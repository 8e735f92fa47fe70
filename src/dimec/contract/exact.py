"""The exact unconditional test of "drop ≤ Δ".

(X₊, X₋) is trinomial, and H₀ is p₊ - p₋ ≥ Δ. Outcomes are ordered by the score statistic
(:mod:`dimec.contract.score`). The p-value is the largest probability, under H₀, of an outcome that
comes no later than the one seen. As the ordering is monotone in both counts, that is attained on
the boundary p₊ - p₋ = Δ, where one nuisance is left: π = p₊ + p₋. It need not be sought everywhere:
Berger and Boos (1994), "P values maximized over a confidence set for the nuisance parameter", JASA
89, take the maximum over a confidence set C of π and add its error γ,

    p = max over π in C of P(T ≤ t; π) + γ.

X₊ + X₋ is Bin(n, π) inside H₀ too, so C is its Clopper-Pearson interval at 1 - γ.

The maximum is not that of a grid. For π in [a, b], P(T ≤ t) falls in p₊ ≥ (a + Δ)/2 and grows in
p₋ ≤ (b - Δ)/2, so it is at most the probability at these two ends: that at π = (a + b)/2 and a drop
of Δ - (b - a)/2. Cells [a, b] are cut until these bounds are near the values inside, and the
p-value given is the largest bound.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dimec.base.arrays import FloatArray, IntArray
from dimec.contract import binomial
from dimec.contract.inversion import walk_down
from dimec.contract.losses import Losses
from dimec.contract.score import first_outcomes, score

GAMMA = 1e-5
_CLOSE = 0.01  # how far, relatively, a bound may lie above a value that is attained
_CELLS, _ROUNDS = 16, 9  # cells at first, and how often they may be cut in two
_SIGMAS = 6.5  # of the number of discordant rows, beyond C; what lies outside counts in full
_BLOCK = 1_000_000  # numbers of a block


def p_value(losses: Losses, delta: float) -> float:
    """p-value of "the drop exceeds ``delta``".

    Args:
        losses: of N rows, with labels.
        delta: Δ, a share in [0, 1).

    Returns:
        In (0, 1]; at most 1 % (relatively) above the exact one.
    """
    return p_of_counts(len(losses), losses.plus, losses.minus, delta)


def upper(losses: Losses, alpha: float) -> float:
    """Upper confidence bound of the drop, by inversion.

    Args:
        losses: of N rows, with labels.
        alpha: one minus the confidence.

    Returns:
        A share, rounded up to a value of :data:`dimec.contract.inversion.GRID`.
    """
    n, plus, minus = len(losses), losses.plus, losses.minus
    return walk_down(lambda delta: p_of_counts(n, plus, minus, delta, at=alpha) <= alpha)


def p_of_counts(
    n: int, plus: int, minus: int, delta: float, gamma: float = GAMMA, at: float | None = None
) -> float:
    """The p-value of counts.

    Args:
        n: rows.
        plus: rows on which only the reference is right.
        minus: rows on which only the policy is right.
        delta: Δ, a share in [0, 1).
        gamma: the error γ of the confidence set of the nuisance.
        at: where it is only asked on which side of this the p-value lies: the search ends as soon
            as that is certain, with a number on the right side.
    """
    m = plus + minus
    least = max(delta, binomial.lower(m, n, gamma / 2))
    most = binomial.upper(m, n, gamma / 2)
    if least > most:  # no nuisance that the rows allow could have such a drop
        return gamma
    low, high = _window(n, least, most)
    t = float(score(plus, minus, n, delta))
    tail = _Tail.of(n, low, first_outcomes(n, t, delta, low, high))
    largest = _largest(tail, delta, least, most, None if at is None else at - gamma)
    return min(1.0, largest + gamma)


def _window(n: int, least: float, most: float) -> tuple[int, int]:
    """Which numbers of discordant rows need a look, for π between ``least`` and ``most``."""
    low = n * least - _SIGMAS * np.sqrt(n * least) - 1
    high = n * most + _SIGMAS * np.sqrt(n * most) + 25  # Poisson tails are longer than normal ones
    return max(0, int(low)), min(n, int(high))


@dataclass(frozen=True, eq=False)
class _Tail:
    """The outcomes x₊ ≤ k(m), ready for their probability at any (π, drop).

    Given m, X₊ is Bin(m, θ) with θ = (π + drop) / 2π. F(m) = P(X₊ ≤ k(m)) follows from F(m - 1) by
    one binomial probability, as k grows by 0 or 1: so the cost is one exponential a cell and m.

    Attributes:
        n: rows.
        m: (W,) numbers of discordant rows.
        first: k(m) at the first m.
        choose: (W,) log of "n over m".
        steps: (W - 1,) whether k grows at the next m.
        edge: (W - 1,) the x₊ whose probability comes in, or goes out, there.
        edges: (W - 1,) log of "m over edge".
    """

    n: int
    m: IntArray
    first: int
    choose: FloatArray
    steps: IntArray
    edge: IntArray
    edges: FloatArray

    @classmethod
    def of(cls, n: int, low: int, k: IntArray) -> _Tail:
        m = np.arange(low, low + len(k))
        steps = np.diff(k)
        edge = k[:-1] + steps
        choose, edges = binomial.log_choose(n, m), binomial.log_choose(m[:-1], edge)
        return cls(n, m, int(k[0]), choose, steps, edge, edges)

    def bound(self, pi: FloatArray, drop: FloatArray) -> FloatArray:
        """(G,) an upper bound of P(outcome) at G pairs: it but for what the window leaves out."""
        block = max(1, _BLOCK // len(self.m))
        parts = [
            self._bound(pi[start : start + block], drop[start : start + block])
            for start in range(0, len(pi), block)
        ]
        return np.concatenate(parts)

    def _bound(self, pi: FloatArray, drop: FloatArray) -> FloatArray:
        log_pi, log_rest = (part[:, None] for part in binomial.logs(pi))
        weights = np.exp(self.choose + self.m * log_pi + (self.n - self.m) * log_rest)
        theta = np.clip((pi + drop) / (2 * pi), 0, 1)[:, None]
        log_theta, log_other = binomial.logs(theta)
        moved = np.exp(
            self.edges + self.edge * log_theta + (self.m[:-1] - self.edge) * log_other
        ) * np.where(self.steps == 1, 1 - theta, -theta)
        given = np.concatenate([self._start(log_theta, log_other), moved], axis=1)
        inside = np.clip(np.cumsum(given, axis=1), 0, 1)
        outside = np.maximum(0, 1 - weights.sum(axis=1))
        result: FloatArray = (weights * inside).sum(axis=1) + outside
        return result

    def _start(self, log_theta: FloatArray, log_other: FloatArray) -> FloatArray:
        """(G, 1) F at the first m."""
        m, k = int(self.m[0]), self.first
        x = np.arange(0, k + 1)
        terms = np.exp(binomial.log_choose(m, x) + x * log_theta + (m - x) * log_other)
        result: FloatArray = terms.sum(axis=1, keepdims=True)
        return result


def _largest(tail: _Tail, delta: float, least: float, most: float, at: float | None) -> float:
    """An upper bound of the tail's largest probability on the boundary, π in [least, most].

    With ``at``: one that lies on the same side of it as the maximum does, as soon as it is found.
    """
    edges = np.linspace(least, most, _CELLS + 1)
    a, b = edges[:-1], edges[1:]
    settled = attained = 0.0  # the largest bound of cells that are done; a value that is attained
    for _ in range(_ROUNDS):
        middle = (a + b) / 2
        bounds = tail.bound(middle, delta - (b - a) / 2)
        largest = max(settled, float(bounds.max()))
        if at is not None and largest <= at:
            return largest
        attained = max(attained, float(tail.bound(middle, np.full_like(a, delta)).max()))
        if at is not None and attained > at:
            return largest
        open_ = bounds > attained * (1 + _CLOSE)
        if not open_.any():
            return largest
        settled = max(settled, float(bounds[~open_].max(initial=0.0)))
        a, middle, b = a[open_], middle[open_], b[open_]
        a, b = np.concatenate([a, middle]), np.concatenate([middle, b])
    return largest
