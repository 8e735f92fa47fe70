"""Where to write the names of points so that no name covers another."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_ANGLES = np.deg2rad(np.array([0, 180, 90, 270, 45, 315, 135, 225, 20, 340, 160, 200]))
_GAPS = (7.0, 14.0, 24.0, 38.0, 56.0, 80.0, 110.0, 150.0)
_COVERED = 100.0  # per unit of area of a name or a mark that would be covered
_CROSSED = 2.0  # per unit of area of a line: unpleasant, but legible


def overlap(boxes: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.float64]:
    """Areas (K, L) that boxes (K, 4) share with others (L, 4): left, bottom, right, top."""
    low = np.maximum(boxes[:, None, :2], others[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    area: NDArray[np.float64] = np.prod(np.clip(high - low, 0.0, None), axis=2)
    return area


def place_labels(
    points: NDArray[np.float64],
    sizes: NDArray[np.float64],
    lines: NDArray[np.float64],
    bounds: tuple[float, float, float, float],
    mark: float = 5.0,
) -> NDArray[np.float64]:
    """Choose a box for the name of every point, one after the other, the cheapest place first.

    Args:
        points: (K, 2) centres of the marks, in pixels.
        sizes: (K, 2) width and height of the names.
        lines: (L, 4) boxes of lines (error bars) better not written over.
        bounds: left, bottom, right, top of the area that names must stay in.
        mark: half the width of a mark.

    Returns:
        (K, 4) boxes: left, bottom, right, top. A name covers another one or a mark only where
        every place tried does.
    """
    marks = np.concatenate([points - mark, points + mark], axis=1)
    placed = np.empty((0, 4))
    for point, size in zip(points, sizes, strict=True):
        boxes, distances = _candidates(point, size, mark)
        cost = distances + _COVERED * overlap(boxes, np.concatenate([marks, placed])).sum(axis=1)
        cost += _CROSSED * overlap(boxes, lines).sum(axis=1)
        outside = np.clip(np.array(bounds[:2]) - boxes[:, :2], 0, None).sum(axis=1)
        outside += np.clip(boxes[:, 2:] - np.array(bounds[2:]), 0, None).sum(axis=1)
        cost += 1e4 * outside
        placed = np.concatenate([placed, boxes[[int(np.argmin(cost))]]])
    return placed


def _candidates(
    point: NDArray[np.float64], size: NDArray[np.float64], mark: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Boxes round a point, near ones first: (M, 4) and their gaps (M,)."""
    gaps = np.repeat(_GAPS, len(_ANGLES))
    angles = np.tile(_ANGLES, len(_GAPS))
    direction = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    # The box's own half-extent is added along the direction, so that the gap is to its edge.
    centres = point + direction * (gaps[:, None] + mark) + direction * size / 2
    boxes = np.concatenate([centres - size / 2, centres + size / 2], axis=1)
    return boxes, gaps
