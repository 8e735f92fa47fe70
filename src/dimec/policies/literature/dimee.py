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

import numpy as np
import numpy.typing as npt

from dimec.base.arrays import IntArray
from dimec.base.errors import ConfigError
from dimec.cartography import EASY, HARD, MEDIUM
from dimec.policies.base import Outcome, exit_outcome, mobile_exit_outcome
from dimec.policies.literature.early_exit import CONFIDENCE_THRESHOLDS, exits_in_use, first_exit
from dimec.policies.registry import FitInputs, Fitted, System, register, validation_reward
from dimec.policies.routed import RouterPolicy
from dimec.routing import CentroidRouter
from dimec.tiers.costs import CLOUD, EDGE, MOBILE
from dimec.tiers.usage import Deployment, Usage, text_bytes
from dimec.traces.trace import Trace

_SOURCE = "Bajpai & Hanawal, DIMEE, ICC 2025, arXiv 2410.05338"


def confident_exit(trace: Trace, deployment: Deployment, threshold: float) -> IntArray:
    """(N,) position of the first exit whose confidence is at least the threshold, or the last's."""
    return first_exit(trace.confidences[:, : exits_in_use(trace, deployment)] >= threshold)


def depth_pools(layers: npt.NDArray[np.integer], deployment: Deployment) -> IntArray:
    """(N,) pools by the layers (N,) at which early exit leaves: easy to m, medium to n, else hard.

    Example:
        >>> depth_pools(np.array([2, 3, 4, 5]), Deployment((2, 4, 6))).tolist()
        [0, 1, 1, 2]
    """
    m, n, _ = deployment.exits
    pools: IntArray = np.select([layers <= m, layers <= n], [EASY, MEDIUM], HARD).astype(np.int64)
    return pools


def fit_depth_router(trace: Trace, deployment: Deployment, threshold: float) -> CentroidRouter:
    """DIMEE's router: the centres of the pools that early exit makes of the validation samples."""
    layers = np.asarray(trace.exits)[confident_exit(trace, deployment, threshold)]
    return CentroidRouter().fit(trace.embeddings, depth_pools(layers, deployment))


def _check_threshold(threshold: float) -> float:
    if not (math.isfinite(threshold) and 0 <= threshold <= 1):
        raise ConfigError(f"a threshold of confidence lies between 0 and 1, got {threshold!r}")
    return float(threshold)


class MaxSoftmaxPolicy:
    """Early exit by confidence, on the mobile alone.

    Args:
        threshold: α, between 0 and 1.

    Raises:
        ConfigError: a threshold outside that range.
    """

    name = "max-softmax"
    sees_labels = False
    learns_online = False

    def __init__(self, threshold: float) -> None:
        self.threshold = _check_threshold(threshold)

    def replay(self, trace: Trace, deployment: Deployment) -> Outcome:
        """The first exit that is sure enough answers."""
        return mobile_exit_outcome(trace, confident_exit(trace, deployment, self.threshold))


class MaxSoftmaxTiersPolicy(MaxSoftmaxPolicy):
    """Early exit by confidence, from the mobile by way of the edge to the cloud.

    Args:
        threshold: α, between 0 and 1, the same on every tier.

    Raises:
        ConfigError: a threshold outside that range.
    """

    name = "max-softmax-tiers"

    def replay(self, trace: Trace, deployment: Deployment) -> Outcome:
        """Each tier asks its own exits; a sample of which none is sure goes on to the next."""
        m, n, l = deployment.exits  # noqa: E741
        columns = confident_exit(trace, deployment, self.threshold)
        layers = np.asarray(trace.exits)[columns]
        tiers = np.select([layers <= m, layers <= n], [MOBILE, EDGE], CLOUD)
        last = trace.columns((l,))[0]
        columns = np.where(tiers == CLOUD, last, columns)
        asked = (tiers != MOBILE) & (m < n)
        cloud = tiers == CLOUD
        payload = text_bytes(trace.lengths)
        usage = Usage.of(
            len(trace),
            mobile_layers=np.minimum(layers, m),
            edge_layers=np.where(asked, np.minimum(layers, n), 0),
            cloud_layers=np.where(cloud, l, 0),
            edge_offloads=asked,
            cloud_offloads=cloud,
            cloud_charges=cloud,
            edge_bytes=np.where(asked, payload, 0.0),
            cloud_bytes=np.where(cloud, payload, 0.0),
        )
        return exit_outcome(trace, columns, tiers, usage)


def _make_dimee(router: CentroidRouter) -> RouterPolicy:
    return RouterPolicy("dimee", router.copy())


def _fit_dimee(inputs: FitInputs) -> Fitted:
    """The threshold whose pools route the validation split best; ties go to the lower one."""
    best: Fitted | None = None
    for threshold in CONFIDENCE_THRESHOLDS:
        router = fit_depth_router(inputs.validation, inputs.deployment, threshold)
        policy = _make_dimee(router)
        reward = validation_reward(policy, inputs)
        if best is None or reward > best.reward:
            best = Fitted(policy, {"threshold": threshold}, reward)
    assert best is not None  # there are thresholds
    return best


_GRID = {"threshold": CONFIDENCE_THRESHOLDS}
register(System("dimee", _SOURCE, _make_dimee, fitter=_fit_dimee), title="DIMEE")
register(
    System("max-softmax", _SOURCE, MaxSoftmaxPolicy, grid=_GRID), title="Max-softmax early exit"
)
register(
    System("max-softmax-tiers", _SOURCE, MaxSoftmaxTiersPolicy, grid=_GRID),
    title="Max-softmax early exit over the tiers",
)
