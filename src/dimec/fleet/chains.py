"""Chains: the state of each of many mobiles at any moment, in continuous time.

At the moments of a Poisson process, of rate 1/mean a mobile, the state is drawn anew from fixed
shares, whatever it was. So at every moment the state has exactly those shares, and how long one
lasts is exponential with the mean ``mean / (1 − share)``: a Markov chain, in its uniformised form.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dimec.base.arrays import FloatArray, IntArray


@dataclass(frozen=True, eq=False)
class Chains:
    """The states of M chains from 0 on.

    Attributes:
        begins: (M + 1,) where each chain's stretches begin among all of them, and their number.
        moments: (E,) seconds at which a stretch begins; within a chain ascending, the first is 0.
        states: (E,) of each stretch.
        seconds: up to which they are drawn.
    """

    begins: IntArray
    moments: FloatArray
    states: IntArray
    seconds: float

    def at(self, mobiles: IntArray, times: FloatArray) -> IntArray:
        """(N,) the stretch of each mobile at each time, as a position in ``states``."""
        span = self.seconds + 1.0  # apart: one sorted axis for all chains
        chain = np.repeat(np.arange(len(self.begins) - 1), np.diff(self.begins))
        axis = chain * span + self.moments
        found = np.searchsorted(axis, mobiles * span + times, side="right") - 1
        # Adding to a large number rounds: a time next to a stretch's begin stays in its own chain.
        stretch: IntArray = np.clip(found, self.begins[mobiles], self.begins[mobiles + 1] - 1)
        return stretch


def draw_chains(
    rng: np.random.Generator, mobiles: int, seconds: float, mean: float, shares: Sequence[float]
) -> Chains:
    """Draw M chains.

    Args:
        rng: what draws.
        mobiles: M.
        seconds: how far.
        mean: seconds between two drawings of a state; infinite where a state stays.
        shares: of the states; they sum to 1.
    """
    changes = rng.poisson(seconds / mean, mobiles).astype(np.int64)
    begins = np.concatenate([[0], np.cumsum(changes + 1)])
    owner = np.repeat(np.arange(mobiles), changes + 1)
    moments = rng.uniform(0.0, seconds, int(begins[-1]))
    moments[begins[:-1]] = 0.0
    moments = moments[np.lexsort((moments, owner))]
    states = rng.choice(len(shares), len(moments), p=np.asarray(shares) / sum(shares))
    return Chains(begins, moments, states.astype(np.int64), seconds)
