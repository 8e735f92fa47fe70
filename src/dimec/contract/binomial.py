"""Binomial probabilities and Clopper-Pearson bounds, in numpy alone.

A contract is fitted where the base install is, which has no scipy; the tests hold this to scipy's.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from dimec.base.arrays import FloatArray

_TINY = 2.0**-53  # keeps logarithms finite where a probability is 0 or 1


def log_choose(n: npt.ArrayLike, k: npt.ArrayLike) -> FloatArray:
    """log of "n over k", elementwise; -inf where k lies outside 0 to n."""
    n, k = np.broadcast_arrays(np.asarray(n, np.float64), np.asarray(k, np.float64))
    inside = (k >= 0) & (k <= n)
    within = np.where(inside, k, 0)
    logs = _lgamma(n + 1) - _lgamma(within + 1) - _lgamma(n - within + 1)
    result: FloatArray = np.where(inside, logs, -np.inf)
    return result


def logs(p: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
    """log p and log(1 - p), finite at 0 and 1 too, where they stand for 1e-16."""
    kept = np.clip(np.asarray(p, np.float64), _TINY, 1 - _TINY)
    return np.log(kept), np.log1p(-kept)


def probabilities(k: npt.ArrayLike, n: int, p: float) -> FloatArray:
    """P(X = k) for X ~ Bin(n, p), for an array of k."""
    k = np.asarray(k, np.float64)
    log_p, log_q = logs(p)
    result: FloatArray = np.exp(log_choose(n, k) + k * log_p + (n - k) * log_q)
    return result


def at_most(k: int, n: int) -> Callable[[float], float]:
    """P(X ≤ k) for X ~ Bin(n, p), as a function of p: the logarithms of n over k are taken once."""
    # The shorter of the two tails, of which the other is the rest.
    short = k + 1 <= n - k
    xs = np.arange(0, k + 1) if short else np.arange(k + 1, n + 1)
    choose = log_choose(n, xs)

    def probability(p: float) -> float:
        log_p, log_q = logs(p)
        tail = float(np.exp(choose + xs * log_p + (n - xs) * log_q).sum())
        return min(1.0, max(0.0, tail if short else 1 - tail))

    return probability


@lru_cache(maxsize=1024)  # the same counts are asked for at every drop of an inversion
def upper(k: int, n: int, alpha: float) -> float:
    """Upper Clopper-Pearson bound: the p at which X ≤ k has the probability ``alpha``.

    Clopper and Pearson (1934), "The use of confidence or fiducial limits". At least as large as
    the true p with probability 1 - alpha. 1 where k = n.
    """
    if k >= n:
        return 1.0
    tail = at_most(k, n)
    return bisect(lambda p: tail(p) <= alpha, 0.0, 1.0)[1]


def lower(k: int, n: int, alpha: float) -> float:
    """Lower Clopper-Pearson bound: at most the true p with probability 1 - alpha."""
    return 1 - upper(n - k, n, alpha)


def bisect(holds: Callable[[float], bool], low: float, high: float) -> tuple[float, float]:
    """Where a condition that holds from some point on begins: a last "no" and a first "yes".

    It is taken to hold at ``high`` and not at ``low``; the two ends come within 1e-12 relatively.
    """
    for _ in range(200):
        middle = (low + high) / 2
        if not low < middle < high or high - low <= 1e-12 * high:
            break
        low, high = (low, middle) if holds(middle) else (middle, high)
    return low, high


def _lgamma(x: FloatArray) -> FloatArray:
    # To 1e-15 relatively; a running sum of logarithms would lose five digits at n = 20,000.
    values = np.fromiter(map(math.lgamma, x.ravel().tolist()), np.float64, x.size)
    return values.reshape(x.shape)
