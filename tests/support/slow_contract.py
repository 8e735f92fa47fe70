"""Slow references of the contract's tests, written from the definitions with scipy's pieces."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.stats import multinomial

from dimec.base.arrays import FloatArray


def outcomes(n: int) -> list[tuple[int, int]]:
    """All (plus, minus) of n rows."""
    return [(x, y) for x in range(n + 1) for y in range(n + 1 - x)]


def chances(n: int, plus: float, minus: float) -> FloatArray:
    """Probability of each of :func:`outcomes` where a row is 1 or -1 with these probabilities."""
    counts = np.array([(x, y, n - x - y) for x, y in outcomes(n)])
    shares = [plus, minus, max(0.0, 1 - plus - minus)]
    result: FloatArray = np.asarray(multinomial.pmf(counts, n, shares), np.float64)
    return result


def violations(delta: float, steps: int) -> Iterator[tuple[float, float]]:
    """Pairs (p₊, p₋) with p₊ - p₋ ≥ Δ: the boundary finely, and some within."""
    for drop in (delta, delta + (1 - delta) * 0.1, delta + (1 - delta) * 0.5):
        for share in np.linspace(drop, 1, steps):
            yield (share + drop) / 2, (share - drop) / 2


def size(n: int, delta: float, alpha: float, p_value: Callable[[int, int], float]) -> float:
    """The largest probability with which a violated contract is accepted, by enumeration."""
    accepted = np.array([p_value(x, y) <= alpha for x, y in outcomes(n)])
    return max(float(chances(n, *pair) @ accepted) for pair in violations(delta, 81))


def miscoverage(n: int, upper: Callable[[int, int], float]) -> float:
    """The largest probability with which a bound lies under the drop, over a grid of all shares."""
    bounds = np.array([upper(x, y) for x, y in outcomes(n)])
    grid = np.linspace(0, 1, 31)
    pairs = [(plus, minus) for plus in grid for minus in grid if plus + minus <= 1 + 1e-9]
    return max(
        float(chances(n, plus, minus) @ (bounds < plus - minus - 1e-9)) for plus, minus in pairs
    )


def score(plus: int, minus: int, n: int, delta: float) -> float:
    """The score statistic, its restricted estimate found by maximising the likelihood."""

    def loss(q: float) -> float:
        shares = ((plus, q + delta), (minus, q), (n - plus - minus, 1 - delta - 2 * q))
        return -sum(count * math.log(max(share, 1e-300)) for count, share in shares if count)

    most = (1 - delta) / 2
    found = minimize_scalar(loss, bounds=(0, most), method="bounded", options={"xatol": 1e-13})
    q = min((0.0, most, float(found.x)), key=loss)
    return float((plus - minus - n * delta) / np.sqrt(n * (2 * q + delta - delta**2)))


def capital(drops: list[int], delta: float) -> float:
    """The largest capital of betting in this order, row by row."""
    full = half = 0.5
    most = 1.0
    for i, value in enumerate(drops):
        before = drops[:i]
        variance = (100 * 0.05 + sum(d * d for d in before)) / (100 + len(before))
        stake = min(delta / (delta * delta + variance), 0.5 / (1 - delta))
        full *= 1 + stake * (delta - value)
        half *= 1 + stake / 2 * (delta - value)
        most = max(most, full + half)
    return most


def all_rows(n: int) -> Iterator[tuple[int, ...]]:
    """All sequences of n drops."""
    return itertools.product((-1, 0, 1), repeat=n)
