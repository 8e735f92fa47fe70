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

import numpy as np
import numpy.typing as npt

from dimec.base.arrays import FloatArray, IntArray
from dimec.policies.base import Outcome, mobile_exit_outcome
from dimec.policies.literature.bandits import (
    arm_columns,
    check_weight,
    mobile_costs,
    priced_system,
    ucb_choices,
)
from dimec.policies.registry import WEIGHTS, register
from dimec.tiers.costs import check_lambda, rewards
from dimec.tiers.usage import Deployment
from dimec.traces.trace import Trace


class LEEPolicy:
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

    def __init__(self, weight: float = 1.0, mu: float = 0.02, c: float = math.sqrt(2)) -> None:
        self.weight = check_weight("the weight of latency", weight)
        self.mu = check_lambda(mu)
        self.c = check_weight("c, the weight of exploration,", c)

    def replay(self, trace: Trace, deployment: Deployment) -> Outcome:
        """Exit where the bandit says, on the mobile."""
        columns = arm_columns(trace, deployment)
        utility = exit_rewards(trace, deployment, columns, self.weight * self.mu)
        played = ucb_choices(utility, self.c)
        return mobile_exit_outcome(trace, columns[played])


def exit_rewards(
    trace: Trace, deployment: Deployment, columns: IntArray, price: float
) -> FloatArray:
    """(N, K) reward of answering each sample at each exit on the mobile: C_i - price·λ_m·i."""
    confidences: npt.NDArray[np.float64] = trace.confidences[:, columns]
    return rewards(confidences, mobile_costs(trace, deployment, columns).tolist(), price)


register(
    priced_system(
        "lee",
        "Ju, Bao, Yuan, Ge and Zhou, IEEE/ACM CCGrid 2021",
        LEEPolicy,
        {"weight": WEIGHTS},
    ),
    title="LEE",
)
