"""The cascade without one of its parts at a time, each fitted anew on the validation split.

Parts are exits that it looks at, steps that it may take, and groups of its features. λ is chosen on
the validation split, by what really came there of choices that had not seen the row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from dimec.base.arrays import FloatArray
from dimec.evaluation.bootstrap import bootstrap_means, interval
from dimec.policies.cascade.features import GROUPS
from dimec.policies.cascade.induction import PROJECTIONS, Fit, Induction
from dimec.policies.cascade.points import Point, points_of
from dimec.policies.cascade.system import cascade_of, induction_of
from dimec.policies.drive import site_of
from dimec.policies.ladder import LAMBDAS
from dimec.tiers.deployment import Deployment
from dimec.traces.trace import Trace
from dimec_studies.plan import Plan
from dimec_studies.stored import Stored

ALLOWED = (0.005, 0.01)  # drops on the validation split
UTILITY_LAMBDA = 0.01
_AXES = (0, 8)  # in place of those of the default
WHOLE = "the whole cascade"


@dataclass(frozen=True)
class Less:
    """A cascade with something left out.

    Attributes:
        name: what is left out.
        exits: of the first tier that are not looked at.
        limit: what leads on from a point.
        without: groups of features.
        projections: axes of the embedding that are features beside the others.
    """

    name: str
    exits: tuple[int, ...] = ()
    limit: Callable[[Point], Point] = lambda point: point
    without: tuple[str, ...] = ()
    projections: int = PROJECTIONS


def cases(trace: Trace, deployment: Deployment) -> Iterator[Less]:
    """The whole cascade, and what of it can be left out on these tiers."""
    source, last = deployment.sources[0], deployment.exits[0]
    own = [layer for layer in trace.exits_of(source) if layer <= last]
    zero = tuple(layer for layer in own if layer == 0)
    between = tuple(layer for layer in own if 0 < layer < last)
    yield Less(WHOLE)
    if zero:
        yield Less("without exit 0", zero)
    for layer in between:
        yield Less(f"without the exit after layer {layer}", (layer,))
    told = "without exit 0 and a choice" if zero else "without a choice"
    yield Less(f"{told} before the first layer", zero, _start_here)
    if between:
        told = f"one look, after the {deployment.names[0]}"
        yield Less(told, (*zero, *between), _start_here)
    yield Less("one look, before the first layer", between, _first_alone)
    if len(deployment) > 2:
        yield Less("without a look beyond the first tier", (), _last_word_further)
    for group in GROUPS[1:]:
        yield Less(f"without features: {group}", without=(group,))
    for axes in _AXES:
        yield Less(f"with {axes} axes of the embedding as features", projections=axes)


def _start_here(point: Point) -> Point:
    """From the very start, to the first exit."""
    if point.seen:
        return point
    return replace(point, goes=point.goes[:1], costs=point.costs[:1])


def _first_alone(point: Point) -> Point:
    """Whatever was chosen before any layer answers."""
    if point.last is None or point.last == (0, 0):
        return point
    return replace(point, goes=(), costs=())


def _last_word_further(point: Point) -> Point:
    """What a further tier says is the answer."""
    if point.last is None or point.last[0] == 0:
        return point
    return replace(point, goes=(), costs=())


def ablation(
    stored: Stored, plan: Plan, lambdas: Sequence[float] = LAMBDAS
) -> Iterator[dict[str, Any]]:
    """Of each case: what it saves at each allowed drop, and what its utility lacks.

    Args:
        stored: the traces.
        plan: draws and first seed, of the bootstrap.
        lambdas: those that may be chosen.

    Yields:
        ``case``; ``chosen``: of each allowed drop, λ, drop and saving on the validation split
        (cross-fitted) and on the test split, the latter with 95 % intervals, or None where no λ
        loses so little; ``utility``: mean of right - λ·cost at λ = 0.01 on the test split;
        ``difference`` to the whole cascade's, paired, with ``low`` and ``high``.
    """
    whole: FloatArray | None = None
    for case in cases(stored.validation, stored.deployment):
        induction = induction_without(stored, case)
        test = without_exits(stored.test, stored.deployment, case.exits)
        judge = _Judge(test, stored.deployment, plan)
        utility = judge.utility(induction.fit(UTILITY_LAMBDA))
        whole = utility if whole is None else whole
        low, high = judge.bounds(utility - whole)
        yield {
            "case": case.name,
            "chosen": _chosen(stored, [induction.fit(lam) for lam in lambdas], judge),
            "utility": float(utility.mean()),
            "difference": float((utility - whole).mean()),
            "low": low,
            "high": high,
        }


def without_exits(trace: Trace, deployment: Deployment, layers: Sequence[int]) -> Trace:
    """The same trace, but for some exits of the first tier's model."""
    source = deployment.sources[0]
    gone = {trace.column(layer, source) for layer in layers}
    kept = [column for column in range(len(trace.exits)) if column not in gone]
    return replace(
        trace,
        exits=tuple(trace.exits[column] for column in kept),
        sources=tuple(trace.sources[column] for column in kept),
        probabilities=trace.probabilities[:, kept],
    )


