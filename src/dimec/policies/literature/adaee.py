"""AdaEE: the threshold between exiting on the mobile and offloading, learnt by a bandit.

Source: R. G. Pacheco, F. D. V. R. Oliveira and R. S. Couto, "Early-exit deep neural networks for
distorted images: providing an efficient edge offloading", IEEE GLOBECOM 2021; rule, reward and
settings as in the authors' code (github.com/pachecobeto95/UCBEE and /adaptive_early_exit).

Two exits, the mobile's m and the last, l. An arm is a threshold α in 0, 0.1 … 1. The sample runs
to m and is answered there if C_m ≥ α; otherwise it is offloaded and runs on to l. The reward is

    0                        if C_m ≥ α,
    max(ΔC, 0) - overhead    otherwise,

with the gain in confidence ΔC = C_l - C_m if C_l ≥ α, else max(C_m, C_l) - C_m; since C_m < α here,
max(ΔC, 0) is max(C_l - C_m, 0) in both cases. The answer to an offloaded sample follows that gain:
l's if C_l ≥ α, else that of the more confident of the two exits; which is in both cases the more
confident one's, l's where they are equal. UCB with c = 1, each threshold once first.

``overhead``, what offloading costs in units of confidence, is a setting: the authors report their
results for values from 0 to 1.

Cost of a sample: λ_m·m, and o_c + γ beside where it is offloaded, whichever exit then answers.
A sample that was offloaded counts as the cloud's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from dimec.base.arrays import FloatArray
from dimec.policies.base import (
    Outcome,
    one_hot,
    require_one_model,
    require_two_tiers,
    split_outcome,
)
from dimec.policies.kinds import FromSettings, register_kind
from dimec.policies.literature.bandit_steps import ArmSteps
from dimec.policies.literature.bandits import check_share, check_weight, ucb_choices
from dimec.policies.registry import System, register
from dimec.policies.step import Answer, Go, Signal, Site, Step, Steps, Walk
from dimec.tiers.deployment import Deployment
from dimec.traces.trace import Trace

THRESHOLDS = tuple(k / 10 for k in range(11))
OVERHEADS = (0.0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)


class AdaEEPolicy(FromSettings):
    """A bandit over the mobile's confidence threshold.

    Args:
        overhead: what offloading costs, in units of confidence.
        c: weight of the exploration term.

    Raises:
        ConfigError: an overhead outside [0, 1], or a negative c.
    """

    name = "adaee"
    sees_labels = False
    learns_online = True
    replay_only = ""
    kind = "adaee"
    stored = ("overhead", "c")

    def __init__(self, overhead: float = 0.1, c: float = 1.0) -> None:
        self.overhead = check_share("the overhead of offloading", overhead)
        self.c = check_weight("c, the weight of exploration,", c)

    def steps(self, site: Site) -> Steps:
        """To the mobile's exit, and on to the last where it stays below the threshold played."""
        require_one_model(site.deployment, self.name)
        return OffloadSteps(site, self.c, self.overhead)

    def replay(self, trace: Trace, deployment: Deployment) -> Outcome:
        """Exit on the mobile or offload, at the threshold played."""
        require_one_model(deployment, self.name)
        require_two_tiers(deployment)
        mobile, *_, cloud = trace.columns(deployment.exits, deployment.sources)
        near, far = trace.confidences[:, mobile], trace.confidences[:, cloud]
        played = ucb_choices(threshold_rewards(near, far, self.overhead), self.c)
        offloaded = near < np.array(THRESHOLDS)[played]
        columns = np.full(len(trace), mobile)
        outcome = split_outcome(trace, deployment, columns, offloaded)
        # split_outcome answers what is offloaded at the last exit; here the mobile may know better
        answered = np.where(~offloaded | (near > far), mobile, cloud)
        return replace(outcome, answers=one_hot(answered, len(trace.exits)))


class OffloadSteps(ArmSteps):
    """The steps of :class:`AdaEEPolicy`.

    Args:
        site: whose first and last tier have the two exits.
        c: weight of the exploration term.
        overhead: what offloading costs.
    """

    def __init__(self, site: Site, c: float, overhead: float) -> None:
        super().__init__(len(THRESHOLDS), c)
        deployment = site.deployment
        self._mobile, self._overhead = deployment.exits[0], overhead
        self._away = Go(deployment.last, deployment.layers, "hidden")

    @property
    def reach(self) -> Sequence[Go]:
        """The mobile's exit, and the last."""
        return [Go(0, self._mobile), self._away]

    def begin(self, signal: Signal) -> Go:
        """To the mobile's exit, with a threshold."""
        return Go(0, self._mobile, note=self.arm())

    def after(self, walk: Walk) -> Step:
        """To the last exit, unless this one reaches the threshold; the surer of two answers."""
        near, arm = walk.looks[0].confidence, int(walk.note)
        if len(walk.looks) == 2:
            return Answer(0 if near > walk.last.confidence else 1)
        return Answer() if near >= THRESHOLDS[arm] else self._away

    def learn(self, walk: Walk, first: Go) -> None:
        """What the threshold played has gained by offloading; 0 where it did not."""
        near, arm = walk.looks[0].confidence, int(first.note)
        stayed = near >= THRESHOLDS[arm]
        gain = 0.0 if stayed else max(walk.last.confidence - near, 0.0) - self._overhead
        self.tally.add(arm, gain)
        self.tally.seen += 1


def threshold_rewards(
    near: npt.NDArray[np.floating], far: npt.NDArray[np.floating], overhead: float
) -> FloatArray:
    """(N, 11) reward of each threshold on each sample.

    Args:
        near: (N,) C_m, the mobile's confidence.
        far: (N,) C_l, the last exit's.
        overhead: what offloading costs.
    """
    c_m, c_l = near[:, None].astype(np.float64), far[:, None].astype(np.float64)
    gain = np.maximum(c_l - c_m, 0.0)
    rewards: FloatArray = np.where(c_m >= np.array(THRESHOLDS), 0.0, gain - overhead)
    return rewards


register_kind(AdaEEPolicy.kind, AdaEEPolicy.made_of)
register(
    System(
        "adaee",
        "Pacheco, Oliveira and Couto, IEEE GLOBECOM 2021",
        AdaEEPolicy,
        grid={"overhead": OVERHEADS},
    ),
    title="AdaEE",
)
