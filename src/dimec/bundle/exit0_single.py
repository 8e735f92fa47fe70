"""Exit 0 in plain numbers, for one column of weights: what a device computes before any layer.

Right after layers have run, a call into numpy takes many times what it takes in a row, for the
layers have pushed what it needs out of the processor's caches, and a text is a few dozen tokens.
So tokens and their neighbours are looked up and added up one by one; these sums are exact in any
order (:mod:`dimec.bundle.exit0`). Only the linear map of the embedding is left to numpy.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from math import exp, fsum
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from dimec.base.arrays import Float32Array
from dimec.bundle.exit0_rows import FIRST, SECOND, n_to, share_bins, sides_of

if TYPE_CHECKING:
    from dimec.bundle.exit0 import Exit0

_ALL = (1 << 64) - 1


class Single:
    """The weights of an exit 0 with one column of them, and what they say of a text or a pair.

    Args:
        exit0: with K = 1.
        index: (vocabulary,) a token's row in ``tokens``, from 1 on; 0 where it has none.
    """

    __slots__ = (
        "_bigrams",
        "_classes",
        "_exit0",
        "_index",
        "_pooled",
        "_power",
        "_shares",
        "_shift",
        "_tokens",
    )

    def __init__(self, exit0: Exit0, index: npt.NDArray[np.int32]) -> None:
        self._exit0, self._power = exit0, exit0.power
        self._index = array("i", index.tobytes())
        self._tokens = array("f", [0.0]) + _plain(exit0.tokens)  # one table behind the other
        self._bigrams = _plain(exit0.bigrams)
        self._shift = 64 - (len(exit0.bigrams).bit_length() - 1)
        self._shares = tuple(map(_plain, exit0.shares))
        self._pooled = exit0.pooled[0].astype(np.float64)
        self._classes = tuple(zip(exit0.mix[0].tolist(), exit0.bias.tolist(), strict=True))

    def answer(self, ids: list[int], pooled: Float32Array) -> Float32Array:
        """(C,) probabilities; see :meth:`dimec.bundle.exit0.Exit0.one`."""
        z = self._of_pair(ids) if self._shares else self._of_text(ids)
        if z is None:
            return self._exit0.prior
        z += float(self._pooled.dot(pooled))
        logits = [z * weight + bias for weight, bias in self._classes]
        top = max(logits)
        odds = [exp(one - top) for one in logits]
        whole = fsum(odds)
        return np.array([one / whole for one in odds], np.float32)

    def _of_text(self, ids: Sequence[int]) -> float | None:
        """What is looked up for a text; None where no token has weights."""
        index, tokens, bigrams, shift = self._index, self._tokens, self._bigrams, self._shift
        count, total, before = 0, 0.0, 0
        for one in ids:
            if row := index[one]:
                total += tokens[row]
                if bigrams:
                    if count:
                        total += bigrams[(before + one * SECOND & _ALL) >> shift]
                    before = one * FIRST
                count += 1
        return total / n_to(self._power, count) if count else None

    def _of_pair(self, ids: Sequence[int]) -> float | None:
        """Likewise for a pair."""
        index, tokens, size = self._index, self._tokens, len(self._exit0.ids)
        sides = sides_of(ids, [index[one] for one in ids], self._exit0.separator)
        total, count = 0.0, 0
        for table, side in enumerate(sides):
            for row in side:
                total += tokens[row + table * size]
            count += len(side)
        if not count:
            return None
        total /= n_to(self._power, count)
        for shares, bin_ in zip(self._shares, share_bins(*sides), strict=True):
            total += shares[bin_]
        return total


def _plain(table: npt.NDArray[np.float16]) -> array[float]:
    """Tables of one column; float16 is widened without loss."""
    return array("f", table.astype(np.float32).tobytes())
