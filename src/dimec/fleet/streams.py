"""Which text each input is: mixtures of populations that drift, and mobiles that differ.

A population is some rows of a trace. At a time t the share of population p is the share that the
fleet has then, linear between the moments at which it is given, times the mobile's own leaning to
it (drawn once from a Dirichlet distribution of mean 1), so that the fleet's mean is kept and a
mobile's own texts are of one kind more than another.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from dimec.base.arrays import FloatArray, IntArray
from dimec.base.errors import ConfigError

_CHUNK = 1 << 16


def shares_at(
    times: FloatArray, moments: Sequence[float], shares: npt.NDArray[np.float64]
) -> FloatArray:
    """(N, P) shares of the populations at each time.

    Args:
        times: (N,) seconds.
        moments: (T,) seconds, ascending.
        shares: (T, P) at those; before the first and after the last they stay.
    """
    columns = [np.interp(times, moments, shares[:, p]) for p in range(shares.shape[1])]
    table = np.stack(columns, axis=1)
    whole: FloatArray = table / table.sum(axis=1, keepdims=True)
    return whole


def draw_leanings(
    rng: np.random.Generator, mobiles: int, populations: int, likeness: float
) -> FloatArray:
    """(M, P) how much each mobile leans to each population; 1 on average.

    Args:
        rng: what draws.
        mobiles: M.
        populations: P.
        likeness: of the mobiles; infinite where all are alike, near 0 where each has one only.
    """
    if np.isinf(likeness):
        return np.ones((mobiles, populations))
    if not likeness > 0:
        raise ConfigError(f"the likeness of mobiles must be above 0, got {likeness:g}")
    drawn = rng.dirichlet(np.full(populations, likeness), mobiles)
    return populations * drawn


def draw_inputs(
    rng: np.random.Generator,
    times: FloatArray,
    mobiles: IntArray,
    leanings: FloatArray,
    moments: Sequence[float],
    shares: npt.NDArray[np.float64],
    sizes: Sequence[int],
) -> tuple[IntArray, IntArray]:
    """Draw the text of each input.

    Args:
        rng: what draws.
        times: (N,) seconds.
        mobiles: (N,) whose input it is.
        leanings: (M, P).
        moments, shares: as :func:`shares_at` takes them.
        sizes: rows of each population; none is empty.

    Returns:
        (N,) the population, and (N,) the row within it, each as likely as the others.
    """
    size = len(times)
    if len(sizes) == 1:
        population = np.zeros(size, np.int64)
    else:
        population = np.empty(size, np.int64)
        for begin in range(0, size, _CHUNK):
            rows = slice(begin, begin + _CHUNK)
            weights = shares_at(times[rows], moments, shares) * leanings[mobiles[rows]]
            limits = np.cumsum(weights, axis=1)
            lot = rng.uniform(size=len(limits)) * limits[:, -1]
            population[rows] = (limits[:, :-1] <= lot[:, None]).sum(axis=1)
    row = (rng.uniform(size=size) * np.asarray(sizes)[population]).astype(np.int64)
    return population, row
