"""Courses and first steps told as what a mobile answers: pure functions."""

from __future__ import annotations

import math
from collections.abc import Sequence

from dimec.mobile.item import Item
from dimec.mobile.prediction import Choice, Prediction, Stay
from dimec.policies.step import Go


def prediction_of(
    item: Item,
    names: Sequence[str],
    labels: Sequence[str],
    *,
    cost: float,
    now: float,
    policy: str,
    contract: str | None,
) -> Prediction:
    """The answer to an input whose course has come to its end.

    Args:
        item: decided on, with an answer on its way.
        names: of the tiers, in order.
        labels: of the C classes, in the model's order.
        cost: of its path and of every sending in vain, in λ.
        now: seconds of the performance counter, which ``item.started`` counts too.
        policy: name of the one that decides.
        contract: what that promises; None where it promises nothing.
    """
    course, decision = item.way, item.decision
    assert course.answer is not None
    assert decision is not None
    values, first = course.answer.probabilities.tolist(), course.first
    best = course.answer.prediction
    return Prediction(
        id=item.id,
        label=labels[best],
        probability=values[best],
        probabilities=dict(zip(labels, values, strict=True)),
        route=names[first.tier],
        distances=_distances(first, names),
        margin=_margin(first),
        path=tuple(Stay(names[v.tier], v.start, v.stop, v.payload) for v in course.path),
        answered_by=names[course.answer.tier],
        fallback_reason=course.reason,
        tried=course.tried,
        milliseconds=1e3 * (now - item.started),
        cost=cost,
        recorded=True,
        safe=decision.safe,
        policy=policy,
        contract=contract,
    )


def choice_of(first: Go, names: Sequence[str]) -> Choice:
    """Where a policy's first step leads.

    Example:
        >>> choice_of(Go(1, 3, scores=(0.5, math.inf), margin=math.inf), ("mobile", "edge"))
        Choice(tier=1, tier_name='edge', scores={'mobile': 0.5, 'edge': None}, margin=None)
    """
    return Choice(first.tier, names[first.tier], _distances(first, names), _margin(first))


def _distances(first: Go, names: Sequence[str]) -> dict[str, float | None]:
    """Tier → score; empty where the policy measures none."""
    measured = names if first.scores else ()
    return {name: _finite(score) for name, score in zip(measured, first.scores, strict=True)}


def _margin(first: Go) -> float | None:
    return _finite(first.margin) if first.scores else None


def _finite(value: float) -> float | None:
    """None for infinity, which JSON cannot say: the score of a tier that cannot be reached."""
    return value if math.isfinite(value) else None
