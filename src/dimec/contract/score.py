"""The score statistic of a difference of paired proportions, and the outcomes that it puts first.

Tango (1998), "Equivalence test and confidence interval for the difference in proportions for the
paired-sample design", Statistics in Medicine 17; Nam (1997), Biometrics 53. With x₊ rows of D = 1
and x₋ of D = -1 among n,

    T = (x₊ - x₋ - nΔ) / √(n (2 q̃ + Δ - Δ²)),

where q̃ is the maximum likelihood estimate of p₋ under p₊ - p₋ = Δ, the larger root of
2n q² + (nΔ·2 - (x₊ + x₋) - (x₊ - x₋)Δ) q - x₋ Δ (1 - Δ) = 0.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from dimec.base.arrays import FloatArray, IntArray

_TIE = 1e-9  # outcomes as near as this count as equal: more of them, so a larger p-value


def score(plus: npt.ArrayLike, minus: npt.ArrayLike, n: int, delta: float) -> FloatArray:
    """T elementwise: the smaller, the more a drop under ``delta`` is shown.

    Args:
        plus: rows on which only the reference is right.
        minus: rows on which only the policy is right.
        n: all rows.
        delta: Δ in [0, 1).
    """
    x, y = np.asarray(plus, np.float64), np.asarray(minus, np.float64)
    spread = np.sqrt(n * (2 * restricted(x, y, n, delta) + delta * (1 - delta)))
    with np.errstate(divide="ignore", invalid="ignore"):
        result: FloatArray = np.where(spread > 0, (x - y - n * delta) / spread, 0.0)
    return result


def restricted(plus: npt.ArrayLike, minus: npt.ArrayLike, n: int, delta: float) -> FloatArray:
    """q̃ elementwise: the likeliest p₋ among those with p₊ - p₋ = ``delta``."""
    x, y = np.asarray(plus, np.float64), np.asarray(minus, np.float64)
    b = 2 * n * delta - (x + y) - (x - y) * delta
    c = y * delta * (1 - delta)
    root = np.sqrt(b * b + 8 * n * c)
    # The larger root; in the form that does not subtract where b is positive.
    with np.errstate(divide="ignore", invalid="ignore"):
        q: FloatArray = np.where(b > 0, 2 * c / (root + b), (root - b) / (4 * n))
    return q


def first_outcomes(n: int, t: float, delta: float, low: int, high: int) -> IntArray:
    """Which outcomes have T ≤ t, for each number m = x₊ + x₋ of discordant rows.

    T grows in x₊ and falls in x₋ (Hsueh, Liu and Chen (2001), Biometrics 57), so these outcomes
    are those with x₊ ≤ k(m), and k(m + 1) is k(m) or one more. Should rounding break that, the
    outcomes are filled up until it holds, which can only enlarge a p-value.

    Args:
        n: rows.
        t: the statistic of the outcome seen.
        delta: Δ.
        low: the least m.
        high: the largest m, at most n.

    Returns:
        (high - low + 1,) k(m): the largest such x₊, -1 where there is none.
    """
    m = np.arange(low, high + 1)
    inside, outside = np.full(len(m), -1), m + 1
    while (outside - inside > 1).any():
        middle = (inside + outside) // 2
        held = score(middle, m - middle, n, delta) <= t + _TIE
        open_ = outside - inside > 1
        inside = np.where(open_ & held, middle, inside)
        outside = np.where(open_ & ~held, middle, outside)
    falling = np.maximum.accumulate((inside - m)[::-1])[::-1] + m
    largest: IntArray = np.maximum(np.maximum.accumulate(inside), falling)
    return largest
