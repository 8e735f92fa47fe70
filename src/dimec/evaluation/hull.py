"""Points of cost and accuracy: which are worth having, what mixing them gives, and the area below.

Pure mathematics. Whoever sends each input by lot to one of two policies gets any point of the
straight line between theirs. So what a set of policies can do is the upper concave hull of their
points.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dimec.base.arrays import FloatArray


def pareto_front(costs: ArrayLike, accuracies: ArrayLike) -> NDArray[np.int64]:
    """Places of the points that no other point beats, from the cheapest to the most accurate.

    A point is beaten by one that costs no more and is at least as accurate; of equal points the
    first stays.

    Args:
        costs: (K,) of any unit.
        accuracies: (K,) of the same points.

    Example:
        >>> pareto_front([3, 1, 2, 2], [0.9, 0.7, 0.6, 0.8]).tolist()
        [1, 3, 0]
    """
    x, y = np.asarray(costs, dtype=float), np.asarray(accuracies, dtype=float)
    order = np.lexsort((-y, x))  # stable: equal points keep their order
    best_before = np.concatenate([[-np.inf], np.maximum.accumulate(y[order])[:-1]])
    front: NDArray[np.int64] = order[y[order] > best_before[: len(order)]]
    return front


def upper_hull(costs: ArrayLike, accuracies: ArrayLike) -> NDArray[np.int64]:
    """Places of the corners of the upper concave hull, from the cheapest to the most accurate.

    Args:
        costs: (K,) of any unit.
        accuracies: (K,) of the same points.

    Example:
        >>> upper_hull([1, 2, 3], [0.5, 0.6, 0.9]).tolist()
        [0, 2]
    """
    x, y = np.asarray(costs, dtype=float), np.asarray(accuracies, dtype=float)
    corners: list[int] = []
    for new in pareto_front(x, y).tolist():
        # The last corner goes where it does not lie above the line from the one before to here.
        while len(corners) > 1:
            first, last = corners[-2:]
            rise, run = y[new] - y[first], x[new] - x[first]
            if (y[last] - y[first]) * run > rise * (x[last] - x[first]):
                break
            corners.pop()
        corners.append(new)
    return np.array(corners, dtype=np.int64)


def accuracy_at(costs: ArrayLike, accuracies: ArrayLike, at: ArrayLike) -> FloatArray:
    """What mixing neighbouring points gives at some costs: straight lines between the points.

    Beyond the cheapest and the dearest point it is theirs: there is nothing to mix. Points of one
    cost count as their mean, each drawn as often as the others.

    Args:
        costs: (K,) with K ≥ 1, in any order.
        accuracies: (K,) of the same points.
        at: (M,) costs.
    """
    x, y = np.asarray(costs, dtype=float), np.asarray(accuracies, dtype=float)
    different, where, counts = np.unique(x, return_inverse=True, return_counts=True)
    means = np.bincount(where, weights=y) / counts
    found: FloatArray = np.interp(np.asarray(at, dtype=float), different, means)
    return found


def area_between(
    upper: tuple[FloatArray, FloatArray],
    lower: tuple[FloatArray, FloatArray],
    span: tuple[float, float],
) -> float:
    """∫ (upper - lower) over a span of cost, exactly: both are straight between their points.

    Args:
        upper, lower: costs and accuracies of the points of each, as :func:`accuracy_at` takes them.
        span: lowest and highest cost.

    Returns:
        In units of cost times accuracy; below 0 where the upper lies lower on the whole.
    """
    low, high = span
    inside = np.concatenate([upper[0], lower[0]])
    at = np.unique(np.concatenate([[low, high], inside[(inside > low) & (inside < high)]]))
    return float(np.trapezoid(accuracy_at(*upper, at) - accuracy_at(*lower, at), at))
