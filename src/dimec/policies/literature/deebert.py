"""DeeBERT: leave at the first exit whose probabilities have little entropy.

At each exit in turn H = -Σ p ln p over the classes (natural logarithm, 0 ln 0 = 0); the sample
leaves where H < S, strictly, and at the last exit at the latest. S = 0 never leaves early.

Source: Xin et al., DeeBERT, ACL 2020, arXiv 2004.12993; the values of S are those of their script
(github.com/castorini/DeeBERT, scripts/eval_entropy.sh). Their two stages of training are the
training recipe ``two-stage``.

Cost of a sample: the model stands wholly in the cloud (the paper, section V-B 3), o_c + γ·layer/l
for the layer of the exit that it takes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from dimec.base.arrays import FloatArray
from dimec.base.errors import ConfigError
from dimec.policies.base import Outcome
from dimec.policies.kinds import FromSettings, register_kind
from dimec.policies.literature.early_exit import (
    ExitSteps,
    cloud_exit_outcome,
    exits_in_use,
    first_exit,
)
from dimec.policies.registry import System, register
from dimec.policies.step import Look, Site, Steps
from dimec.tiers.deployment import Deployment
from dimec.traces.trace import Trace

THRESHOLDS = (0.0, 0.001, 0.005, 0.01, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7)


def entropy(probabilities: npt.NDArray[np.floating]) -> FloatArray:
    """-Σ p ln p over the last axis, in nats, with 0 ln 0 = 0.

    Never below 0: a probability that float32 has rounded above 1 would otherwise let a sample
    leave at S = 0.
    """
    p = np.asarray(probabilities, np.float64)
    terms = p * np.log(np.where(p > 0, p, 1.0))
    result: FloatArray = np.maximum(-terms.sum(axis=-1), 0.0)
    return result


class DeeBertPolicy(FromSettings):
    """Entropy-based early exit in the cloud.

    Args:
        threshold: S, in nats, at least 0.

    Raises:
        ConfigError: S is negative or not finite.
    """

    name = "deebert"
    sees_labels = False
    learns_online = False
    replay_only = ""
    kind = "deebert"
    stored = ("threshold",)

    def __init__(self, threshold: float) -> None:
        if not (math.isfinite(threshold) and threshold >= 0):
            raise ConfigError(
                f"DeeBERT's threshold of entropy must be a finite number of at least 0, "
                f"got {threshold!r}; its authors try 0 to 0.7"
            )
        self.threshold = float(threshold)

    def steps(self, site: Site) -> Steps:
        """From exit to exit at the last tier until the entropy is low."""
        return ExitSteps(site, site.deployment.last, self.name, self._satisfied)

    def _satisfied(self, looks: Sequence[Look]) -> bool:
        return bool(entropy(looks[-1].probabilities) < self.threshold)

    def replay(self, trace: Trace, deployment: Deployment) -> Outcome:
        """The first exit of entropy below S answers."""
        exits = exits_in_use(trace, deployment)
        ends = first_exit(entropy(trace.probabilities[:, exits]) < self.threshold)
        return cloud_exit_outcome(trace, deployment, exits[ends])


register_kind(DeeBertPolicy.kind, DeeBertPolicy.made_of)
register(
    System(
        "deebert",
        "Xin et al., DeeBERT, ACL 2020, arXiv 2004.12993",
        DeeBertPolicy,
        grid={"threshold": THRESHOLDS},
    ),
    title="DeeBERT",
    recipe="two-stage",
)
