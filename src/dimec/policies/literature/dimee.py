"""DIMEE, and early exit by a threshold on the largest class probability, on which it is built.

The rule: at each exit in turn C = max softmax; the sample leaves where C ≥ α, and at the last exit
at the latest. Three systems use it, each with α chosen on the validation split:

``dimee``
    Bajpai & Hanawal's own: the rule is run on the validation split, and how deep it goes says how
    hard a sample is. One that leaves within the first m layers is easy, within the first n medium,
    otherwise hard. Each pool's centre is the mean of its embeddings, and an input goes to the tier
    of the nearest centre before any layer has run. So it is DIMEC with pools by exit depth in
    place of the data map (Ours-F, with other pools).
    Cost of a sample: mobile λ_m·m, edge λ_e·n + o_e, cloud o_c + γ.

``max-softmax``
    The rule alone, the whole model on the mobile.
    Cost of a sample: λ_m·layer of the exit that it takes.

``max-softmax-tiers``
    The rule over three tiers, without any router: the exits up to m on the mobile; where none is
    sure, the text goes to the edge, which runs its own layers from the first and asks the exits
    between m and n; where none is sure there either, the text goes to the cloud, whose last exit
    answers. (Stopping early in the cloud would save nothing: γ is due in full.) A tier without
    exits of its own, m = n or n = l, is passed over.
    Cost of a sample: λ_m·layer on the mobile; λ_m·m + o_e + λ_e·layer from the edge;
    λ_m·m + (o_e + λ_e·n, if it was asked) + o_c + γ from the cloud.

Source: Bajpai & Hanawal, Distributed Inference on Mobile Edge and Cloud: An Early Exit based
Clustering Approach, ICC 2025, arXiv 2410.05338. The rule is that of their code, C ≥ α after every
layer (github.com/Div290/DIMEE, EXCL/modeling_bert.py); it gives no values of α, so those that are
swept here are dimec's. The paper's text was not at hand: the pools follow its abstract and a
summary of it (early exits tell the complexity, embeddings the nearest pool).
``max-softmax-tiers`` is dimec's, to show what deciding while running costs where DIMEE and DIMEC
decide before.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from dimec.base.arrays import IntArray
from dimec.base.errors import ConfigError
from dimec.policies.base import Outcome, first_tier_outcome, outcome_of, require_one_model
from dimec.policies.kinds import FromSettings, register_kind
from dimec.policies.literature.early_exit import (
    CONFIDENCE_THRESHOLDS,
    ExitSteps,
    exits_in_use,
    first_exit,
)
from dimec.policies.registry import FitInputs, Fitted, System, register, validation_reward
from dimec.policies.routed import RouterPolicy
from dimec.policies.step import Answer, FixedSteps, Go, Look, Signal, Site, Step, Steps, Walk
from dimec.routing import CentroidRouter
from dimec.tiers.deployment import Deployment
from dimec.tiers.paths import leg
from dimec.tiers.usage import text_bytes
from dimec.traces.trace import Trace

_SOURCE = "Bajpai & Hanawal, DIMEE, ICC 2025, arXiv 2410.05338"


def confident_exit(trace: Trace, deployment: Deployment, threshold: float) -> IntArray:
    """(N,) position of the first exit whose confidence is at least the threshold, or the last's."""
    exits = exits_in_use(trace, deployment)
    columns: IntArray = exits[first_exit(trace.confidences[:, exits] >= threshold)]
    return columns


def depth_pools(layers: npt.NDArray[np.integer], deployment: Deployment) -> IntArray:
    """(N,) pools by the layers (N,) at which early exit leaves: easy to m, medium to n, else hard.

    Example:
        >>> depth_pools(np.array([2, 3, 4, 5]), Deployment.paper((2, 4, 6))).tolist()
        [0, 1, 1, 2]
    """
    pools: IntArray = np.searchsorted(deployment.exits[:-1], layers, side="left")
    return pools.astype(np.int64)


def fit_depth_router(trace: Trace, deployment: Deployment, threshold: float) -> CentroidRouter:
    """DIMEE's router: the centres of the pools that early exit makes of the validation samples."""
    layers = np.asarray(trace.exits)[confident_exit(trace, deployment, threshold)]
    return CentroidRouter().fit(trace.embeddings, depth_pools(layers, deployment), len(deployment))


def _check_threshold(threshold: float) -> float:
    if not (math.isfinite(threshold) and 0 <= threshold <= 1):
        raise ConfigError(f"a threshold of confidence lies between 0 and 1, got {threshold!r}")
    return float(threshold)


