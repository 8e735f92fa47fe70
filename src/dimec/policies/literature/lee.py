"""LEE, learning early exit: a bandit over exits that trades confidence against latency.

Source: W. Ju, W. Bao, D. Yuan, L. Ge and B. B. Zhou, "Learning early exit for deep neural network
inference on mobile devices through multi-armed bandits", IEEE/ACM CCGrid 2021, pages 11-20.

An arm is an exit i; every sample runs on the mobile up to the exit played and is answered there.
The reward trades the confidence against the latency,

    C_i - w·μ·cost(i),

and the arms are played by UCB1, c = sqrt(2), each once first. Latencies are random in the paper;
in the ledger's units each layer has one price, so the latency of an exit is cost(i) = λ_m·i. μ is
the ledger's λ when fitted, and w, the user's trade, is chosen on the validation split.
Only the exit played is learnt from. (The paper is not openly available: this is what its abstract
says, with the plain index of UCB1.)

Cost of a sample: λ_m·layer of the exit; everything runs on the mobile.
"""

from __future__ import annotations

import math
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
from dimec.policies.step import Answer, Go, Signal, Site, Steps, Walk
from dimec.tiers.costs import check_lambda, rewards
from dimec.tiers.deployment import Deployment
from dimec.traces.trace import Trace


class LEEPolicy(FromSettings):
    """A bandit over exits.

    Args:
        weight: w, of latency, as a multiple of μ.
        mu: μ, the weight of one λ of cost against confidence.
        c: weight of the exploration term.

    Raises:
        ConfigError: a negative weight, μ or c.
    """

    name = "lee"
    sees_labels = False
    learns_online = True
    replay_only = ""
    kind = "lee"
    stored = ("weight", "mu", "c")

    def __init__(self, weight: float = 1.0, mu: float = 0.02, c: float = math.sqrt(2)) -> None:
        self.weight = check_weight("the weight of latency", weight)
        self.mu = check_lambda(mu, "mu")
        self.c = check_weight("c, the weight of exploration,", c)

    def steps(self, site: Site) -> Steps:
        """One step to the exit that the bandit says, on the mobile."""
        return ExitArmSteps(site, self.c, self.weight * self.mu)

    def replay(self, trace: Trace, deployment: Deployment) -> Outcome:
        """Exit where the bandit says, on the mobile."""
        columns = arm_columns(trace, deployment)
        utility = exit_rewards(trace, deployment, columns, self.weight * self.mu)
        played = ucb_choices(utility, self.c)
        return first_tier_outcome(trace, deployment, columns[played])


class ExitArmSteps(ArmSteps):
    """The steps of :class:`LEEPolicy`.

    Args:
        site: whose exits are the arms.
        c: weight of the exploration term.
        price: of one λ, in units of confidence.
    """

    def __init__(self, site: Site, c: float, price: float) -> None:
        self._layers = arm_layers(site)
        super().__init__(len(self._layers), c)
        self._costs = (price * layer_costs(site.deployment, self._layers)).tolist()

    @property
    def reach(self) -> Sequence[Go]:
        """Every exit."""
        return [Go(0, layer) for layer in self._layers]

    def begin(self, signal: Signal) -> Go:
        """To the exit played."""
        arm = self.arm()
        return Go(0, self._layers[arm], note=arm)

    def after(self, walk: Walk) -> Answer:
        """Which answers."""
        return Answer()

    def learn(self, walk: Walk, first: Go) -> None:
        """What the exit played has earned."""
        arm: int = first.note
        self.tally.add(arm, walk.last.confidence - self._costs[arm])
        self.tally.seen += 1


def exit_rewards(
    trace: Trace, deployment: Deployment, columns: IntArray, price: float
) -> FloatArray:
    """(N, K) reward of answering each sample at each exit on the mobile: C_i - price·λ_m·i."""
    confidences: npt.NDArray[np.float64] = trace.confidences[:, columns]
    return rewards(confidences, mobile_costs(trace, deployment, columns).tolist(), price)


register_kind(LEEPolicy.kind, LEEPolicy.made_of)
register(
    priced_system(
        "lee",
        "Ju, Bao, Yuan, Ge and Zhou, IEEE/ACM CCGrid 2021",
        LEEPolicy,
        {"weight": WEIGHTS},
    ),
    title="LEE",
)
