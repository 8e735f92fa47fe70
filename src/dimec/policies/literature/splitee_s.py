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
same, and so does this policy, unless ``only_seen`` is set: then such arms are left out, which is
what a phone could do (at the price of a bias: they are left out when they do badly).

Cost of a sample: λ_m·split, and o_c + γ beside where it is offloaded.
"""

from __future__ import annotations

from collections.abc import Iterable

from dimec.base.arrays import BoolArray, FloatArray, IntArray
from dimec.policies.literature.bandits import Observed, priced_system, ucb_choices, up_to
from dimec.policies.literature.splitee import ALPHAS, SplitEEPolicy
from dimec.policies.registry import WEIGHTS, register


class SplitEESPolicy(SplitEEPolicy):
    """A bandit over splits that learns from the split it played and every shallower one.

    Args:
        alpha, weight, mu, c: see :class:`SplitEEPolicy`.
        only_seen: leave out side observations that need a confidence which was not seen.
    """

    name = "splitee-s"

    def __init__(
        self,
        alpha: float = 0.8,
        weight: float = 1.0,
        mu: float = 0.02,
        c: float = 1.0,
        only_seen: bool = False,
    ) -> None:
        super().__init__(alpha, weight, mu, c)
        self.only_seen = only_seen

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


register(
    priced_system(
        "splitee-s",
        "Bajpai, Trivedi, Yadav and Hanawal 2023, arXiv 2309.09195",
        SplitEESPolicy,
        {"alpha": ALPHAS, "weight": WEIGHTS},
    ),
    title="SplitEE-S",
)
