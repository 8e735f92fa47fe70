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
import numpy.typing as npt

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


class CrossFits:
    """The rows of a point, ready for any target.

    What does not depend on the target is done once: the folds' standardised features, and the
    eigenvectors of their products, by which a ridge regression of any penalty is two products.

    Args:
        x: (N, F) features.
        groups: the group of each feature, of :data:`dimec.policies.cascade.features.GROUPS`.
        fold: (N,) of each row.
        without: groups that are not to be used.
    """

    def __init__(
        self,
        x: FloatArray,
        groups: Sequence[str],
        fold: IntArray,
        without: Collection[str] = (),
    ) -> None:
        place = np.array([GROUPS.index(group) for group in groups])
        place[np.isin(groups, list(without))] = len(GROUPS)  # beyond every candidate
        sizes = sorted({*(place[place < len(GROUPS)] + 1).tolist()})
        # A candidate is its columns and its penalty; the first uses none.
        columns = [np.zeros(0, np.int64), *(np.flatnonzero(place < size) for size in sizes)]
        self._x, self._columns = x, columns
        self._candidates = [(0, PENALTIES[0])]
        self._candidates += [(k, p) for k in range(1, len(columns)) for p in PENALTIES]
        held = [fold == number for number in np.unique(fold)]
        # Of a single row there is nothing else to fit to.
        trained = [~test if not test.all() else test for test in held]
        self._held = held
        self._parts = [_Part.of(x, rows, columns) for rows in (*trained, np.ones(len(x), bool))]

    def fit(self, target: FloatArray, *, logistic: bool) -> CrossFit:
        """Fit every candidate, and take their mean by what they are worth out of fold.

        Args:
            target: (N,) what to expect; 0 or 1 where ``logistic``.
            logistic: a probability by logistic regression, or a mean by ridge regression.
        """
        values = np.empty((len(self._candidates), len(target)))
        *parts, whole = (part.models(target, self._candidates, logistic) for part in self._parts)
        for test, (weights, biases) in zip(self._held, parts, strict=True):
            values[:, test] = weights @ self._x[test].T + biases[:, None]
        told = sigmoid(values) if logistic else values
        shares = shares_of(np.stack([_losses(one, target, logistic) for one in told]))
        mean = shares @ values
        weights, biases = whole
        return CrossFit(
            shares @ weights,
            float(shares @ biases),
            logistic,
            sigmoid(mean) if logistic else mean,
            shares,
        )


def cross_fit(
    x: FloatArray,
    target: FloatArray,
    groups: Sequence[str],
    fold: IntArray,
    *,
    logistic: bool,
    without: Collection[str] = (),
) -> CrossFit:
    """One target alone; see :class:`CrossFits`."""
    return CrossFits(x, groups, fold, without).fit(target, logistic=logistic)


@dataclass(frozen=True, eq=False)
class _Part:
    """Some rows, standardised.

    Attributes:
        rows: (N,) which.
        z: (R, F); a feature that is constant there is 0.
        mean, scale: (F,) of the features; the scale of a constant one is infinite.
        full: of each choice of columns, these of z, and a column of ones.
        bases: of each choice of columns, eigenvalues and eigenvectors of z'z.
        columns: those choices.
    """

    rows: npt.NDArray[np.bool_]
    z: FloatArray
    mean: FloatArray
    scale: FloatArray
    full: Sequence[FloatArray]
    bases: Sequence[tuple[FloatArray, FloatArray]]
    columns: Sequence[IntArray]

    @classmethod
    def of(cls, x: FloatArray, rows: npt.NDArray[np.bool_], columns: Sequence[IntArray]) -> _Part:
        own = x[rows]
        mean, spread = own.mean(axis=0), own.std(axis=0)
        scale = np.where(spread > 1e-9, spread, np.inf)
        z = (own - mean) / scale
        gram = z.T @ z
        bases = [np.linalg.eigh(gram[np.ix_(some, some)]) for some in columns]
        pairs = [(each.eigenvalues, each.eigenvectors) for each in bases]
        ones = np.ones((len(z), 1))
        full = [np.concatenate([z[:, some], ones], axis=1) for some in columns]
        return cls(rows, z, mean, scale, full, pairs, columns)

    def models(
        self, target: FloatArray, candidates: Sequence[tuple[int, float]], logistic: bool
    ) -> tuple[FloatArray, FloatArray]:
        """(M, F) weights of the features as they are, and (M,) biases, of each candidate."""
        own = target[self.rows]
        weights, biases = np.zeros((len(candidates), len(self.mean))), np.empty(len(candidates))
        centre = float(own.mean())
        along = self.z.T @ (own - centre)
        for number, (choice, penalty) in enumerate(candidates):
            some = self.columns[choice]
            if logistic:
                found, bias = _logistic(self.full[choice], own, penalty)
            else:
                size, axes = self.bases[choice]
                found, bias = axes @ ((axes.T @ along[some]) / (size + penalty)), centre
            weights[number, some] = found / self.scale[some]
            biases[number] = bias - weights[number] @ self.mean
        return weights, biases


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


def _logistic(full: FloatArray, target: FloatArray, penalty: float) -> tuple[FloatArray, float]:
    """Newton's method on the penalised likelihood: a fit is to work where only numpy is installed.

    Half a row of each outcome is added, so that what was always right is not taken for certain.

    Args:
        full: (N, F + 1) features, and a column of ones.
        target: (N,) 0 or 1.
        penalty: of the F weights; the bias has one of 1.
    """
    rows, width = full.shape
    rate = (target.sum() + 0.5) / (rows + 1.0)
    start = np.zeros(width)
    start[-1] = np.log(rate / (1 - rate))
    ridge = np.full(width, penalty)
    ridge[-1] = 1.0
    beta, turned = start, full.T
    for _ in range(30):
        p = sigmoid(full @ beta)
        gradient = turned @ (p - target) + ridge * (beta - start)
        hessian = (full * (p * (1 - p))[:, None]).T @ full
        hessian.flat[:: width + 1] += ridge
        step = np.linalg.solve(hessian, gradient)
        beta = beta - step
        if max(map(abs, step.tolist())) < 1e-7:
            break
    return beta[:-1], float(beta[-1])
