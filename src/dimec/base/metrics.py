"""The scores of the GLUE tasks, from a confusion matrix.

All take a (C, C) matrix of counts, rows the right label and columns the predicted one. The counts
may be expected values of a random policy: then the score is that of the expected confusion matrix.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from dimec.base.arrays import FloatArray
from dimec.base.errors import ConfigError, option


def confusion_matrix(
    labels: npt.NDArray[np.integer],
    predictions: npt.NDArray[np.integer],
    classes: int,
    weights: npt.NDArray[np.floating] | None = None,
) -> FloatArray:
    """(C, C) counts of (label, prediction) pairs.

    Args:
        labels: (N,) right codes.
        predictions: (N, X) predicted codes, or (N,).
        classes: C.
        weights: as ``predictions``: how much each prediction counts; 1 by default.
    """
    p = np.asarray(predictions)
    p = p[:, None] if p.ndim == 1 else p
    w = np.ones(p.shape) if weights is None else np.asarray(weights, np.float64).reshape(p.shape)
    cells = (np.asarray(labels)[:, None] * classes + p).ravel()
    counts = np.bincount(cells, w.ravel(), classes * classes).astype(np.float64)
    return counts.reshape(classes, classes)


def accuracy(confusion: FloatArray) -> float:
    """Share of right predictions; 0 where there is none."""
    total = confusion.sum()
    return float(np.trace(confusion) / total) if total else 0.0


def matthews(confusion: FloatArray) -> float:
    """Matthews correlation, for two classes or more (Gorodkin 2004); 0 where it is undefined."""
    gold, predicted, total = confusion.sum(axis=1), confusion.sum(axis=0), confusion.sum()
    covariance = np.trace(confusion) * total - gold @ predicted
    spread = (total**2 - predicted @ predicted) * (total**2 - gold @ gold)
    return float(covariance / np.sqrt(spread)) if spread > 0 else 0.0


def f1(confusion: FloatArray) -> float:
    """F1 of class 1 where there are two classes, the mean over the classes otherwise.

    A class that neither occurs nor is predicted scores 0.
    """
    sums = confusion.sum(axis=0) + confusion.sum(axis=1)
    scores = 2 * np.diag(confusion) / np.where(sums > 0, sums, 1.0)
    return float(scores[1] if len(scores) == 2 else scores.mean())


METRICS: Mapping[str, Callable[[FloatArray], float]] = MappingProxyType(
    {"accuracy": accuracy, "matthews": matthews, "f1": f1}
)


def score(name: str, confusion: FloatArray) -> float:
    """The score of that name.

    Raises:
        ConfigError: no such score.
    """
    if name not in METRICS:
        raise ConfigError(f"{option('metric')} must be one of {', '.join(METRICS)}, got {name!r}")
    return METRICS[name](confusion)
