"""The cascade among the systems: fitted by backward induction for the ledger's λ."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from dimec.policies.cascade.induction import PROJECTIONS, Fit, Induction, Sight
from dimec.policies.cascade.points import Exit, Point, points_of
from dimec.policies.cascade.policy import CascadePolicy
from dimec.policies.drive import site_of
from dimec.policies.registry import FitInputs, Fitted, System, register, validation_reward
from dimec.tiers.deployment import Deployment
from dimec.traces.trace import Trace


def induction_of(
    inputs: FitInputs,
    seed: int = 0,
    points: Sequence[Point] | None = None,
    without: Collection[str] = (),
    projections: int = PROJECTIONS,
) -> Induction:
    """The validation split, ready for any λ; one serves the whole curve.

    Args:
        inputs: the split and the deployment.
        seed: of the folds.
        points: in place of the site's own; the same ones, from which less may lead on.
        without: groups of features that are not to be used.
        projections: axes of the embedding among the features.
    """
    trace, deployment = inputs.validation, inputs.deployment
    if points is None:
        points = points_of(site_of(trace, deployment))
    sight = sight_of(trace, deployment, points)
    return Induction(points, sight, len(trace.label_names), seed, projections, without)


def sight_of(trace: Trace, deployment: Deployment, points: Sequence[Point]) -> Sight:
    """What the samples of a trace are at every exit of these points."""
    exits: set[Exit] = {(go.tier, go.layer) for point in points for go in point.goes}
    exits |= {exit_ for point in points for exit_ in point.seen}
    columns = {
        (tier, layer): trace.column(layer, deployment.tiers[tier].source) for tier, layer in exits
    }
    right = trace.correct.astype(float)
    return Sight(
        trace.embeddings,
        trace.lengths,
        {exit_: trace.probabilities[:, column] for exit_, column in columns.items()},
        {exit_: right[:, column] for exit_, column in columns.items()},
    )


def fit_cascade(inputs: FitInputs, seed: int = 0) -> CascadePolicy:
    """The cascade of the ledger's λ."""
    return cascade_of(induction_of(inputs, seed).fit(inputs.lam))


def cascade_of(found: Fit) -> CascadePolicy:
    """The policy that an induction found."""
    return CascadePolicy(found.lam, found.choosers, found.mean, found.axes)


def _fit(inputs: FitInputs) -> Fitted:
    return _along(inputs, [inputs.lam])[0]


def _along(inputs: FitInputs, lambdas: Sequence[float]) -> list[Fitted]:
    """One induction for all λ: what each exit's chance is does not depend on them."""
    induction = induction_of(inputs)
    policies = [cascade_of(induction.fit(lam)) for lam in lambdas]
    return [
        Fitted(policy, {}, validation_reward(policy, replace(inputs, lam=policy.lam)))
        for policy in policies
    ]


register(
    System("cascade", "dimec's own, dimec.policies.cascade", cascade_of, fitter=_fit, along=_along),
    title="Cascade",
    tags={"exit 0"},
)
