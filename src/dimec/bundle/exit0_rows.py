"""Which rows of exit 0's tables a text looks up; see :mod:`dimec.bundle.exit0`."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Whole: TypeAlias = npt.NDArray[np.integer]

BINS = 21
FIRST, SECOND = 0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F  # the factors of two neighbours


def bigram_rows(ids: Whole, bits: int) -> npt.NDArray[np.uint64]:
    """(T - 1,) the row of each two neighbours in a table of 2^bits rows, 1 ≤ bits ≤ 64.

    Example:
        >>> bigram_rows(np.array([7, 8, 7]), 16).tolist()
        [26905, 17566]
    """
    wide = ids.astype(np.uint64)
    rows: npt.NDArray[np.uint64] = wide[:-1] * np.uint64(FIRST) + wide[1:] * np.uint64(
        SECOND
    ) >> np.uint64(64 - bits)
    return rows


def sides_of(
    ids: Sequence[int], rows: Sequence[int], separator: int
) -> tuple[set[int], set[int], set[int]]:
    """The rows of tokens in the first text of a pair only, in the second only, and in both.

    Args:
        ids: (T,) token ids.
        rows: (T,) each one's row; 0 where it has none, and is left out.
        separator: the id that ends the first text; all is the first text where it does not occur.
    """
    cut = ids.index(separator) if separator in ids else len(ids)
    first, second = set(rows[:cut]), set(rows[cut:])
    first.discard(0)
    second.discard(0)
    both = first & second
    return first - both, second - both, both


def share_bins(
    first: Collection[int], second: Collection[int], both: Collection[int]
) -> tuple[int, int, int]:
    """The bins of the share that the common tokens have of all, of the first text's, the second's.

    Example:
        >>> share_bins({1}, {2, 3}, {4, 5})
        (8, 13, 10)
    """
    common = (BINS - 1) * len(both)
    a, b = len(first) + len(both), len(second) + len(both)
    return common // max(1, a + len(second)), common // max(1, a), common // max(1, b)


def n_to(power: float, n: int) -> float:
    """n^power, for the powers 0, 1/2 and 1."""
    return math.sqrt(n) if power == 0.5 else n**power
