"""Small logistic models of what the exits on a way say, as deferral and CATs need them.

The features are those of the cascade (:mod:`dimec.policies.cascade.features`) without the text's
own: log-odds of the largest probability, entropy, margin, predicted class, squares, and whether the
exits before agree. The capacity is chosen by cross-validation
(:mod:`dimec.policies.cascade.linear`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from dimec.base.arrays import FloatArray
from dimec.policies.cascade.choosing import sigmoid
from dimec.policies.cascade.features import features, layout
from dimec.policies.cascade.linear import cross_fit, folds_of
from dimec.policies.literature.exit_walk import Probabilities

FOLDS = 5


@dataclass(frozen=True, eq=False)
class Models:
    """S logistic models at one exit.

    Attributes:
        weights: (S, F) of the features.
        biases: (S,).

    Raises:
        ValueError: shapes that do not fit, or numbers that are not finite.
    """

    weights: FloatArray
    biases: FloatArray

    def __post_init__(self) -> None:
        if self.weights.ndim != 2 or self.biases.shape != self.weights.shape[:1]:
            raise ValueError(
                f"expected weights (S, F) and biases (S,), got {self.weights.shape} and "
                f"{self.biases.shape}"
            )
        if not (np.isfinite(self.weights).all() and np.isfinite(self.biases).all()):
            raise ValueError("expected finite weights")

    def probabilities(self, looks: Sequence[Probabilities]) -> FloatArray:
        """(N, S) of N samples; each row as if it were alone.

        Args:
            looks: of the exits that the models look at, in order, (N, C) probabilities.
        """
        x = exit_features(looks)
        values = np.vecdot(x[:, None, :], self.weights[None, :, :]) + self.biases
        return sigmoid(values)


def exit_features(looks: Sequence[Probabilities]) -> FloatArray:
    """(N, F) features of exits that have spoken."""
    return features(np.zeros((len(looks[0]), 0)), looks)


def fit_models(
    looks: Sequence[Probabilities], targets: npt.NDArray[np.floating], seed: int = 0
) -> Models:
    """The models of these targets.

    Args:
        looks: of the exits to look at, in order, (N, C) probabilities.
        targets: (N, S) of 0 and 1.
        seed: of the folds.
    """
    x, fold = exit_features(looks), folds_of(len(targets), FOLDS, seed)
    groups = layout(len(looks), looks[0].shape[1], 0).groups[1:]  # the first is the text's length
    fits = [cross_fit(x, one, groups, fold, logistic=True) for one in targets.T]
    return Models(np.stack([one.weights for one in fits]), np.array([one.bias for one in fits]))


def models_as_arrays(models: Sequence[Models]) -> dict[str, npt.NDArray[Any]]:
    """The models of each exit, as arrays by name."""
    weights = {f"{e}.weights": one.weights for e, one in enumerate(models)}
    return weights | {f"{e}.biases": one.biases for e, one in enumerate(models)}


def models_of(arrays: Mapping[str, npt.NDArray[Any]], exits: int, each: int) -> list[Models]:
    """The models of a stored policy.

    Args:
        arrays: of :func:`models_as_arrays`, and nothing else.
        exits: how many exits have models.
        each: how many models each of them has.

    Raises:
        KeyError, ValueError: they are none.
    """
    expected = {f"{e}.{part}" for e in range(exits) for part in ("weights", "biases")}
    if arrays.keys() != expected:
        raise ValueError(f"expected the models of {exits} exits, got {sorted(arrays)}")
    models = [Models(arrays[f"{e}.weights"], arrays[f"{e}.biases"]) for e in range(exits)]
    if any(len(one.biases) != each for one in models):
        raise ValueError(f"expected {each} models at each exit")
    return models
