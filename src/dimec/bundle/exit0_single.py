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

if TYPE_CHECKING:
    from dimec.bundle.exit0 import Exit0

_FIRST, _SECOND, _ALL = 0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, (1 << 64) - 1


class Single:
    """The weights of an exit 0 for texts with one column of them, and what they say of a text.

    Args:
        exit0: with K = 1, and not for pairs.
        index: (vocabulary,) a token's row in ``tokens``, from 1 on; 0 where it has none.
    """

    __slots__ = ("_bigrams", "_classes", "_index", "_pooled", "_shift", "_tokens")

    def __init__(self, exit0: Exit0, index: npt.NDArray[np.int32]) -> None:
        self._index = array("i", index.tobytes())
        self._tokens = array("f", [0.0]) + _plain(exit0.tokens[0])
        self._bigrams = _plain(exit0.bigrams)
        self._shift = 64 - (len(exit0.bigrams).bit_length() - 1)
        self._pooled = exit0.pooled[0].astype(np.float64)
        self._classes = tuple(zip(exit0.mix[0].tolist(), exit0.bias.tolist(), strict=True))

    def added(self, ids: Sequence[int]) -> tuple[int, float]:
        """How many tokens of a text have weights, and the sum of all that is looked up."""
        index, tokens, bigrams, shift = self._index, self._tokens, self._bigrams, self._shift
        count, total, before = 0, 0.0, 0
        for one in ids:
            if row := index[one]:
                total += tokens[row]
                if bigrams:
                    if count:
                        total += bigrams[(before + one * _SECOND & _ALL) >> shift]
                    before = one * _FIRST
                count += 1
        return count, total

    def answer(self, total: float, pooled: Float32Array) -> Float32Array:
        """(C,) probabilities, of the sum of what was looked up, and the (D,) embedding."""
        z = total + float(self._pooled.dot(pooled))
        logits = [z * weight + bias for weight, bias in self._classes]
        top = max(logits)
        odds = [exp(one - top) for one in logits]
        whole = fsum(odds)
        return np.array([one / whole for one in odds], np.float32)


def _plain(table: npt.NDArray[np.float16]) -> array[float]:
    """A table of one column; float16 is widened without loss."""
    return array("f", table.astype(np.float32).tobytes())
