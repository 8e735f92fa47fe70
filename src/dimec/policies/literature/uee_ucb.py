"""UEE-UCB: the exit chosen by how often it disagrees with the first, without any confidence.

Source: H. N. N U, M. K. Hanawal and A. Bhardwaj, "Unsupervised early exit in DNNs with multiple
exits", AIMLSystems 2022, arXiv 2209.09480; opening round, updates and cost structure as in the
authors' code (github.com/MLiONS/MutiExitDNNs).

If an exit that is right is followed by exits that are right (strong dominance), then the error
rates of exits 1 and j differ by the probability that their predictions disagree, which needs no
label. An arm is an exit j, and the one played has the highest

    p̂(exits 1 and j disagree) + cost_1 - cost_j + sqrt(α·ln(t + 1) / N_j).

A sample that runs to the exit j shows the predictions of all exits up to j, so every arm up to j is
updated. The first sample runs to the last exit, by which every arm is seen once. α = 1.

Costs are compared with error rates as they stand: cost_j = scale·layer_j/l, the authors' CS-1 for
scale = 1. There one layer of 12 weighs as much as 8.3 points of error, and in their run nearly
every sample exits at layer 3 of 12; so smaller scales are tried too on the validation split.

Cost of a sample: λ_m·layer of the exit; everything runs on the mobile.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from dimec.base.arrays import FloatArray
from dimec.policies.base import Outcome, first_tier_outcome
from dimec.policies.kinds import FromSettings, register_kind
from dimec.policies.literature.bandit_steps import ArmSteps, arm_layers
from dimec.policies.literature.bandits import arm_columns, check_weight, ucb_choices, up_to
from dimec.policies.registry import System, register
from dimec.policies.step import Answer, Go, Signal, Site, Step, Steps, Walk
from dimec.tiers.deployment import Deployment
from dimec.traces.trace import Trace

SCALES = (1.0, 0.5, 0.25, 0.1, 0.05, 0.02)


class UEEUCBPolicy(FromSettings):
    """A bandit over exits whose rewards are disagreements with the first exit.

    Args:
        scale: cost of the whole model, in units of error probability.
        alpha: α, the weight of exploration, under the root.

    Raises:
        ConfigError: a negative scale or α.
    """

    name = "uee-ucb"
    sees_labels = False
    learns_online = True
    replay_only = ""
    kind = "uee-ucb"
    stored = ("scale", "alpha")

    def __init__(self, scale: float = 1.0, alpha: float = 1.0) -> None:
        self.scale = check_weight("the scale of costs", scale)
        self.alpha = check_weight("alpha, the weight of exploration,", alpha)

    def steps(self, site: Site) -> Steps:
        """From exit to exit on the mobile, up to the one that the bandit says."""
        return DisagreementSteps(site, self.scale, self.alpha)

    def replay(self, trace: Trace, deployment: Deployment) -> Outcome:
        """Exit where the bandit says, on the mobile."""
        columns = arm_columns(trace, deployment)
        predictions = trace.predictions[:, columns]
        disagreements = (predictions != predictions[:, :1]).astype(np.float64)
        played = ucb_choices(
            disagreements,
            math.sqrt(self.alpha),
            opening=(len(columns) - 1,),
            offsets=savings(np.asarray(trace.exits)[columns], self.scale).tolist(),
            observed=up_to,
        )
        return first_tier_outcome(trace, deployment, columns[played])


def savings(layers: npt.NDArray[np.integer], scale: float) -> FloatArray:
    """(K,) cost_1 - cost_j of the exits at K layers, the last of them the model's last."""
    costs: FloatArray = scale * layers / layers[-1]
    saved: FloatArray = costs[0] - costs
    return saved


class DisagreementSteps(ArmSteps):
    """The steps of :class:`UEEUCBPolicy`.

    Args:
        site: whose exits are the arms.
        scale, alpha: see :class:`UEEUCBPolicy`.
    """

    def __init__(self, site: Site, scale: float, alpha: float) -> None:
        self._layers = arm_layers(site)
        arms = len(self._layers)
        known = savings(np.array(self._layers), scale).tolist()
        super().__init__(arms, math.sqrt(alpha), opening=(arms - 1,), offsets=known)

    @property
    def reach(self) -> Sequence[Go]:
        """Every exit."""
        return [Go(0, layer) for layer in self._layers]

    def begin(self, signal: Signal) -> Go:
        """To the first exit, on the way to the one played."""
        return Go(0, self._layers[0], note=self.arm())

    def after(self, walk: Walk) -> Step:
        """To the next exit, up to the one played."""
        seen, arm = len(walk.looks), int(walk.note)
        return Answer() if seen > arm else Go(0, self._layers[seen])

    def learn(self, walk: Walk, first: Go) -> None:
        """Which exits disagreed with the first."""
        for k, look in enumerate(walk.looks):
            self.tally.add(k, float(look.prediction != walk.looks[0].prediction))
        self.tally.seen += 1


register_kind(UEEUCBPolicy.kind, UEEUCBPolicy.made_of)
register(
    System(
        "uee-ucb",
        "N U, Hanawal and Bhardwaj 2022, arXiv 2209.09480",
        UEEUCBPolicy,
        grid={"scale": SCALES},
    ),
    title="UEE-UCB",
)
