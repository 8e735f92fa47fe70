"""SplitEE-S: SplitEE that learns from every exit that the sample passed.

Source: as SplitEE, arXiv 2309.09195, the variant with side observations (``SplitEE_S.py`` of the
authors' code).

Rule and reward are those of :mod:`dimec.policies.literature.splitee`. On its way to the split i a
sample passes every shallower exit; evaluating them all, the bandit updates arms 1 … i with their
rewards, not only arm i. The paper pays for the exits evaluated, cost(i) = (λ1 + λ2)·i; the ledger
has no price for an exit, so the cost here is SplitEE's.

A side observation may need what nobody has seen: where the sample is answered at i, but a
shallower C_j lies below α, the reward of arm j would be C_l - w·μ·(cost(j) + o), and C_l is known
only if the sample goes to l. The authors' code takes it from the recorded confidences all the
same, and so does this policy; hence it can only be replayed. With ``only_seen`` such arms are left
out, which is what a phone can do (at the price of a bias: they are left out when they do badly).
So set, it is written as steps, which go from exit to exit up to the split, and can be served.

Cost of a sample: λ_m·split, and o_c + γ beside where it is offloaded.
"""

from __future__ import annotations

from collections.abc import Iterable

from dimec.base.arrays import BoolArray, FloatArray, IntArray
from dimec.base.errors import ConfigError
from dimec.policies.base import no_steps
from dimec.policies.kinds import register_kind
from dimec.policies.literature.bandit_steps import arm_layers
from dimec.policies.literature.bandits import Observed, priced_system, ucb_choices, up_to
from dimec.policies.literature.split_steps import SplitSteps
from dimec.policies.literature.splitee import ALPHAS, SplitEEPolicy
from dimec.policies.registry import WEIGHTS, register
from dimec.policies.step import Site, Steps

UNSEEN = (
    "it learns what the last exit would have said of inputs that never reach it, which only a "
    "recorded trace knows; only_seen=True leaves such rewards out, and can be served"
)


class SplitEESPolicy(SplitEEPolicy):
    """A bandit over splits that learns from the split it played and every shallower one.

    Args:
        alpha, weight, mu, c: see :class:`SplitEEPolicy`.
        only_seen: leave out side observations that need a confidence which was not seen; where it
            is not set, the policy can only be replayed.
    """

    name = "splitee-s"
    kind = "splitee-s"
    stored = (*SplitEEPolicy.stored, "only_seen")

    def __init__(
        self,
        alpha: float = 0.8,
        weight: float = 1.0,
        mu: float = 0.02,
        c: float = 1.0,
        only_seen: bool = False,
    ) -> None:
        super().__init__(alpha, weight, mu, c)
        if not isinstance(only_seen, bool):
            raise ConfigError(f"only_seen must be True or False, got {only_seen!r}")
        self.only_seen = only_seen
        self.replay_only = "" if only_seen else UNSEEN

    def steps(self, site: Site) -> Steps:
        """From exit to exit up to the split played, and on to the last where that is not sure.

        Raises:
            ConfigError: without ``only_seen``, and as :class:`SplitEEPolicy`.
        """
        if self.replay_only:
            raise no_steps(self)
        return SplitSteps(
            site.deployment, self.layers(site), self.alpha, self.weight * self.mu, self.c, side=True
        )

    def layers(self, site: Site) -> list[int]:
        """The exits that are arms."""
        return arm_layers(site)

    def play(self, rewards: FloatArray, answered: BoolArray) -> IntArray:
        """(N,) arms played, with side observations."""
        observed = seen_rewards(answered) if self.only_seen else up_to
        return ucb_choices(rewards, self.c, observed=observed)


def seen_rewards(answered: BoolArray) -> Observed:
    """The side observations of which every confidence was seen.

    Args:
        answered: (N, K) whether each split answers by itself.
    """
    rows, last = answered.tolist(), answered.shape[1] - 1

    def observed(sample: int, arm: int) -> Iterable[int]:
        row = rows[sample]
        if arm == last or not row[arm]:  # the sample went to the last exit: all is seen
            return range(arm + 1)
        return [k for k in range(arm + 1) if row[k]]

    return observed


register_kind(SplitEESPolicy.kind, SplitEESPolicy.made_of)
register(
    priced_system(
        "splitee-s",
        "Bajpai, Trivedi, Yadav and Hanawal 2023, arXiv 2309.09195",
        SplitEESPolicy,
        {"alpha": ALPHAS, "weight": WEIGHTS},
    ),
    title="SplitEE-S",
)
