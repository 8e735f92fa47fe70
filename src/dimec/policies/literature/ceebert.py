"""CeeBERT: one confidence threshold for all exits, learnt by a bandit.

Source: D. J. Bajpai and M. K. Hanawal, "CeeBERT: cross-domain inference in early exit BERT",
Findings of ACL 2024, arXiv 2405.15039; thresholds, gain and c as in the authors' code
(github.com/Div290/CeeBERT).

An arm is a threshold α in 0.5, 0.55 … 0.95. The sample ends at the first exit j with C_j ≥ α, or
at the last. The reward is the gain in confidence over the first exit, less what the layers behind
the first exit cost:

    0                                            if the sample ends at the first exit,
    C_j - C_1 - w·μ·(cost(j) - cost(1))          otherwise,

with cost(j) = λ_m·layer. Played by UCB with c = 2, each threshold once first; only the threshold
played is learnt from. The authors subtract a fixed overhead, 0.1, for going on; here it is the
ledger's price: μ is the ledger's λ when fitted, and w is chosen on the validation split.

The paper has one device, which holds the whole model; here that is the mobile.

Cost of a sample: λ_m·layer of the exit; everything runs on the mobile.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from dimec.base.arrays import FloatArray, IntArray
from dimec.policies.base import Outcome, first_tier_outcome
from dimec.policies.kinds import FromSettings, register_kind
from dimec.policies.literature.bandit_steps import ArmSteps, arm_layers
from dimec.policies.literature.bandits import (
    arm_columns,
    check_weight,
    layer_costs,
    mobile_costs,
    priced_system,
    ucb_choices,
)
from dimec.policies.registry import WEIGHTS, register
from dimec.policies.step import Answer, Go, Signal, Site, Step, Steps, Walk
from dimec.tiers.costs import check_lambda
from dimec.tiers.deployment import Deployment
from dimec.traces.trace import Trace

THRESHOLDS = tuple(k / 20 for k in range(10, 20))


class CeeBERTPolicy(FromSettings):
    """A bandit over confidence thresholds.

    Args:
        weight: w, of cost, as a multiple of μ.
        mu: μ, the weight of one λ of cost against confidence.
        c: weight of the exploration term.

    Raises:
        ConfigError: a negative weight, μ or c.
    """

    name = "ceebert"
    sees_labels = False
    learns_online = True
    replay_only = ""
    kind = "ceebert"
    stored = ("weight", "mu", "c")

    def __init__(self, weight: float = 1.0, mu: float = 0.02, c: float = 2.0) -> None:
        self.weight = check_weight("the weight of cost", weight)
        self.mu = check_lambda(mu, "mu")
        self.c = check_weight("c, the weight of exploration,", c)

    def steps(self, site: Site) -> Steps:
        """From exit to exit on the mobile, up to the first that reaches the threshold played."""
        return ThresholdSteps(site, self.c, self.weight * self.mu)

    def replay(self, trace: Trace, deployment: Deployment) -> Outcome:
        """Exit on the mobile at the threshold played."""
        columns = arm_columns(trace, deployment)
        confidences = trace.confidences[:, columns]
        ends = first_exits(confidences)
        costs = mobile_costs(trace, deployment, columns)
        rewards = gain_rewards(confidences, ends, costs, self.weight * self.mu)
        played = ucb_choices(rewards, self.c)
        return first_tier_outcome(trace, deployment, columns[ends[np.arange(len(trace)), played]])


class ThresholdSteps(ArmSteps):
    """The steps of :class:`CeeBERTPolicy`.

    Args:
        site: whose exits are asked.
        c: weight of the exploration term.
        price: of one λ, in units of confidence.
    """

    def __init__(self, site: Site, c: float, price: float) -> None:
        super().__init__(len(THRESHOLDS), c)
        self._layers = arm_layers(site)
        self._costs = layer_costs(site.deployment, self._layers).tolist()
        self._price = price

    @property
    def reach(self) -> Sequence[Go]:
        """Every exit."""
        return [Go(0, layer) for layer in self._layers]

    def begin(self, signal: Signal) -> Go:
        """To the first exit, with a threshold."""
        return Go(0, self._layers[0], note=self.arm())

    def after(self, walk: Walk) -> Step:
        """To the next exit, unless this one reaches the threshold or there is none."""
        seen, arm = len(walk.looks), int(walk.note)
        if seen == len(self._layers) or walk.last.confidence >= THRESHOLDS[arm]:
            return Answer()
        return Go(0, self._layers[seen])

    def learn(self, walk: Walk, first: Go) -> None:
        """What the threshold played has gained over the first exit."""
        arm: int = first.note
        more = self._costs[len(walk.looks) - 1] - self._costs[0]
        gain = walk.last.confidence - walk.looks[0].confidence
        self.tally.add(arm, gain - self._price * more)
        self.tally.seen += 1


def first_exits(confidences: npt.NDArray[np.floating]) -> IntArray:
    """(N, 10) the exit at which each threshold ends each sample.

    Args:
        confidences: (N, K) at each exit.
    """
    reached = confidences[:, None, :] >= np.array(THRESHOLDS)[:, None]
    reached[:, :, -1] = True
    ends: IntArray = reached.argmax(axis=-1).astype(np.int64)
    return ends


def gain_rewards(
    confidences: npt.NDArray[np.floating], ends: IntArray, costs: FloatArray, price: float
) -> FloatArray:
    """(N, A) reward of each threshold on each sample.

    Args:
        confidences: (N, K) at each exit.
        ends: (N, A) the exit at which each threshold ends each sample.
        costs: (K,) of running up to each exit.
        price: of one λ, in units of confidence.
    """
    taken = np.take_along_axis(confidences, ends, axis=1)
    gains: FloatArray = taken - confidences[:, :1] - price * (costs[ends] - costs[0])
    return gains


register_kind(CeeBERTPolicy.kind, CeeBERTPolicy.made_of)
register(
    priced_system(
        "ceebert",
        "Bajpai and Hanawal, Findings of ACL 2024, arXiv 2405.15039",
        CeeBERTPolicy,
        {"weight": WEIGHTS},
    ),
    title="CeeBERT",
)
