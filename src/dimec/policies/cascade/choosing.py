"""The choice at one point: the utilities of its steps, and the highest of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from dimec.base.arrays import FloatArray, IntArray
from dimec.policies.cascade import exactly
from dimec.policies.cascade.points import Point

# Of a choice what is added up by now, the weights of the features still to come, the bias, whether
# it is logistic, and the cost.
Begun: TypeAlias = tuple[float, Sequence[float], float, bool, float]


@dataclass(frozen=True, eq=False)
class Chooser:
    """What is expected of each of the S choices at a point: to answer, where an exit has spoken,
    and then each of the point's steps.

    Attributes:
        point: where.
        weights: (S, F) of the features.
        biases: (S,).
        logistic: (S,) whether the value is a probability, by the logistic function.
        costs: (S,) taken off each, λ·cost of the step itself.
    """

    point: Point
    weights: FloatArray
    biases: FloatArray
    logistic: npt.NDArray[np.bool_]
    costs: FloatArray

    def utilities(self, x: FloatArray) -> FloatArray:
        """(N, S) of (N, F) features; each row as if it were alone."""
        values = np.zeros((len(x), len(self.biases)))
        for feature, weights in zip(x.T, self.weights.T, strict=True):  # added up in this order
            values += feature[:, None] * weights
        values += self.biases
        values[:, self.logistic] = exactly.sigmoid(values[:, self.logistic])
        return values - self.costs

    @cached_property
    def plain(self) -> list[Begun]:
        """Each choice as Python's numbers, of which nothing is added up yet."""
        parts = (self.weights, self.biases, self.logistic, self.costs)
        return [(0.0, *one) for one in zip(*(part.tolist() for part in parts), strict=True)]

    def choose(self, x: FloatArray) -> IntArray:
        """(N,) step to take: 0 to answer, else 1 + its position among the point's steps.

        A tie goes to what comes first, which is the cheaper.
        """
        chosen: IntArray = self.utilities(x).argmax(axis=1).astype(np.int64)
        return chosen if self.point.seen else chosen + 1


def sigmoid(z: npt.NDArray[np.floating]) -> FloatArray:
    """1 / (1 + exp(-z)), of any size of z."""
    e = np.exp(-np.abs(z))
    probability: FloatArray = np.where(z >= 0, 1.0, e) / (1.0 + e)
    return probability
