"""Plain cascades by confidence: a threshold per exit, and one per exit and predicted class.

At each exit in turn C = max softmax; it answers where C ≥ its threshold. Exits, costs: see
:mod:`dimec.policies.literature.exit_walk`; the fit:
:func:`dimec.policies.literature.exit_thresholds.fit_thresholds`, for the ledger's λ.

``exit-cascade``
    One threshold per exit. Viola & Jones, Rapid object detection using a boosted cascade of simple
    features, CVPR 2001, are the pattern; for a model's exits Teerapittayanon et al., BranchyNet,
    ICPR 2016, arXiv 1709.01686, with the entropy in place of the confidence; for models of
    different sizes Wang et al., IDK Cascades, UAI 2018, arXiv 1706.00885.

``class-cascade``
    One per exit and class that it predicts: one class may be trusted sooner than another.
    Thresholds by class, from each class's mean probabilities, are Görmez & Koyuncu's, Class Based
    Thresholding in Early Exit Semantic Segmentation Networks, arXiv 2210.15621.

``class-gate``
    By the class alone: whatever its confidence, an exit answers with some classes and goes on with
    the others. dimec's own, to show what a deferral gains by the class without any score.

``exit0-cascade``, ``exit0-class-cascade``
    The first two with the exit at layer 0 before the others, where there is one, as dimec's own
    cascade has it: what a plain threshold makes of the same exits.

Departures: the thresholds are dimec's search on the validation split, not values that were set by
hand. Whether the tiers between the first and the last are asked, on all ways or on none, is chosen
there too, by the same reward; where both are as good, they are not.
"""

from __future__ import annotations

from collections.abc import Sequence

from dimec.base.arrays import FloatArray
from dimec.policies.literature.exit_thresholds import (
    Candidates,
    Cells,
    ThresholdsPolicy,
    fit_thresholds,
)
from dimec.policies.literature.exit_walk import Exit, best_along, seen_along
from dimec.policies.registry import FitInputs, Fitted, System, register

_SINGLE = "Teerapittayanon et al., BranchyNet, ICPR 2016, arXiv 1709.01686"
_BY_CLASS = "Görmez & Koyuncu, Class Based Thresholding, arXiv 2210.15621"
_OWN = "dimec's own, dimec.policies.literature.class_cascade"


def _register(
    name: str,
    title: str,
    source: str,
    cells: Cells,
    candidates: Candidates = "confidences",
    *,
    exit0: bool = False,
) -> None:
    def make(way: Sequence[Exit], thresholds: FloatArray) -> ThresholdsPolicy:
        return ThresholdsPolicy(name, way, thresholds)

    def along(inputs: FitInputs, lambdas: Sequence[float]) -> list[Fitted]:
        trace, deployment = inputs.validation, inputs.deployment
        ways = [
            seen_along(trace, deployment, between=between, exit0=exit0) for between in (False, True)
        ]
        found: list[Fitted] = []
        for lam in lambdas:
            tables = [fit_thresholds(seen, lam, cells, candidates) for seen in ways]
            pairs = zip(ways, tables, strict=True)
            made = [make(seen.way, table) for seen, table in pairs]
            found += best_along([(policy, {}) for policy in made], inputs, [lam])
        return found

    def fit(inputs: FitInputs) -> Fitted:
        return along(inputs, [inputs.lam])[0]

    tags = {"exit 0"} if exit0 else ()
    reads = frozenset({"answers" if candidates == "gate" else "confidences"})
    register(
        System(name, source, make, fitter=fit, along=along, reads=reads), title=title, tags=tags
    )


_register("exit-cascade", "Cascade, threshold per exit", _SINGLE, "exit")
_register("class-cascade", "Cascade, threshold per exit and class", _BY_CLASS, "class")
_register("class-gate", "Class-gated deferral", _OWN, "class", "gate")
_register("exit0-cascade", "Cascade, threshold per exit, exit 0 too", _SINGLE, "exit", exit0=True)
_register(
    "exit0-class-cascade",
    "Cascade, threshold per exit and class, exit 0 too",
    _BY_CLASS,
    "class",
    exit0=True,
)
