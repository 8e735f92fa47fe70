"""What a cascade sees at a point: features of the exits that have spoken, and of the text.

Every feature is computed elementwise, so that one text has the features, bit for bit, that it has
among others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dimec.base.arrays import FloatArray
from dimec.policies.cascade.exactly import log

FLOOR = 1e-5  # of a probability: float16 traces say less of smaller ones
MOST_CLASSES = 6  # of which each has features of its own

# The groups of features, from the one that alone makes a threshold on the confidence.
GROUPS = ("confidence", "shape", "class", "earlier", "signal", "squares")


@dataclass(frozen=True)
class Layout:
    """Which features there are at a point, in order.

    Attributes:
        looks: how many exits were seen.
        classes: C.
        groups: the group of each of the F features.
    """

    looks: int
    classes: int
    groups: tuple[str, ...]


def layout(looks: int, classes: int, projections: int) -> Layout:
    """The layout of a point where so many exits were seen."""
    groups: list[str] = ["signal"] * (1 + projections)
    for number in range(looks):
        last = number == looks - 1
        own = 0 if classes > MOST_CLASSES else classes - 1
        groups += ["confidence" if last else "earlier"]
        groups += ["shape" if last else "earlier"] * (1 + (classes > 2))
        groups += ["class" if last else "earlier"] * (2 * own)
    groups += ["earlier"] * max(0, looks - 1)  # whether each agrees with the last
    groups += ["squares"] * looks
    return Layout(looks, classes, tuple(groups))


def features(
    signal: npt.NDArray[np.floating], looks: Sequence[npt.NDArray[np.floating]]
) -> FloatArray:
    """(N, F) features of N texts at a point, in the order of :func:`layout`.

    Args:
        signal: (N, 1 + P) of :func:`signal_features`.
        looks: of each exit seen, in order, (N, C) probabilities.
    """
    columns: list[FloatArray] = [np.asarray(signal, np.float64)]
    tops, predicted = [], []
    for probabilities in looks:
        p = np.asarray(probabilities, np.float64)
        top, rest = _confidence(p)
        best = p.argmax(axis=1)
        columns += [top[:, None], rest]
        if p.shape[1] <= MOST_CLASSES:
            is_class = (best[:, None] == np.arange(1, p.shape[1])).astype(np.float64)
            columns += [is_class, is_class * top[:, None]]
        tops.append(top)
        predicted.append(best)
    columns += [(one == predicted[-1]).astype(np.float64)[:, None] for one in predicted[:-1]]
    columns += [(top * top)[:, None] for top in tops]
    return np.concatenate(columns, axis=1)


def _confidence(p: FloatArray) -> tuple[FloatArray, FloatArray]:
    """(N,) log-odds of the largest probability; (N, 1 or 2) entropy and, of C > 2, the margin."""
    ordered = np.sort(np.maximum(p, FLOOR), axis=1)
    first, second = ordered[:, -1], ordered[:, -2] if p.shape[1] > 1 else np.full(len(p), FLOOR)
    top = log(first / np.maximum(1 - first, FLOOR))
    logs = log(ordered)
    shape = [-(ordered * logs).sum(axis=1)]
    if p.shape[1] > 2:
        shape.append(log(first / second))
    return top, np.stack(shape, axis=1)


def signal_features(
    embeddings: npt.NDArray[np.floating],
    tokens: npt.NDArray[np.integer],
    mean: FloatArray,
    axes: FloatArray,
) -> FloatArray:
    """(N, 1 + P) log of the length, and the embedding along P axes.

    Args:
        embeddings: (N, D).
        tokens: (N,).
        mean: (D,) of the embeddings that were fitted on.
        axes: (P, D).
    """
    length = log(np.maximum(np.asarray(tokens, np.float64), 1.0))
    x = np.asarray(embeddings, np.float64)
    along = np.vecdot(x[:, None, :], axes[None, :, :]) - np.vecdot(mean, axes)
    return np.concatenate([length[:, None], along], axis=1)


def principal_axes(
    embeddings: npt.NDArray[np.floating], most: int
) -> tuple[FloatArray, FloatArray]:
    """(D,) mean and (P, D) principal axes, P ≤ ``most``, scaled to unit variance along each."""
    x = np.asarray(embeddings, np.float64)
    mean = x.mean(axis=0)
    if len(x) < 3 or not most or not x.shape[1]:
        return mean, np.zeros((0, x.shape[1]))
    _, spread, axes = np.linalg.svd(x - mean, full_matrices=False)
    wide = spread > 1e-9 * max(spread[0], 1e-300)
    kept = min(most, int(wide.sum()))
    scale = spread[:kept] / np.sqrt(len(x))
    return mean, axes[:kept] / scale[:, None]
