"""Logarithm and exponential of Python's own, for many numbers: numpy's may differ in the last bit.

A device has one text at a time and computes in plain numbers, without a call into numpy; a replay
has many. Both are to take the same step, to the last bit of what it rests on.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from dimec.base.arrays import FloatArray


def log(x: npt.NDArray[np.floating]) -> FloatArray:
    """Natural logarithms, of numbers over 0."""
    return np.array(list(map(math.log, x.ravel().tolist())), np.float64).reshape(x.shape)


def sigmoid(z: npt.NDArray[np.floating]) -> FloatArray:
    """1 / (1 + exp(-z))."""
    return np.array(list(map(sigmoid_of, z.ravel().tolist())), np.float64).reshape(z.shape)


def sigmoid_of(z: float) -> float:
    """Of one number, of any size."""
    if z >= 0:
        return 1.0 / (1.0 + math.exp(-z))
    e = math.exp(z)
    return e / (1.0 + e)
