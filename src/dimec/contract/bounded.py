"""Betting against "the mean exceeds b", of rows with values in [0, 1], such as costs.

Waudby-Smith and Ramdas (2024), arXiv 2010.09686, as in :mod:`dimec.contract.betting`: capital
∏ (1 + λᵢ (b - xᵢ)) with 0 ≤ λᵢ < 1/(1 - b) is a supermartingale where the mean is b or more.
The stake is their growth of capital (aGRAPA), g / (g² + σ²) with g = b - mean, of the mean and the
variance of the rows before, begun with one row of 1/2 and a variance of 1/4: confseq's aKelly, of
the same authors, held to what speaks for a smaller mean.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from dimec.base.arrays import FloatArray
from dimec.base.errors import DataError
from dimec.contract.betting import SEED
from dimec.contract.inversion import walk_down

_MOST = 0.5  # of what may be staked without ruin


def p_value(values: npt.ArrayLike, bound: float, seed: int = SEED) -> float:
    """p-value of "the mean exceeds ``bound``".

    Args:
        values: (N,) in [0, 1].
        bound: b, in (0, 1).
        seed: of the order in which the rows are bet on.

    Raises:
        DataError: a value outside, or none at all.
    """
    return float(np.exp(-_best(*_ordered(values, seed), bound)))


def upper(values: npt.ArrayLike, alpha: float, seed: int = SEED) -> float:
    """Upper confidence bound of the mean, by inversion.

    Args:
        values: (N,) in [0, 1].
        alpha: one minus the confidence.
        seed: of the order in which the rows are bet on.

    Returns:
        A value of :data:`dimec.contract.inversion.GRID`.

    Raises:
        DataError: a value outside, or none at all.
    """
    ordered = _ordered(values, seed)
    return walk_down(lambda bound: bool(_best(*ordered, bound) >= -np.log(alpha)))


def _ordered(values: npt.ArrayLike, seed: int) -> tuple[FloatArray, FloatArray, FloatArray]:
    """(N,) values in the order of betting, and mean and variance before each."""
    x = np.asarray(values, np.float64)
    if x.ndim != 1 or not len(x) or not ((x >= 0) & (x <= 1)).all():
        raise DataError("a bound of a mean needs rows with values from 0 to 1")
    x = np.random.default_rng(seed).permutation(x)
    seen = np.arange(1, len(x) + 1)
    means = np.concatenate([[0.5], (0.5 + np.cumsum(x)) / (seen + 1)])
    squares = np.concatenate([[0.0], np.cumsum((x - means[1:]) ** 2)])[:-1]
    return x, means[:-1], (0.25 + squares) / seen


def _best(x: FloatArray, mean: FloatArray, variance: FloatArray, bound: float) -> float:
    """The logarithm of the largest capital, at least that of the beginning."""
    hope = np.maximum(bound - mean, 0.0)
    stakes = np.minimum(hope / np.maximum(hope**2 + variance, 1e-12), _MOST / (1 - bound))
    capital = np.cumsum(np.log1p(stakes * (bound - x)))
    return max(0.0, float(capital.max()))
