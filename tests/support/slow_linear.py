"""Ridge and logistic regression one at a time, by other means, to hold the cascade's fits to."""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize

from dimec.base.arrays import FloatArray


def slow_fit(
    x: FloatArray, target: FloatArray, penalty: float, logistic: bool
) -> tuple[FloatArray, float]:
    """Weights and bias on standardised features; a feature that is constant has no weight.

    Args:
        x: (N, F).
        target: (N,) a value, or 0 or 1.
        penalty: on the squares of the weights; half a row of each outcome draws a probability's.
        logistic: a probability, or a mean.
    """
    mean, spread = x.mean(axis=0), x.std(axis=0)
    moves = spread > 1e-9
    z = np.where(moves, (x - mean) / np.where(moves, spread, 1.0), 0.0)
    weights, bias = _logistic(z, target, penalty) if logistic else _ridge(z, target, penalty)
    own = np.where(moves, weights / np.where(moves, spread, 1.0), 0.0)
    return own, float(bias - own @ mean)


def _ridge(z: FloatArray, target: FloatArray, penalty: float) -> tuple[FloatArray, float]:
    """As least squares of the rows and one row more for each weight."""
    bias, width = float(target.mean()), z.shape[1]
    rows = np.concatenate([z, np.sqrt(penalty) * np.eye(width)])
    wanted = np.concatenate([target - bias, np.zeros(width)])
    return np.asarray(np.linalg.lstsq(rows, wanted, rcond=None)[0], np.float64), bias


def _logistic(z: FloatArray, target: FloatArray, penalty: float) -> tuple[FloatArray, float]:
    """By a minimiser of the penalised likelihood."""
    rate = (target.sum() + 0.5) / (len(target) + 1.0)
    start = np.log(rate / (1 - rate))

    def loss(beta: FloatArray) -> float:
        value = z @ beta[:-1] + beta[-1]
        fit = np.logaddexp(0, value) - target * value
        drawn = penalty * (beta[:-1] ** 2).sum() + (beta[-1] - start) ** 2
        return float(fit.sum() + drawn / 2)

    found = minimize(loss, np.append(np.zeros(z.shape[1]), start), tol=1e-12, method="BFGS")
    return np.asarray(found.x[:-1], np.float64), float(found.x[-1])
