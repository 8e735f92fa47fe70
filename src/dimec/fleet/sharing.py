"""Mobiles that share what their adaptive centres have learnt, in rounds (federated means).

A pool's centre is a mean, sum over count, and means can be added up: what a mobile took in since
it last met the others is a difference of sums and of counts. At a round those that take part hand
theirs in, and take the fleet's pools home. Two ways to weigh:

- ``counts``: S = S₀ + Σ ΔS,  n = n₀ + Σ Δn: the centre of all texts that were ever handed in, as if
  one mobile had seen them all.
- ``mobiles``: each centre is the mean of the participants' own, so that a busy mobile weighs no
  more than another; the count is the fitted one plus the mean of what they took in.

Who misses a round keeps its own pools and hands all in at the next.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

import numpy as np
import numpy.typing as npt

from dimec.base.arrays import BoolArray, FloatArray, IntArray
from dimec.fleet.centres import Centres, route

Weight = Literal["counts", "mobiles"]


class Exchange:
    """The pools of a fleet between rounds.

    Args:
        sums, counts: (K, D) and (K,) of the fitted router, which all begin with.
        mobiles: M.
        weight: how mobiles weigh.

    Attributes:
        centres: of the mobiles.
    """

    def __init__(self, sums: FloatArray, counts: IntArray, mobiles: int, weight: Weight) -> None:
        self.centres = Centres.alike(sums, counts, mobiles)
        self._weight = weight
        self._fitted = counts
        self._sums, self._counts = sums.copy(), counts.copy()  # the fleet's
        self._met = Centres.alike(sums, counts, mobiles)  # what each had when it last took part

    def meet(self, present: BoolArray) -> None:
        """A round: those who are present (M,) hand in what they learnt, and take home the whole."""
        if not present.any():
            return
        here, met = self.centres, self._met
        if self._weight == "counts":
            self._sums = self._sums + (here.sums[present] - met.sums[present]).sum(axis=0)
            self._counts = self._counts + (here.counts[present] - met.counts[present]).sum(axis=0)
        else:
            own = here.counts[present]
            middle = here.sums[present] / np.maximum(own, 1)[:, :, None]
            known = (own > 0).sum(axis=0)
            mean = middle.sum(axis=0) / np.maximum(known, 1)[:, None]
            # An empty pool stays empty: nobody has sent a text there.
            taken = np.rint(own.mean(axis=0)).astype(np.int64)
            self._counts = np.where(known > 0, np.maximum(taken, 1), 0)
            self._sums = mean * self._counts[:, None]
        for centres in (here, met):
            centres.sums[present] = self._sums
            centres.counts[present] = self._counts


def route_sharing(
    exchange: Exchange,
    embeddings: npt.NDArray[np.floating],
    times: FloatArray,
    mobiles: IntArray,
    rows: IntArray,
    rounds: FloatArray,
    dropout: float,
    rng: np.random.Generator,
) -> IntArray:
    """Route all inputs, with a round at each of these moments.

    Args:
        exchange: whose centres learn.
        embeddings: (R, D) of the texts.
        times: (N,) seconds, ascending.
        mobiles, rows: (N,) whose input it is, and which text.
        rounds: moments of the rounds, ascending.
        dropout: share of the mobiles that misses a round, drawn anew for each.
        rng: what draws.

    Returns:
        (N,) tiers.
    """
    tiers = np.empty(len(times), np.int64)
    edges = [0, *np.searchsorted(times, rounds).tolist(), len(times)]
    count = len(exchange.centres.counts)
    for number, (begin, end) in enumerate(pairwise(edges)):
        part = slice(begin, end)
        tiers[part] = route(exchange.centres, embeddings, mobiles[part], rows[part])
        if number < len(rounds):
            exchange.meet(rng.uniform(size=count) >= dropout)
    return tiers


def dispersion(centres: Centres) -> FloatArray:
    """(K,) how far the mobiles' centres lie apart, in units of the distance between pools.

    The root of the mean squared distance of the mobiles' centres to their mean, over the smallest
    distance between two pools' means; NaN for an empty pool, or where there is one pool only.
    """
    middle = centres.centroids
    middle[~np.isfinite(middle)] = np.nan
    mean = middle.mean(axis=0)
    apart = [
        float(np.linalg.norm(a - b))
        for j, a in enumerate(mean)
        for b in mean[j + 1 :]
        if np.isfinite(a).all() and np.isfinite(b).all()
    ]
    spread = np.sqrt(((middle - mean) ** 2).sum(axis=2).mean(axis=0))
    return spread / min(apart) if apart else np.full(len(spread), np.nan)
