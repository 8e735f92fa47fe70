"""Small linear models of several capacities, each weighed by cross-validation.

Candidates are the groups of features, each with those before it, and the strength of an L2 penalty,
on standardised features. The model is their mean. What a candidate weighs falls, as the normal
density does, with how much worse than the best it is out of fold, in standard errors of that
difference. As with the weights of Yao et al. (Using Stacking to Average Bayesian Predictive
Distributions, Bayesian Analysis 2018, section 3) what the rows cannot tell apart counts about
alike; this form of them is dimec's. A choice of one candidate would change with the least change of
the target, and with it the policies of neighbouring λ.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from dimec.base.arrays import FloatArray, IntArray
from dimec.policies.cascade.choosing import sigmoid
from dimec.policies.cascade.features import GROUPS

WIDTH = 2.0  # standard errors within which candidates count about alike
_NOTHING = 1e-12  # of a loss: whoever is worse by as little as that is as good
PENALTIES = (1000.0, 100.0, 10.0, 1.0)  # of standardised features, from the simplest


@dataclass(frozen=True, eq=False)
class CrossFit:
    """A model, and what it says of rows that it has not seen.

    Attributes:
        weights: (F,) float64 of the features as they are; 0 for those that are not used.
        bias: the constant.
        logistic: whether the value is a probability, by the logistic function.
        out_of_fold: (N,) values of the rows, each by the model of the other folds.
        shares: (M,) of the candidates in it, from the simplest on; they sum up to 1.
    """

    weights: FloatArray
    bias: float
    logistic: bool
    out_of_fold: FloatArray
    shares: FloatArray


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
    """Fit every candidate, and take their mean by what they are worth out of fold.

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
    columns = [np.flatnonzero(place < size) for size, _ in candidates]
    values = np.empty((len(candidates), len(target)))
    weights, biases = np.zeros((len(candidates), x.shape[1])), np.empty(len(candidates))
    for number, (_, penalty) in enumerate(candidates):
        own = columns[number]
        values[number] = _out_of_fold(x[:, own], target, fold, penalty, logistic)
        weights[number, own], biases[number] = _fit(x[:, own], target, penalty, logistic)
    told = sigmoid(values) if logistic else values
    shares = shares_of(np.stack([_losses(one, target, logistic) for one in told]))
    mean = shares @ values
    return CrossFit(
        shares @ weights,
        float(shares @ biases),
        logistic,
        sigmoid(mean) if logistic else mean,
        shares,
    )


def shares_of(losses: FloatArray) -> FloatArray:
    """(M,) share of each candidate, of (M, N) losses out of fold; 1 in all.

    exp(-z² / 2): z is how much worse than the best it is on average, in units of :data:`WIDTH`
    standard errors of that.
    """
    means = losses.mean(axis=1)
    least = int(means.argmin())
    errors = (losses - losses[least]).std(axis=1) / losses.shape[1] ** 0.5
    worse = means - means[least]
    share = np.exp(-0.5 * (worse / np.maximum(WIDTH * errors, _NOTHING)) ** 2)
    told: FloatArray = share / share.sum()
    return told


def _losses(told: FloatArray, target: FloatArray, logistic: bool) -> FloatArray:
    """(N,) squared errors, or negative log-likelihoods."""
    if not logistic:
        return (told - target) ** 2
    p = np.clip(told, 1e-6, 1 - 1e-6)
    return -(target * np.log(p) + (1 - target) * np.log(1 - p))


def _out_of_fold(
    x: FloatArray, target: FloatArray, fold: IntArray, penalty: float, logistic: bool
) -> FloatArray:
    """(N,) values of the rows; log-odds of a probability."""
    values = np.empty(len(target))
    for held in np.unique(fold):
        test = fold == held
        train = ~test if not test.all() else test  # of a single row there is nothing else
        weights, bias = _fit(x[train], target[train], penalty, logistic)
        values[test] = x[test] @ weights + bias
    return values


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
