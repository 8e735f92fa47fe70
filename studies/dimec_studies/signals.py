"""What each signal of the cascade says, and what the cascade loses without it.

Of every signal, at every point where the cascade looks: the area under the ROC curve (AUC), the
chance that a row on which something is so has a higher value than one on which it is not. What is
chosen about a signal, such as its sign, is chosen on the validation split; what is told is of the
test split. The ablations are those of :mod:`dimec_studies.ablations`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dimec.base.arrays import FloatArray
from dimec.base.progress import Progress
from dimec.policies.cascade.choosing import sigmoid
from dimec.policies.cascade.features import features, signal_features
from dimec.policies.cascade.induction import Induction, Sight
from dimec.policies.cascade.points import Exit, Point
from dimec.policies.cascade.system import induction_of, sight_of
from dimec.policies.dimec import fit_router
from dimec.policies.ladder import LAMBDAS
from dimec.policies.literature.knn import neighbours_of
from dimec_studies.ablations import ablation
from dimec_studies.plan import Plan
from dimec_studies.signal_tables import tables
from dimec_studies.stored import Stored

__all__ = ["compute", "tables"]

NEIGHBOURS = (10, 30, 100)
CASCADE = "the cascade's own expectation"

Columns = Mapping[str, FloatArray]  # signal → (N, V) its values, of which the best is taken


def compute(
    stored: Sequence[Stored],
    plan: Plan,
    progress: Progress,
    lambdas: Sequence[float] = LAMBDAS,
) -> dict[str, Any]:
    """The result: of every task the AUC of its signals, and the ablations; JSON values.

    Args:
        stored: the traces of each task.
        plan: the λ that the paper's router is fitted for, and the bootstrap's draws.
        progress: is told of each task.
        lambdas: those that an ablation may choose among.
    """
    tasks = []
    for one in stored:
        progress.say(f"signals of {one.name}")
        auc = list(signals(one, plan))
        progress.say(f"ablations of {one.name}")
        tasks.append(
            {
                "task": one.name,
                "rows": {"validation": len(one.validation), "test": len(one.test)},
                "tiers": list(one.deployment.names),
                "auc": auc,
                "ablation": list(ablation(one, plan, lambdas)),
            }
        )
    return {"tasks": tasks}


def roc_auc(score: FloatArray, positive: FloatArray) -> float | None:
    """Share of pairs of a positive and a negative row in which the positive scores higher.

    Ties count half. None where all rows are of one kind.
    """
    from sklearn.metrics import roc_auc_score

    if positive.min() == positive.max():
        return None
    return float(roc_auc_score(positive, score))


@dataclass(frozen=True, eq=False)
class _Split:
    """A split as the cascade sees it, and what is known of its rows before any layer."""

    sight: Sight
    before: Columns


def signals(stored: Stored, plan: Plan) -> Iterator[dict[str, Any]]:
    """Of each point and each of its signals: how well it tells what.

    Yields:
        ``point``, ``signal`` and ``auc``: of each target, see :func:`_targets`, the AUC on the test
        split; None where there is nothing to tell, or no such expectation.
    """
    inputs = stored.inputs(plan.lam)
    induction = induction_of(inputs)
    fitted, judged = _splits(stored, induction, plan.lam)
    for point in _looked_from(induction.points):
        targets = _targets(point, fitted.sight, stored)
        judged_targets = _targets(point, judged.sight, stored)
        there, here = _seen(point, fitted), _seen(point, judged)
        for name, values in there.items():
            auc = {
                target: _best(values, here[name], positive, judged_targets[target])
                for target, positive in targets.items()
            }
            yield {"point": told(point, stored), "signal": name, "auc": auc}
        expected = _expected(induction, point, judged.sight, judged_targets, stored)
        yield {"point": told(point, stored), "signal": CASCADE, "auc": expected}


def told(point: Point, stored: Stored) -> str:
    """``before any layer``, ``after layer 1``, ``after the edge``."""
    if point.last is None or point.last[1] == 0:
        return "before any layer"
    tier, layer = point.last
    return f"after the {stored.deployment.names[tier]}" if tier else f"after layer {layer}"


def _looked_from(points: Sequence[Point]) -> Iterator[Point]:
    """Along the first tier, and at each further one after all of it."""
    own = max((p.seen for p in points if p.seen and p.seen[-1][0] == 0), key=len)
    for point in points:
        on_first = all(tier == 0 for tier, _ in point.seen)
        if point.goes and (on_first or point.seen[:-1] == own):
            yield point


def _targets(point: Point, sight: Sight, stored: Stored) -> dict[str, FloatArray]:
    """What is to be told, by name: (N,) 0 or 1.

    ``"here"``: the exit seen last is right; ``"mobile"``, ``"edge"`` and so on: that tier is right;
    ``"gain"``: the last tier is right where the exit seen last is wrong, or the first tier's where
    none was seen.
    """
    tiers = _tiers(stored)
    here = point.last or tiers[0]
    targets = {} if point.last is None else {"here": sight.right[here]}
    for name, exit_ in zip(stored.deployment.names[:-1], tiers, strict=False):
        targets[name] = sight.right[exit_]
    return {**targets, "gain": sight.right[tiers[-1]] * (1 - sight.right[here])}


def _tiers(stored: Stored) -> list[Exit]:
    return list(enumerate(stored.deployment.exits))


def _best(
    fitted: FloatArray, judged: FloatArray, positive: FloatArray, judged_positive: FloatArray
) -> float | None:
    """AUC on the test split of the column and sign that tell most on the validation split."""
    there = [0.5 if (area := roc_auc(one, positive)) is None else area for one in fitted.T]
    best = int(np.argmax(np.abs(np.array(there) - 0.5)))
    found = roc_auc(judged[:, best], judged_positive)
    return found if found is None or there[best] >= 0.5 else 1 - found


def _expected(
    induction: Induction,
    point: Point,
    sight: Sight,
    targets: Mapping[str, FloatArray],
    stored: Stored,
) -> dict[str, float | None]:
    """AUC of P(right) as it was fitted; for the gain, of the difference of two of them."""
    signal = signal_features(sight.embeddings, sight.tokens, induction.mean, induction.axes)
    x = features(signal, [sight.probabilities[exit_] for exit_ in point.seen])

    def chance(exit_: Exit) -> FloatArray:
        fit = induction.chance(point, exit_)
        return sigmoid(x @ fit.weights + fit.bias)

    tiers = _tiers(stored)
    here = point.last or tiers[0]
    scores = {"here": chance(here), "gain": chance(tiers[-1]) - chance(here)}
    for name, exit_ in zip(stored.deployment.names[:-1], tiers, strict=False):
        scores[name] = chance(exit_)
    return {name: roc_auc(scores[name], positive) for name, positive in targets.items()}


# --- Signals -------------------------------------------------------------------------------------


def _splits(stored: Stored, induction: Induction, lam: float) -> tuple[_Split, _Split]:
    """Validation and test, each with its signals before any layer."""
    validation, test, deployment = stored.validation, stored.test, stored.deployment
    router, _ = fit_router(validation, stored.needed_map(), deployment, lam, "quantile")
    centres = router.centroids
    known = neighbours_of(validation, deployment)
    # Whoever is among the neighbours is left out of its own record.
    own = known.shares_left_out(NEIGHBOURS) if len(known) == len(validation) else None
    found = []
    for trace, left_out in ((validation, own), (test, None)):
        sight = sight_of(trace, deployment, induction.points)
        shares = left_out or [known.shares(trace.embeddings, k) for k in NEIGHBOURS]
        about = signal_features(sight.embeddings, sight.tokens, induction.mean, induction.axes)
        apart = np.asarray(trace.embeddings, np.float64)[:, None, :] - centres
        distances = np.sqrt((apart**2).sum(axis=2))
        before = {
            "length": about[:, :1],
            "distances to the pools' centres": _with_differences(distances),
            "nearest neighbours' record": np.hstack([_with_differences(one) for one in shares]),
            "embedding along its axes": about[:, 1:],
        }
        found.append(_Split(sight, {name: one for name, one in before.items() if one.size}))
    return found[0], found[1]


def _with_differences(values: FloatArray) -> FloatArray:
    """(N, K) → (N, 2K - 1): each but the last less the last, too."""
    return np.hstack([values, values[:, :-1] - values[:, -1:]])


def _seen(point: Point, split: _Split) -> Columns:
    """All signals of a point; before any layer, those of exit 0 too, where there is one."""
    if not point.seen:
        return split.before
    said = _said(point, split.sight)
    if point.last != (0, 0):
        return said
    return {**{f"exit 0: {name}": one for name, one in said.items()}, **split.before}


def _said(point: Point, sight: Sight) -> dict[str, FloatArray]:
    """What the exits that have spoken say of the last of them."""
    looks = [np.asarray(sight.probabilities[exit_], np.float64) for exit_ in point.seen]
    last, rows = looks[-1], np.arange(len(sight))
    best, ordered = last.argmax(axis=1), np.sort(last, axis=1)
    logs = np.log(np.maximum(last, 1e-12))
    found = {
        "confidence": ordered[:, -1],
        "margin": ordered[:, -1] - ordered[:, -2],
        "entropy": -(last * logs).sum(axis=1),
    }
    if looks[:-1]:
        agree = [one.argmax(axis=1) == best for one in looks[:-1]]
        found["agreement with earlier exits"] = np.mean(agree, axis=0)
        if point.seen[0] == (0, 0):
            found["exit 0's probability of the same class"] = looks[0][rows, best]
    return {name: values[:, None] for name, values in found.items()}
