"""Texts in windows of bounded memory, and windows in batches of similar length."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from dimec.base.arrays import Float32Array, IntArray

# Tokens whose hidden states are held at once: 50 MB at a width of 384, 100 MB at 768.
WINDOW = 1 << 15
# Tokens of a batch, padding included: a layer's values stay in the processor's caches.
BATCH = 1024


def windows(lengths: IntArray, most: int = WINDOW) -> Iterator[slice]:
    """Texts in their order, cut so that each part has at most ``most`` tokens, or is one text.

    Example:
        >>> list(windows(np.array([3, 3, 9, 1]), 6))
        [slice(0, 2, None), slice(2, 3, None), slice(3, 4, None)]
    """
    start, held = 0, 0
    for row, length in enumerate(lengths.tolist()):
        if row > start and held + length > most:
            yield slice(start, row)
            start, held = row, 0
        held += length
    if start < len(lengths):
        yield slice(start, len(lengths))


def batches(lengths: IntArray, rows: IntArray, most: int = BATCH) -> Iterator[IntArray]:
    """Some rows by length, the longest first, in batches of at most ``most`` tokens with padding.

    Args:
        lengths: (N,) of all rows.
        rows: those to take, ascending.
        most: a single longer row is a batch by itself.
    """
    order = rows[np.argsort(-lengths[rows], kind="stable")]
    start = 0
    while start < len(order):
        size = max(1, most // max(1, int(lengths[order[start]])))
        yield order[start : start + size]
        start += size


def padded_ids(rows: Sequence[npt.NDArray[np.integer]], filler: int) -> IntArray:
    """(B, T) of B arrays (t,), filled up to the longest."""
    width = max(map(len, rows))
    filled = np.full((len(rows), width), filler, np.int64)
    for place, row in enumerate(rows):
        filled[place, : len(row)] = row
    return filled


def padded_hidden(rows: Sequence[Float32Array]) -> Float32Array:
    """(B, T, D) of B arrays (t, D), filled up with zeros to the longest."""
    width = max(map(len, rows))
    filled = np.zeros((len(rows), width, rows[0].shape[1]), np.float32)
    for place, row in enumerate(rows):
        filled[place, : len(row)] = row
    return filled


def mask_of(lengths: IntArray) -> IntArray:
    """(B, T), 1 at real tokens."""
    return (np.arange(int(lengths.max()))[None] < lengths[:, None]).astype(np.int64)
