"""From a test to an upper confidence bound, where the p-value need not fall steadily in Δ."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

# In hundredths of a point up to 5 points, tenths up to 20, and whole points from there.
GRID = (
    *(np.arange(0, 500) / 10_000).tolist(),
    *(np.arange(50, 200) / 1_000).tolist(),
    *(np.arange(20, 101) / 100).tolist(),
)


def walk_down(rejects: Callable[[float], bool]) -> float:
    """The last of the drops of :data:`GRID`, from 1 down, at which all so far are rejected.

    A fixed sequence: the first hypothesis "drop ≥ Δ" that is true is met before any later one, and
    rejected with probability α at most. So the true drop lies under the result with confidence
    1 - α, however the p-value goes up and down.

    Args:
        rejects: whether "drop ≥ Δ" is rejected at the level α.

    Returns:
        A value of the grid: 1 where nothing is rejected. No drop exceeds 1, so 1 needs no test.
    """
    last = 1.0
    for delta in reversed(GRID[:-1]):
        if not rejects(delta):
            break
        last = delta
    return last
