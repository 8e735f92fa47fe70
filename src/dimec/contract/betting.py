"""Betting against "the drop exceeds Δ": capital that cannot be expected to grow while it is true.

Waudby-Smith and Ramdas (2024), "Estimating means of bounded random variables by betting", JRSS B
86, arXiv 2010.09686. One starts with 1 and stakes λ on every row,

    K_t = ∏ over i ≤ t of (1 + λᵢ (Δ - Dᵢ)),   0 ≤ λᵢ < 1/(1 - Δ),

where λᵢ may depend on the rows before i, not on row i. Where E[D] ≥ Δ given the rows before, K is a
supermartingale, and exceeds 1/α at any time with probability α at most (Ville), so p = 1 / max K.

The stake is theirs for the growth of capital (aGRAPA), g/(g² + σ²) with g = Δ - mean, with two
departures. The mean is taken to be 0, what is hoped for, and not what the rows before say, as a
mean of D is long too uncertain. And half of the money stakes half as much: where the true drop is
Δ/2 the full stake is twice the best one, and its capital would not grow however many the rows.
Simulated at n = 5,463 with 2 % discordant rows, a drop of 0 and Δ of half a point, that has a power
of 0.59 (0.67 without the second half); their own stake has 0.47. σ² is the mean of D² before, begun
with 100 rows of 0.05. Validity asks for none of this.

The order of the rows matters. It is shuffled by a seed, which knows no value.
"""

from __future__ import annotations

import numpy as np

from dimec.base.arrays import FloatArray
from dimec.contract.inversion import walk_down
from dimec.contract.losses import Losses

SEED = 2010
_ROWS, _SHARE = 100, 0.05  # what the variance begins with
_MOST = 0.5  # of what may be staked without ruin
_PARTS = np.array([[1.0], [0.5]])  # of the stake, for each half of the money


def p_value(losses: Losses, delta: float, seed: int = SEED) -> float:
    """p-value of "the drop exceeds ``delta``".

    Args:
        losses: of N rows, with labels.
        delta: Δ, a share in [0, 1).
        seed: of the order in which the rows are bet on.
    """
    return float(np.exp(-_best(*_ordered(losses, seed), delta)))


def upper(losses: Losses, alpha: float, seed: int = SEED) -> float:
    """Upper confidence bound of the drop, by inversion.

    Args:
        losses: of N rows, with labels.
        alpha: one minus the confidence.
        seed: of the order in which the rows are bet on.

    Returns:
        A share, rounded up to a value of :data:`dimec.contract.inversion.GRID`.
    """
    drops, variance = _ordered(losses, seed)
    return walk_down(lambda delta: bool(_best(drops, variance, delta) >= -np.log(alpha)))


def _ordered(losses: Losses, seed: int) -> tuple[FloatArray, FloatArray]:
    """(N,) D in the order of betting, and (N,) σ² before each of them."""
    drops = np.random.default_rng(seed).permutation(losses.drops()).astype(np.float64)
    before = np.concatenate([[0.0], np.cumsum(drops[:-1] ** 2)])
    return drops, (_ROWS * _SHARE + before) / (_ROWS + np.arange(len(drops)))


def _best(drops: FloatArray, variance: FloatArray, delta: float) -> float:
    """The logarithm of the largest capital, at least that of the beginning."""
    stakes = np.minimum(delta / (delta**2 + variance), _MOST / (1 - delta))
    gains = np.log1p(_PARTS * stakes * (delta - drops))
    capital = np.logaddexp(*np.cumsum(gains, axis=1)) - np.log(len(_PARTS))
    return max(0.0, float(capital.max()))
