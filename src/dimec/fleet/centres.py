"""The adaptive router (Algorithm 2) on many mobiles at once, each with centres of its own.

A mobile's next decision hangs on all before it, and mobiles are independent of each other. So they
advance in rounds, each by one input, block by block of mobiles, so small that a block's centres
stay in the processor's cache. Every number is the one that
:class:`dimec.routing.CentroidRouter` computes, to the last bit: the same operations in the same
order on each row.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dimec.base.arrays import FloatArray, IntArray
from dimec.base.errors import DataError

_BLOCK = 1 << 20  # bytes of centres in a block, of which there are three arrays: a core's cache


@dataclass(eq=False)
class Centres:
    """The pools of M mobiles, which change as inputs come.

    Attributes:
        sums: (M, K, D) sum of the embeddings in each pool.
        counts: (M, K) numbers of them.
    """

    sums: FloatArray
    counts: IntArray

    @classmethod
    def alike(cls, sums: FloatArray, counts: IntArray, mobiles: int) -> Centres:
        """Every mobile with the pools that were fitted.

        Args:
            sums: (K, D) of the fitted router.
            counts: (K,).
            mobiles: M.
        """
        return cls(np.tile(sums, (mobiles, 1, 1)), np.tile(counts, (mobiles, 1)))

    @property
    def centroids(self) -> FloatArray:
        """(M, K, D) centres; those of an empty pool are infinitely far away."""
        n = self.counts[:, :, None]
        return np.where(n > 0, self.sums / np.maximum(n, 1), np.inf)


def route(
    centres: Centres,
    embeddings: npt.NDArray[np.floating],
    mobiles: IntArray,
    rows: IntArray,
) -> IntArray:
    """Route the inputs of many mobiles, each in its own order; the centres learn.

    Args:
        centres: of M mobiles; changed.
        embeddings: (R, D) of the texts.
        mobiles: (N,) whose input it is, in order of arrival.
        rows: (N,) which text it is.

    Returns:
        (N,) tiers.

    Raises:
        DataError: texts of another width.
    """
    mobile_count, _, width = centres.sums.shape
    if embeddings.shape[1:] != (width,):
        raise DataError(f"expected embeddings of width {width}, got {embeddings.shape}")
    x = embeddings.astype(np.float64)
    order = np.argsort(mobiles, kind="stable")
    begins = np.searchsorted(mobiles[order], np.arange(mobile_count + 1))
    tiers = np.empty(len(mobiles), np.int64)
    block = max(1, _BLOCK // (8 * centres.sums[0].size))
    for first in range(0, mobile_count, block):
        these = np.arange(first, min(first + block, mobile_count))
        _route_block(centres, x, these, begins, order, rows, tiers)
    return tiers


def _route_block(
    centres: Centres,
    x: FloatArray,
    mobiles: IntArray,
    begins: IntArray,
    order: IntArray,
    rows: IntArray,
    tiers: IntArray,
) -> None:
    """All inputs of some mobiles, round by round; those with most inputs stand first."""
    lengths = begins[mobiles + 1] - begins[mobiles]
    mobiles = mobiles[np.argsort(-lengths, kind="stable")]
    lengths = begins[mobiles + 1] - begins[mobiles]
    sums, counts = centres.sums[mobiles], centres.counts[mobiles]
    n = counts[:, :, None]
    middle = np.where(n > 0, sums / np.maximum(n, 1), np.inf)
    difference = np.empty_like(middle)
    for turn in range(int(lengths.max(initial=0))):
        active = int(np.searchsorted(-lengths, -turn, side="left"))  # those with more than turn
        inputs = order[begins[mobiles[:active]] + turn]
        at = x[rows[inputs]]
        part = difference[:active]
        np.subtract(middle[:active], at[:, None, :], out=part)
        chosen = np.vecdot(part, part).argmin(axis=1)
        line = np.arange(active)
        counts[line, chosen] += 1
        total = sums[line, chosen] + at
        sums[line, chosen] = total
        middle[line, chosen] = total / counts[line, chosen][:, None]
        tiers[inputs] = chosen
    centres.sums[mobiles], centres.counts[mobiles] = sums, counts
