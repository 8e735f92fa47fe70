"""SplitEE: a bandit over the layer at which the network is split between mobile and cloud.

Source: D. J. Bajpai, V. K. Trivedi, S. L. Yadav and M. K. Hanawal, "SplitEE: early exit in deep
neural networks with split computing", AIMLSystems 2023, arXiv 2309.09195; settings as in the
authors' code (github.com/Div290/SplitEE).

An arm is a split i, any exit of the model. The sample runs on the mobile up to i; it is answered
there if C_i ≥ α or i = l, otherwise it is offloaded and answered at l. The reward is

    C_i - w·μ·cost(i)          if C_i ≥ α or i = l,
    C_l - w·μ·(cost(i) + o)    otherwise,

and UCB plays with c = 1, each split once first. In the paper cost(i) = λ1·i + λ2, λ1 a layer's
computation and λ2 that of the one exit evaluated; here exits are free and cost(i) = λ_m·i,
o = o_c + γ, as the ledger charges. μ, the paper's conversion from cost to confidence, is the
ledger's λ when fitted, times a weight w. The authors choose α per data set (0.7 to 0.85) and leave
μ to the user; here α among 0.5 … 0.95 and w among 1/2 … 8 are chosen on the validation split.

Cost of a sample: λ_m·split, and o_c + γ beside where it is offloaded.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import numpy.typing as npt

from dimec.base.arrays import BoolArray, FloatArray, IntArray
from dimec.policies.base import Outcome, split_outcome
from dimec.policies.kinds import FromSettings, register_kind
from dimec.policies.literature.bandit_steps import arm_layers
from dimec.policies.literature.bandits import (
    arm_columns,
    check_share,
    check_weight,
    mobile_costs,
    offload_cost,
    priced_system,
    ucb_choices,
)
from dimec.policies.literature.split_steps import SplitSteps
from dimec.policies.registry import WEIGHTS, register
from dimec.policies.step import Site, Steps
from dimec.tiers.costs import check_lambda
from dimec.tiers.deployment import Deployment
from dimec.traces.trace import Trace

ALPHAS = (0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)


class SplitEEPolicy(FromSettings):
    """A bandit over splits that learns from the split it played.

    Args:
        alpha: α, the confidence from which a sample is answered at the split.
        weight: w, of cost, as a multiple of μ.
        mu: μ, the weight of one λ of cost against confidence.
        c: weight of the exploration term.

    Raises:
        ConfigError: α outside [0, 1], or a negative w, μ or c.
    """

    name = "splitee"
    sees_labels = False
    learns_online = True
    replay_only = ""
    kind = "splitee"
    stored: ClassVar[tuple[str, ...]] = ("alpha", "weight", "mu", "c")

    def __init__(
        self, alpha: float = 0.8, weight: float = 1.0, mu: float = 0.02, c: float = 1.0
    ) -> None:
        self.alpha = check_share("the threshold alpha", alpha)
        self.weight = check_weight("the weight of cost", weight)
        self.mu = check_lambda(mu, "mu")
        self.c = check_weight("c, the weight of exploration,", c)

    def steps(self, site: Site) -> Steps:
        """To the split played, and on to the last exit where that is not sure."""
        return SplitSteps(
            site.deployment, arm_layers(site), self.alpha, self.weight * self.mu, self.c
        )

    def replay(self, trace: Trace, deployment: Deployment) -> Outcome:
        """Split, and exit or offload."""
        columns = self.splits(trace, deployment)
        confidences = trace.confidences[:, columns]
        answered = answered_at(confidences, self.alpha)
        costs = mobile_costs(trace, deployment, columns)
        rewards = split_rewards(
            confidences, answered, costs, offload_cost(deployment), self.weight * self.mu
        )
        played = self.play(rewards, answered)
        offloaded = ~answered[np.arange(len(trace)), played]
        return split_outcome(trace, deployment, columns[played], offloaded)

    def splits(self, trace: Trace, deployment: Deployment) -> IntArray:
        """(K,) positions of the exits that are arms."""
        return arm_columns(trace, deployment)

    def play(self, rewards: FloatArray, answered: BoolArray) -> IntArray:
        """(N,) arms played, from the (N, K) rewards and whether each split would answer."""
        return ucb_choices(rewards, self.c)


def answered_at(confidences: npt.NDArray[np.floating], alpha: float) -> BoolArray:
    """(N, K) whether each split answers by itself: C_i ≥ α, and always at the last."""
    answered: BoolArray = np.asarray(confidences >= alpha)
    answered[:, -1] = True
    return answered


def split_rewards(
    confidences: npt.NDArray[np.floating],
    answered: BoolArray,
    costs: FloatArray,
    offload: float,
    price: float,
) -> FloatArray:
    """(N, K) reward of each split on each sample: confidence - price·cost.

    Args:
        confidences: (N, K) C_i at each split, the last one's C_l.
        answered: (N, K) whether the split answers by itself.
        costs: (K,) of running up to each split.
        offload: o, of going on in the cloud.
        price: of one λ, in units of confidence.
    """
    confidence = np.where(answered, confidences, confidences[:, -1:])
    rewards: FloatArray = confidence - price * np.where(answered, costs, costs + offload)
    return rewards


register_kind(SplitEEPolicy.kind, SplitEEPolicy.made_of)
register(
    priced_system(
        "splitee",
        "Bajpai, Trivedi, Yadav and Hanawal 2023, arXiv 2309.09195",
        SplitEEPolicy,
        {"alpha": ALPHAS, "weight": WEIGHTS},
    ),
    title="SplitEE",
)
