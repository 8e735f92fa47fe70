"""CATs: leave at the first exit that is, with proof, as good as the whole model.

At each exit a meta-classifier tells M, the probability that the exit agrees with the last one, from
all exits so far. An input leaves where M > τ. τ is conformal: of each of the n calibration samples
take the largest M among those exits that do not agree (-∞ where all agree), and let τ be the
⌈(1 - ε)(n + 1)⌉-th smallest of them, ∞ where that is over n. Then an input that is exchangeable
with them gets the last exit's answer with probability 1 - ε at least: only an exit above τ could
give another, and the largest of those that would is above τ with probability ε at most.

ε, the tolerance, is the method's knob; for the ledger's λ the one of the highest reward on the
validation split is taken, and it can be set. The proof is of a tolerance that was set.

Exits and cost: see :mod:`dimec.policies.literature.exit_walk`.

Source: Schuster, Fisch, Jaakkola & Barzilay, Consistent Accelerated Inference via Confident
Adaptive Transformers, EMNLP 2021, arXiv 2104.08803, with its shared calibration. Departures:
logistic regressions on :mod:`dimec.policies.literature.exit_models` are the meta-classifiers, in
place of a network on theirs; no exit is trained for it; one half of the validation split, drawn
from a seed, fits them, the other calibrates; and the exits past the first tier are those of the
tiers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from dimec.base.arrays import BoolArray
from dimec.base.errors import ConfigError
from dimec.policies.cascade.linear import folds_of
from dimec.policies.kinds import Arrays, register_kind
from dimec.policies.literature.exit_models import (
    Models,
    fit_models,
    models_as_arrays,
    models_of,
)
from dimec.policies.literature.exit_walk import (
    Exit,
    Probabilities,
    Seen,
    WalkPolicy,
    best_along,
    seen_along,
    stored_way,
)
from dimec.policies.registry import FitInputs, Fitted, System, register

# Shares of inputs; the first is taken where several are as good.
TOLERANCES = (0.0025, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3)
SEED = 0  # of the halves


class ConsistencyPolicy(WalkPolicy):
    """Leave at the first exit that probably agrees with the last.

    Args:
        way: E exits, in order.
        models: of each exit but the last, one: P(this exit agrees with the last).
        threshold: τ, from 0 to 1; none is above 1.

    Raises:
        ValueError: not as many models, or a τ outside its range.
    """

    kind = "cats"

    def __init__(self, way: Sequence[Exit], models: Sequence[Models], threshold: Any) -> None:
        super().__init__("cats", way)
        self.models = tuple(models)
        self.threshold = float(threshold)
        if len(self.models) != len(self.way) - 1:
            raise ValueError(f"{len(self.way)} exits need models of each but the last")
        if not 0 <= self.threshold <= 1:
            raise ValueError(f"expected a threshold from 0 to 1, got {threshold}")

    def stops(self, looks: Sequence[Probabilities]) -> BoolArray:
        """Where M > τ."""
        told = self.models[len(looks) - 1].probabilities(looks)[:, 0]
        sure: BoolArray = told > self.threshold
        return sure

    def arrays(self) -> Arrays:
        """The models of each exit, and ``threshold``."""
        return {"threshold": np.array([self.threshold]), **models_as_arrays(self.models)}


def shared_threshold(
    scores: npt.NDArray[np.floating], agrees: npt.NDArray[np.bool_], tolerance: float
) -> float:
    """τ, from 0 to 1: M is a probability, so 1 stands for ∞ and 0 for -∞.

    Args:
        scores: (n, E) M of the calibration samples at each exit but the last.
        agrees: (n, E) whether the exit agrees with the last one.
        tolerance: ε.

    Example:
        >>> scores = np.array([[0.9, 0.8], [0.6, 0.7], [0.3, 0.5]])
        >>> agrees = np.array([[True, True], [False, True], [False, False]])
        >>> [shared_threshold(scores, agrees, tolerance) for tolerance in (0.2, 0.3, 0.5, 0.8)]
        [1.0, 0.6, 0.5, 0.0]
    """
    worst = np.where(agrees, -np.inf, scores).max(axis=1, initial=-np.inf)
    rank = math.ceil((1 - tolerance) * (len(worst) + 1) - 1e-9)  # less what rounding adds
    if rank > len(worst):
        return 1.0
    return max(0.0, float(np.sort(worst)[rank - 1]))


def calibrated(seen: Seen, tolerances: Sequence[float]) -> list[ConsistencyPolicy]:
    """The policy of each tolerance; one half of the split fits, the other calibrates."""
    agrees = seen.predictions[:, :-1] == seen.predictions[:, -1:]
    half = folds_of(len(seen), 2, SEED)
    models, scores = [], np.zeros((int((half == 1).sum()), len(seen.way) - 1))
    for e in range(len(seen.way) - 1):
        looks = seen.looks[: e + 1]
        target = agrees[half == 0, e : e + 1].astype(np.float64)
        models.append(fit_models([look[half == 0] for look in looks], target))
        if len(scores):
            scores[:, e] = models[e].probabilities([look[half == 1] for look in looks])[:, 0]
    return [
        ConsistencyPolicy(seen.way, models, shared_threshold(scores, agrees[half == 1], tolerance))
        for tolerance in tolerances
    ]


def check_tolerance(tolerance: float) -> float:
    """The tolerance.

    Raises:
        ConfigError: it is no share.
    """
    if not 0 < tolerance < 1:
        raise ConfigError(f"a tolerance lies between 0 and 1, got {tolerance!r}")
    return tolerance


def _along(inputs: FitInputs, lambdas: Sequence[float]) -> list[Fitted]:
    tolerances = [check_tolerance(one) for one in inputs.tried("tolerance", TOLERANCES)]
    policies = calibrated(seen_along(inputs.validation, inputs.deployment), tolerances)
    settings = [{"tolerance": one} for one in tolerances]
    return best_along(list(zip(policies, settings, strict=True)), inputs, lambdas)


def _fit(inputs: FitInputs) -> Fitted:
    return _along(inputs, [inputs.lam])[0]


def _made_of(name: str, settings: Mapping[str, Any], arrays: Arrays) -> ConsistencyPolicy:
    way = stored_way(settings)
    rest = {key: array for key, array in arrays.items() if key != "threshold"}
    (threshold,) = arrays["threshold"].tolist()
    policy = ConsistencyPolicy(way, models_of(rest, len(way) - 1, 1), threshold)
    if policy.name != name:
        raise ValueError(f"expected the name {policy.name}")
    return policy


register_kind(ConsistencyPolicy.kind, _made_of)
register(
    System(
        "cats",
        "Schuster et al., EMNLP 2021, arXiv 2104.08803",
        ConsistencyPolicy,
        grid={"tolerance": TOLERANCES},
        fitter=_fit,
        along=_along,
    ),
    title="CATs",
)
