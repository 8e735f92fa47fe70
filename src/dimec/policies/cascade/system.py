"""The cascade among the systems: fitted by backward induction for the ledger's λ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from dimec.policies.cascade.induction import Fit, Induction, Sight
from dimec.policies.cascade.points import Exit, points_of
from dimec.policies.cascade.policy import CascadePolicy
from dimec.policies.drive import site_of
from dimec.policies.registry import FitInputs, Fitted, System, register, validation_reward


def induction_of(inputs: FitInputs, seed: int = 0) -> Induction:
    """The validation split, ready for any λ; one serves the whole curve.

    Args:
        inputs: the split and the deployment.
        seed: of the folds.
    """
    trace, deployment = inputs.validation, inputs.deployment
    points = points_of(site_of(trace, deployment))
    exits: set[Exit] = {(go.tier, go.layer) for point in points for go in point.goes}
    exits |= {exit_ for point in points for exit_ in point.seen}
    columns = {
        (tier, layer): trace.column(layer, deployment.tiers[tier].source) for tier, layer in exits
    }
    right = trace.correct.astype(float)
    sight = Sight(
        trace.embeddings,
        trace.lengths,
        {exit_: trace.probabilities[:, column] for exit_, column in columns.items()},
        {exit_: right[:, column] for exit_, column in columns.items()},
    )
    return Induction(points, sight, len(trace.label_names), seed)


def fit_cascade(inputs: FitInputs, seed: int = 0) -> CascadePolicy:
    """The cascade of the ledger's λ."""
    return _make(induction_of(inputs, seed).fit(inputs.lam), inputs.lam)


def _fit(inputs: FitInputs) -> Fitted:
    return _along(inputs, [inputs.lam])[0]


def _along(inputs: FitInputs, lambdas: Sequence[float]) -> list[Fitted]:
    """One induction for all λ: what each exit's chance is does not depend on them."""
    induction = induction_of(inputs)
    policies = [_make(induction.fit(lam), lam) for lam in lambdas]
    return [
        Fitted(policy, {}, validation_reward(policy, replace(inputs, lam=policy.lam)))
        for policy in policies
    ]


def _make(found: Fit, lam: float) -> CascadePolicy:
    return CascadePolicy(lam, found.choosers, found.mean, found.axes)


register(
    System("cascade", "dimec's own, dimec.policies.cascade", _make, fitter=_fit, along=_along),
    title="Cascade",
    tags={"exit 0"},
)