class MaxSoftmaxPolicy(FromSettings):
    """Early exit by confidence, on the mobile alone.

    Args:
        threshold: α, between 0 and 1.

    Raises:
        ConfigError: a threshold outside that range.
    """

    name = "max-softmax"
    sees_labels = False
    learns_online = False
    replay_only = ""
    kind = "max-softmax"
    stored = ("threshold",)

    def __init__(self, threshold: float) -> None:
        self.threshold = _check_threshold(threshold)

    def steps(self, site: Site) -> Steps:
        """From exit to exit on the first tier until one is sure."""
        return ExitSteps(site, 0, self.name, self._satisfied)

    def _satisfied(self, looks: Sequence[Look]) -> bool:
        return looks[-1].confidence >= self.threshold

    def replay(self, trace: Trace, deployment: Deployment) -> Outcome:
        """The first exit that is sure enough answers."""
        return first_tier_outcome(
            trace, deployment, confident_exit(trace, deployment, self.threshold)
        )


class MaxSoftmaxTiersPolicy(MaxSoftmaxPolicy):
    """Early exit by confidence, from the mobile by way of the edge to the cloud.

    Args:
        threshold: α, between 0 and 1, the same on every tier.

    Raises:
        ConfigError: a threshold outside that range.
    """

    name = "max-softmax-tiers"
    kind = "max-softmax-tiers"

    def steps(self, site: Site) -> Steps:
        """From exit to exit of every tier until one is sure."""
        return TierExitSteps(site, self.threshold)

    def replay(self, trace: Trace, deployment: Deployment) -> Outcome:
        """Each tier asks its own exits; a sample of which none is sure goes on to the next."""
        columns = confident_exit(trace, deployment, self.threshold)
        layers = np.asarray(trace.exits)[columns]
        ends = depth_pools(layers, deployment)
        payload, legs, before = text_bytes(trace.lengths), [], 0
        for k, tier in enumerate(deployment.tiers):
            last = k == deployment.last
            asked = (ends >= k) & (last or tier.layer > before)
            stop = np.full(len(trace), tier.layer) if last else np.minimum(layers, tier.layer)
            here = asked & (ends == k)
            legs.append(leg(len(trace), k, stop, taken=asked, ends=here, payload=payload))
            before = tier.layer
        return outcome_of(trace, deployment, legs)


class TierExitSteps(FixedSteps):
    """The steps of :class:`MaxSoftmaxTiersPolicy`.

    A tier is asked at those exits that no tier before it has; the last tier at its own alone.
    """

    def __init__(self, site: Site, threshold: float) -> None:
        deployment = site.deployment
        require_one_model(deployment, MaxSoftmaxTiersPolicy.name)
        self._threshold = threshold
        bounds = [0, *deployment.exits]
        self._plan = [
            (k, layer)
            for k in range(deployment.last)
            for layer in site.exits_of(k)
            if bounds[k] < layer <= bounds[k + 1]
        ]
        if not self._plan or self._plan[-1][1] < deployment.layers:
            self._plan.append((deployment.last, deployment.layers))

    @property
    def reach(self) -> Sequence[Go]:
        """The exits of every tier."""
        return [Go(*step) for step in self._plan]

    def begin(self, signal: Signal) -> Go:
        """To the first exit of the first tier."""
        return Go(*self._plan[0])

    def after(self, walk: Walk) -> Step:
        """To the next exit, here or at the next tier, unless this one is sure."""
        seen = len(walk.looks)
        if seen == len(self._plan) or walk.last.confidence >= self._threshold:
            return Answer()
        return Go(*self._plan[seen])


def _make_dimee(router: CentroidRouter) -> RouterPolicy:
    return RouterPolicy("dimee", router.copy())


def _fit_dimee(inputs: FitInputs) -> Fitted:
    """The threshold whose pools route the validation split best; ties go to the lower one."""
    best: Fitted | None = None
    for threshold in inputs.tried("threshold", CONFIDENCE_THRESHOLDS):
        _check_threshold(threshold)
        router = fit_depth_router(inputs.validation, inputs.deployment, threshold)
        policy = _make_dimee(router)
        reward = validation_reward(policy, inputs)
        if best is None or reward > best.reward:
            best = Fitted(policy, {"threshold": threshold}, reward)
    assert best is not None  # there are thresholds
    return best


register_kind(MaxSoftmaxPolicy.kind, MaxSoftmaxPolicy.made_of)
register_kind(MaxSoftmaxTiersPolicy.kind, MaxSoftmaxTiersPolicy.made_of)
_GRID = {"threshold": CONFIDENCE_THRESHOLDS}
register(
    System(
        "dimee",
        _SOURCE,
        _make_dimee,
        _GRID,
        _fit_dimee,
        reads=frozenset({"confidences", "embeddings"}),
    ),
    title="DIMEE",
)
register(
    System("max-softmax", _SOURCE, MaxSoftmaxPolicy, grid=_GRID), title="Max-softmax early exit"
)
register(
    System("max-softmax-tiers", _SOURCE, MaxSoftmaxTiersPolicy, grid=_GRID),
    title="Max-softmax early exit over the tiers",
)
