"""What the early-exit rules share: the exits that a deployment has, and the first that may answer.

An early-exit rule looks at the exits in turn, from the shallowest to the deepest, and takes the
first that satisfies it. The last exit answers what none of them would.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from dimec.base.arrays import IntArray
from dimec.policies.base import Outcome, outcome_of, require_one_model
from dimec.policies.step import Answer, FixedSteps, Go, Look, Signal, Site, Step, Walk
from dimec.tiers.deployment import Deployment
from dimec.tiers.paths import leg
from dimec.tiers.usage import text_bytes
from dimec.traces.trace import Trace

# Of the largest class probability: the range that threshold-based early exit is swept over.
CONFIDENCE_THRESHOLDS = (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 0.99)


def exits_in_use(trace: Trace, deployment: Deployment) -> IntArray:
    """(K,) positions of the trace's exits that the deployed model has, up to its last layer.

    The systems of the literature know no exit before the first layer, and see none.

    Raises:
        ConfigError: the trace has no exit at one of the deployment's tiers.
    """
    require_one_model(deployment, "early exit through the layers of a model")
    last = trace.columns(deployment.exits, deployment.sources)[-1]
    return trace.columns_after_layers(last)


class OneStep(FixedSteps):
    """Every input takes the same one step, and is answered."""

    def __init__(self, step: Go) -> None:
        self._step = step

    @property
    def reach(self) -> Sequence[Go]:
        """The step."""
        return [self._step]

    def begin(self, signal: Signal) -> Go:
        """The step."""
        return self._step

    def after(self, walk: Walk) -> Answer:
        """The answer."""
        return Answer()


class ExitSteps(FixedSteps):
    """Steps from exit to exit of the whole model at one tier, until a rule is satisfied.

    Args:
        site: whose exits are asked.
        tier: where the model stands.
        system: the name of the system, for messages.
        satisfied: the rule; given the exits seen so far, whether the last of them may answer.
    """

    def __init__(
        self, site: Site, tier: int, system: str, satisfied: Callable[[Sequence[Look]], bool]
    ) -> None:
        require_one_model(site.deployment, system)
        self._tier = tier
        self._layers = [x for x in site.exits_of(tier) if x <= site.deployment.layers]
        self._satisfied = satisfied

    @property
    def reach(self) -> Sequence[Go]:
        """Every exit."""
        return [Go(self._tier, layer) for layer in self._layers]

    def begin(self, signal: Signal) -> Go:
        """To the first exit."""
        return Go(self._tier, self._layers[0])

    def after(self, walk: Walk) -> Step:
        """To the next exit, unless the rule is satisfied or there is none."""
        seen = len(walk.looks)
        if seen == len(self._layers) or self._satisfied(walk.looks):
            return Answer()
        return Go(self._tier, self._layers[seen])


def first_exit(satisfied: npt.NDArray[np.bool_]) -> IntArray:
    """(N,) position of the first exit that is satisfied; of the last one where none is.

    Args:
        satisfied: (N, X) whether the rule would let exit x answer sample i; X ≥ 1.

    Example:
        >>> first_exit(np.array([[False, True, True], [False, False, False]])).tolist()
        [1, 2]
    """
    wanted = satisfied.copy()
    wanted[:, -1] = True
    columns: IntArray = wanted.argmax(axis=1).astype(np.int64)
    return columns


def cloud_exit_outcome(trace: Trace, deployment: Deployment, columns: IntArray) -> Outcome:
    """The outcome of early exit with the whole model in the cloud: o_c + γ·layer/l.

    The paper (section V-B 3) has the cloud charge less where a sample leaves early, "as then only
    partial resource is used"; the share of the layers that ran is dimec's reading of it.

    Args:
        trace: of N samples.
        deployment: whose last layer is l.
        columns: (N,) positions of the exits taken among the trace's exits.
    """
    layers, payload = np.asarray(trace.exits)[columns], text_bytes(trace.lengths)
    only = leg(len(trace), deployment.last, layers, payload=payload)
    return outcome_of(trace, deployment, [only])
