"""Deferral by calibrated difference: go on where the last tier is likelier to be right, and enough.

At each exit of the first tier two probabilities are told from what it says: a, that it is right,
and b, that the last tier is. The input goes on, to the next exit and after the last of them to the
last tier, where

    b - a > λ·(cost of an answer from the last tier - cost of the answer at hand).

So what the last tier gets wrong too is kept, however unsure the exit is of it; confidence alone
would send it on.

Cost of a sample: λ_m·layer of the exit that it takes; λ_m·m + o_c + γ from the last tier.

Source: Jitkrittum et al., When Does Confidence-Based Cascade Deferral Suffice?, NeurIPS 2023,
arXiv 2307.02764: the Bayes-optimal rule for two models compares just these two probabilities, and
post-hoc models of the difference are learnt from the first model's outputs (their Diff-01 of
whether each is right). Departures: two small logistic regressions
(:mod:`dimec.policies.literature.exit_models`) in place of one regression of the difference, on the
validation split; there are several exits before the model that is deferred to, each with models of
its own; tiers between the first and the last are not asked.

``exit0-deferral`` looks at the exit at layer 0 too, where there is one, as dimec's cascade does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from dimec.base.arrays import BoolArray, FloatArray
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


class DeferralPolicy(WalkPolicy):
    """Go on where P(last tier right) - P(this exit right) is over the extra cost.

    Args:
        way: E exits, in order.
        models: of each exit but the last, two: P(this exit is right), P(the last one is).
        margins: (E - 1,) λ·extra cost of the last exit.

    Raises:
        ValueError: not as many models or margins, or margins that are not finite.
    """

    kind = "deferral"

    def __init__(
        self,
        way: Sequence[Exit],
        models: Sequence[Models],
        margins: npt.ArrayLike,
        name: str = "deferral",
    ) -> None:
        super().__init__(name, way)
        self.models = tuple(models)
        self.margins = np.asarray(margins, np.float64)
        if not len(self.models) == len(self.way) - 1 or self.margins.shape != (len(self.models),):
            raise ValueError(f"{len(self.way)} exits need models and margins of each but the last")
        if not np.isfinite(self.margins).all():
            raise ValueError("expected finite margins")

    def stops(self, looks: Sequence[Probabilities]) -> BoolArray:
        """Where the difference does not pay."""
        here = len(looks) - 1
        told = self.models[here].probabilities(looks[-1:])
        kept: BoolArray = told[:, 1] - told[:, 0] <= self.margins[here]
        return kept

    def arrays(self) -> Arrays:
        """The models of each exit, and ``margins``."""
        return {"margins": self.margins, **models_as_arrays(self.models)}


def fit_differences(seen: Seen) -> list[Models]:
    """The models of each exit but the last; they do not depend on λ."""
    return [
        fit_models(seen.looks[e : e + 1], seen.right[:, [e, -1]]) for e in range(len(seen.way) - 1)
    ]


def margins_of(seen: Seen, lam: float) -> FloatArray:
    """(E - 1,) λ·extra cost of the last exit, for each exit but the last."""
    margins: FloatArray = lam * (seen.costs[-1] - seen.costs[:-1])
    return margins


def _made_of(name: str, settings: Mapping[str, Any], arrays: Arrays) -> DeferralPolicy:
    way = stored_way(settings)
    rest = {key: array for key, array in arrays.items() if key != "margins"}
    return DeferralPolicy(way, models_of(rest, len(way) - 1, 2), arrays["margins"], name)


def _register(name: str, title: str, *, exit0: bool) -> None:
    def make(
        way: Sequence[Exit], models: Sequence[Models], margins: npt.ArrayLike
    ) -> DeferralPolicy:
        return DeferralPolicy(way, models, margins, name)

    def along(inputs: FitInputs, lambdas: Sequence[float]) -> list[Fitted]:
        seen = seen_along(inputs.validation, inputs.deployment, between=False, exit0=exit0)
        models = fit_differences(seen)
        found: list[Fitted] = []
        for lam in lambdas:
            policy = make(seen.way, models, margins_of(seen, lam))
            found += best_along([(policy, {})], inputs, [lam])
        return found

    def fit(inputs: FitInputs) -> Fitted:
        return along(inputs, [inputs.lam])[0]

    source = "Jitkrittum et al., NeurIPS 2023, arXiv 2307.02764"
    tags = {"exit 0"} if exit0 else ()
    register(System(name, source, make, fitter=fit, along=along), title=title, tags=tags)


register_kind(DeferralPolicy.kind, _made_of)
_register("deferral", "Deferral by calibrated difference", exit0=False)
_register("exit0-deferral", "Deferral by calibrated difference, exit 0 too", exit0=True)
