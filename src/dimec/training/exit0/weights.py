"""What was fitted, as the arrays that are stored: one sum of weights, in little room."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from dimec.base.arrays import FloatArray
from dimec.bundle.exit0 import Exit0
from dimec.bundle.exit0_rows import BINS
from dimec.training.exit0.design import MOST_COLUMNS, Plan

_LARGEST_WEIGHT = 6e4  # that float16 holds


@dataclass(frozen=True, eq=False)
class Linear:
    """Log-odds that are linear in features.

    Attributes:
        weights: (K, F); K is 1 for two classes (log-odds of the second), else C.
        bias: (K,).
    """

    weights: FloatArray
    bias: FloatArray

    def __call__(self, features: Any) -> FloatArray:
        """(N, K) log-odds of (N, F) features."""
        result: FloatArray = np.asarray(features @ self.weights.T) + self.bias
        return result

    @classmethod
    def of_classes(cls, weights: FloatArray, bias: FloatArray) -> Linear:
        """From weights (C, F) and biases (C,), one for each class."""
        if len(bias) == 2:
            return cls(weights[1:] - weights[:1], bias[1:] - bias[:1])
        return cls(weights, bias)


def assembled(
    plan: Plan,
    joint: Linear,
    embedded: Linear,
    directions: FloatArray | None,
    *,
    typical: float,
    power: float,
    prior: FloatArray,
    model: str,
) -> Exit0:
    """Exit 0 of the two regressions, the second of which takes up the first.

    Args:
        plan: which weights it has.
        joint: of what is looked up, of a pair's shares, and of the K log-odds of ``embedded``.
        embedded: of the pooled embedding (D features).
        directions: (C, 16) orthonormal, what most of the differences between log-odds lie in: more
            classes share the weights of these; None where each class has weights of its own.
        typical: the number of tokens at which the power made no difference in the fit.
        power: of the number of tokens, by which sums are divided.
        prior: (C,) probabilities.
        model: fingerprint.
    """
    tokens, looked_up = plan.tables * len(plan.ids), plan.looked_up
    end = looked_up + (3 * BINS if plan.pairs else 0)
    taken_up = joint.weights[:, end:]
    weights = np.hstack([joint.weights[:, :end], taken_up @ embedded.weights])
    bias = joint.bias + taken_up @ embedded.bias
    weights[:, :looked_up] *= typical**power
    weights, mix, bias = _columns(weights, bias, directions)
    columns = len(weights)

    def table(start: int, stop: int, *shape: int) -> Any:
        part = weights[:, start:stop].T.reshape(*shape, columns)
        return part.clip(-_LARGEST_WEIGHT, _LARGEST_WEIGHT).astype(np.float16)

    return Exit0(
        ids=plan.ids.astype(np.int32),
        tokens=table(0, tokens, plan.tables, len(plan.ids)),
        bigrams=table(tokens, looked_up, looked_up - tokens),
        shares=table(looked_up, end, 3 if plan.pairs else 0, BINS),
        pooled=weights[:, end:].astype(np.float32),
        mix=mix.astype(np.float32),
        bias=bias.astype(np.float32),
        prior=prior.astype(np.float32),
        vocabulary=plan.vocabulary,
        separator=plan.separator,
        power=power,
        model=model,
    )


def directions_of(scores: FloatArray) -> FloatArray | None:
    """(C, 16) the directions in which log-odds (N, C) lie most; None of 16 classes or fewer."""
    if scores.shape[1] <= MOST_COLUMNS:
        return None
    away = scores - scores.mean(axis=1, keepdims=True)
    _, vectors = np.linalg.eigh(away.T @ away)
    result: FloatArray = vectors[:, -MOST_COLUMNS:]
    return result


def _columns(
    weights: FloatArray, bias: FloatArray, directions: FloatArray | None
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Weights (K, F), the mix (K, C) that makes log-odds of what they give, and the bias (C,)."""
    if len(bias) == 1:
        return weights, np.array([[-0.5, 0.5]]), np.array([-0.5, 0.5]) * bias
    if directions is None:
        return weights, np.eye(len(bias)), bias
    return directions.T @ weights, directions.T, bias
