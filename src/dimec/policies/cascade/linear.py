"""Small linear models whose capacity cross-validation chooses, fitted on standardised features.

Candidates are the groups of features, each with those before it, and the strength of an L2 penalty.
Of those whose loss out of fold is within one standard error of the least, the simplest is taken
(Breiman et al., Classification and Regression Trees, 1984).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from dimec.base.arrays import FloatArray, IntArray
from dimec.policies.cascade.choosing import sigmoid
from dimec.policies.cascade.features import GROUPS

PENALTIES = (1000.0, 100.0, 10.0, 1.0)  # of standardised features, from the simplest


@dataclass(frozen=True, eq=False)
class CrossFit:
    """A model, and what it says of rows that it has not seen.

    Attributes:
        weights: (F,) float64 of the features as they are; 0 for those that are not used.
        bias: the constant.
        logistic: whether the value is a probability, by the logistic function.
        out_of_fold: (N,) values of the rows, each by the model of the other folds.
        groups: how many groups of features it uses.
        penalty: the strength of its penalty.
    """

    weights: FloatArray
    bias: float
    logistic: bool
    out_of_fold: FloatArray
    groups: int
    penalty: float


def folds_of(rows: int, folds: int, seed: int) -> IntArray:
    """(N,) fold of each row, of about equal size, drawn from the seed."""
    fold = np.empty(rows, np.int64)
    fold[np.random.default_rng(seed).permutation(rows)] = np.arange(rows) % folds
    return fold


def cross_fit(
    x: FloatArray,
    target: FloatArray,
    groups: Sequence[str],
    fold: IntArray,
    *,
    logistic: bool,
    without: Collection[str] = (),
) -> CrossFit:
    """Choose the capacity by cross-validation, and fit.

    Args:
        x: (N, F) features.
        target: (N,) what to expect; 0 or 1 where ``logistic``.
        groups: the group of each feature, of :data:`dimec.policies.cascade.features.GROUPS`.
        fold: (N,) of each row.
        logistic: a probability by logistic regression, or a mean by ridge regression.
        without: groups that are not to be used.
    """
    place = np.array([GROUPS.index(group) for group in groups])
    place[np.isin(groups, list(without))] = len(GROUPS)  # beyond every candidate
    candidates = [(0, PENALTIES[0])]
    sizes = sorted({*(place[place < len(GROUPS)] + 1).tolist()})
    candidates += [(size, p) for size in sizes for p in PENALTIES]
    told = [
        _out_of_fold(x[:, place < size], target, fold, penalty, logistic)
        for size, penalty in candidates
    ]
    chosen = _simplest([_losses(one, target, logistic) for one in told])
    size, penalty = candidates[chosen]
    columns = np.flatnonzero(place < size)
    weights = np.zeros(x.shape[1])
    weights[columns], bias = _fit(x[:, columns], target, penalty, logistic)
    return CrossFit(weights, bias, logistic, told[chosen], size, penalty)


def _simplest(losses: Sequence[FloatArray]) -> int:
    """The first candidate that is worse than the best by one standard error of it at most."""
    means = [float(one.mean()) for one in losses]
    least = int(np.argmin(means))
    for number, one in enumerate(losses):
        error = float((one - losses[least]).std()) / len(one) ** 0.5
        if means[number] - means[least] <= error:
            return number
    return least


def _losses(told: FloatArray, target: FloatArray, logistic: bool) -> FloatArray:
    """(N,) squared errors, or negative log-likelihoods."""
    if not logistic:
        return (told - target) ** 2
    p = np.clip(told, 1e-6, 1 - 1e-6)
    return -(target * np.log(p) + (1 - target) * np.log(1 - p))


def _out_of_fold(
    x: FloatArray, target: FloatArray, fold: IntArray, penalty: float, logistic: bool
) -> FloatArray:
    told = np.empty(len(target))
    for held in np.unique(fold):
        test = fold == held
        train = ~test if not test.all() else test  # of a single row there is nothing else
        weights, bias = _fit(x[train], target[train], penalty, logistic)
        value = x[test] @ weights + bias
        told[test] = sigmoid(value) if logistic else value
    return told


def _fit(
    x: FloatArray, target: FloatArray, penalty: float, logistic: bool
) -> tuple[FloatArray, float]:
    """Weights and bias of one model; a feature that is constant has no weight."""
    mean, spread = x.mean(axis=0), x.std(axis=0)
    scale = np.where(spread > 1e-9, spread, np.inf)
    z = (x - mean) / scale
    weights, bias = _logistic(z, target, penalty) if logistic else _ridge(z, target, penalty)
    own = weights / scale
    return own, float(bias - own @ mean)


def _ridge(z: FloatArray, target: FloatArray, penalty: float) -> tuple[FloatArray, float]:
    bias = float(target.mean())
    gram = z.T @ z + penalty * np.eye(z.shape[1])
    return np.asarray(np.linalg.solve(gram, z.T @ (target - bias)), np.float64), bias


def _logistic(z: FloatArray, target: FloatArray, penalty: float) -> tuple[FloatArray, float]:
    """Newton's method on the penalised likelihood: a fit is to work where only numpy is installed.

    Half a row of each outcome is added, so that what was always right is not taken for certain.
    """
    rows, width = z.shape
    rate = (target.sum() + 0.5) / (rows + 1.0)
    start = np.append(np.zeros(width), np.log(rate / (1 - rate)))
    full = np.concatenate([z, np.ones((rows, 1))], axis=1)
    ridge = np.append(np.full(width, penalty), 1.0)
    beta = start
    for _ in range(30):
        p = sigmoid(full @ beta)
        gradient = full.T @ (p - target) + ridge * (beta - start)
        hessian = (full * (p * (1 - p))[:, None]).T @ full + np.diag(ridge)
        step = np.linalg.solve(hessian, gradient)
        beta = beta - step
        if np.abs(step).max() < 1e-7:
            break
    return beta[:-1], float(beta[-1])