def induction_without(stored: Stored, case: Less) -> Induction:
    """The validation split, with that left out."""
    trace = without_exits(stored.validation, stored.deployment, case.exits)
    points = [case.limit(point) for point in points_of(site_of(trace, stored.deployment))]
    inputs = replace(stored.inputs(UTILITY_LAMBDA), validation=trace)
    return induction_of(inputs, points=points, without=case.without, projections=case.projections)


def _chosen(
    stored: Stored, fits: Sequence[Fit], judge: _Judge
) -> dict[str, Mapping[str, Any] | None]:
    """Of each allowed drop, in points: the fit that saves most within it on validation."""
    deployment = stored.deployment
    column = stored.validation.columns(deployment.exits, deployment.sources)[-1]
    reference = float(stored.validation.correct[:, column].mean())
    seen = [
        (reference - float(one.right.mean()), 1 - float(one.cost.mean()) / deployment.prices[-1])
        for one in fits
    ]
    chosen: dict[str, Mapping[str, Any] | None] = {}
    for allowed in ALLOWED:
        within = [place for place, (drop, _) in enumerate(seen) if drop <= allowed]
        if not within:
            chosen[f"{100 * allowed:g}"] = None
            continue
        best = max(within, key=lambda place: seen[place][1])
        chosen[f"{100 * allowed:g}"] = {
            "lambda": fits[best].lam,
            "validation_drop": seen[best][0],
            "validation_saving": seen[best][1],
            **judge.drop_and_saving(fits[best]),
        }
    return chosen


class _Judge:
    """What becomes of a fit on the test split."""

    def __init__(self, test: Trace, deployment: Deployment, plan: Plan) -> None:
        self._test, self._deployment = test, deployment
        self._draws, self._seed = plan.draws, plan.seeds[0]

    def _did(self, fit: Fit) -> tuple[FloatArray, FloatArray]:
        """(N,) right, (N,) cost."""
        outcome = cascade_of(fit).replay(self._test, self._deployment)
        return (outcome.answers * self._test.correct).sum(axis=1), outcome.cost

    def utility(self, fit: Fit) -> FloatArray:
        """(N,) right - λ·cost."""
        right, cost = self._did(fit)
        return right - fit.lam * cost

    def bounds(self, values: FloatArray) -> tuple[float, float]:
        """Of the mean of (N,) values, by the bootstrap."""
        return interval(bootstrap_means(values[:, None], self._draws, self._seed)[:, 0])

    def drop_and_saving(self, fit: Fit) -> dict[str, float]:
        """Against the last tier, each with its interval."""
        right, cost = self._did(fit)
        column = self._test.columns(self._deployment.exits, self._deployment.sources)[-1]
        told: dict[str, float] = {}
        values = {
            "drop": self._test.correct[:, column].astype(float) - right,
            "saving": 1 - cost / self._deployment.prices[-1],
        }
        for name, each in values.items():
            low, high = self.bounds(each)
            told |= {name: float(np.mean(each)), f"{name}_low": low, f"{name}_high": high}
        return told
