"""The steps of SplitEE and its variants (:mod:`dimec.policies.literature.splitee`)."""

from __future__ import annotations

from collections.abc import Sequence

from dimec.policies.base import require_two_tiers
from dimec.policies.literature.bandit_steps import ArmSteps
from dimec.policies.literature.bandits import layer_costs, offload_cost
from dimec.policies.step import Answer, Go, Look, Signal, Step, Walk
from dimec.tiers.deployment import Deployment


class SplitSteps(ArmSteps):
    """Run on the mobile up to the split played, and answer there or offload.

    Args:
        deployment: whose last tier has the last exit.
        layers: the exits that are arms, ascending, the last one the deployment's.
        alpha: α, the confidence from which a sample is answered at the split.
        price: of one λ, in units of confidence.
        c: weight of the exploration term.
        side: whether every shallower arm learns too, as far as its reward was seen. Then the exits
            are looked at one by one on the way to the split.
    """

    def __init__(
        self,
        deployment: Deployment,
        layers: Sequence[int],
        alpha: float,
        price: float,
        c: float,
        *,
        side: bool = False,
    ) -> None:
        super().__init__(len(layers), c)
        require_two_tiers(deployment)
        costs = layer_costs(deployment, layers)
        self._layers, self._alpha, self._side = list(layers), alpha, side
        self._stay = (price * costs).tolist()
        self._offload = (price * (costs + offload_cost(deployment))).tolist()
        self._away = Go(deployment.last, deployment.layers, "hidden")

    @property
    def reach(self) -> Sequence[Go]:
        """Every split, and the last exit."""
        return [*(Go(0, layer) for layer in self._layers), self._away]

    def begin(self, signal: Signal) -> Go:
        """To the split played, or to the first exit on the way there."""
        arm = self.arm()
        return Go(0, self._layers[0 if self._side else arm], note=arm)

    def after(self, walk: Walk) -> Step:
        """On to the split; there the answer, or the offload."""
        here, split = walk.last, self._layers[int(walk.note)]
        if here.layer < split:
            return Go(0, self._layers[len(walk.looks)])
        return Answer() if self._answers(here) else self._away

    def learn(self, walk: Walk, first: Go) -> None:
        """What the split has earned, and each one before it of which all was seen."""
        arm: int = first.note
        passed = enumerate(walk.looks[: arm + 1]) if self._side else [(arm, walk.looks[0])]
        for k, look in passed:
            if self._answers(look):
                self.tally.add(k, look.confidence - self._stay[k])
            elif self._is_last(walk.last):  # elsewhere nobody knows what the last exit would say
                self.tally.add(k, walk.last.confidence - self._offload[k])
        self.tally.seen += 1

    def _answers(self, look: Look) -> bool:
        return look.confidence >= self._alpha or self._is_last(look)

    def _is_last(self, look: Look) -> bool:
        return look.layer == self._layers[-1]
