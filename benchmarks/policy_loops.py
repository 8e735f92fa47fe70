"""A few systems' rules as plain Python, one sample after the other, to time the policies against.

Each loop takes a sample as nested lists, decides as the system's paper says, and returns for every
sample the position of the exit that answered and the cost in λ. Nothing is computed ahead. Where no
exit satisfies a rule, its loop ends at the last one, whose position the loop variable then keeps.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from dimec.policies.literature.adaee import THRESHOLDS
from dimec.tiers.deployment import Deployment

Sample = Sequence[Sequence[float]]  # class probabilities at every exit
Decisions = tuple[list[int], list[float]]
Loop = Callable[[Any, Sequence[Sample], "Prices"], Decisions]


class Prices(NamedTuple):
    """What a layer on the mobile and a sample in the cloud cost, and where the exits stand."""

    layer: float  # λ_m
    offload: float  # o_c
    charge: float  # γ
    exits: tuple[int, ...]
    mobile: int  # position of m among the exits

    @classmethod
    def of(cls, deployment: Deployment, exits: tuple[int, ...]) -> Prices:
        """Those of a deployment whose last layer has the last exit."""
        costs, mobile = deployment.costs, exits.index(deployment.exits[0])
        return cls(costs.mobile_layer, costs.offload_cloud, deployment.charge, exits, mobile)


def deebert(policy: Any, samples: Sequence[Sample], prices: Prices) -> Decisions:
    """Leave at the first exit whose entropy lies below S; o_c + γ·layer/l."""
    answered, costs = [], []
    for sample in samples:
        for column, p in enumerate(sample):  # noqa: B007
            entropy = 0.0
            for value in p:
                if value > 0:
                    entropy -= value * math.log(value)
            if entropy < policy.threshold:
                break
        answered.append(column)
        costs.append(prices.offload + prices.charge * (prices.exits[column] / prices.exits[-1]))
    return answered, costs


def pabee(policy: Any, samples: Sequence[Sample], prices: Prices) -> Decisions:
    """Leave once ``patience`` exits in a row have repeated the one before; o_c + γ·layer/l."""
    answered, costs = [], []
    for sample in samples:
        counter, before = 0, -1
        for column, p in enumerate(sample):  # noqa: B007
            predicted = p.index(max(p))
            counter = counter + 1 if predicted == before else 0
            before = predicted
            if counter == policy.patience:
                break
        answered.append(column)
        costs.append(prices.offload + prices.charge * (prices.exits[column] / prices.exits[-1]))
    return answered, costs


def max_softmax(policy: Any, samples: Sequence[Sample], prices: Prices) -> Decisions:
    """Leave at the first exit that is sure enough; λ_m·layer."""
    answered, costs = [], []
    for sample in samples:
        for column, p in enumerate(sample):  # noqa: B007
            if max(p) >= policy.threshold:
                break
        answered.append(column)
        costs.append(prices.layer * prices.exits[column])
    return answered, costs


class Arms:
    """UCB: mean + c·sqrt(ln(t + 1) / N), each arm once first."""

    def __init__(self, size: int, c: float) -> None:
        self.totals, self.counts, self.c = [0.0] * size, [0] * size, c

    def best(self, t: int, known: Sequence[float]) -> int:
        """The arm to play on sample ``t``; ``known`` is added to the means."""
        highest, chosen = -math.inf, 0
        for arm, (total, count) in enumerate(zip(self.totals, self.counts, strict=True)):
            if count == 0:
                return arm
            index = total / count + known[arm] + self.c * math.sqrt(math.log(t + 1) / count)
            if index > highest:
                highest, chosen = index, arm
        return chosen

    def learn(self, arm: int, reward: float) -> None:
        """Count a reward."""
        self.totals[arm] += reward
        self.counts[arm] += 1


def adaee(policy: Any, samples: Sequence[Sample], prices: Prices) -> Decisions:
    """Arms are thresholds between the mobile's exit and the last."""
    answered, costs = [], []
    last = len(prices.exits) - 1
    arms, nothing = Arms(len(THRESHOLDS), policy.c), [0.0] * len(THRESHOLDS)
    for t, sample in enumerate(samples):
        near, far = max(sample[prices.mobile]), max(sample[last])
        arm = arms.best(t, nothing)
        column, reward = prices.mobile, 0.0
        cost = prices.layer * prices.exits[prices.mobile]
        if near < THRESHOLDS[arm]:
            sure = far >= THRESHOLDS[arm]
            gain = (far if sure else max(near, far)) - near
            reward = max(gain, 0.0) - policy.overhead
            column = last if sure or far >= near else prices.mobile
            cost += prices.offload + prices.charge
        arms.learn(arm, reward)
        answered.append(column)
        costs.append(cost)
    return answered, costs


def splitee(policy: Any, samples: Sequence[Sample], prices: Prices) -> Decisions:
    """Arms are splits; learns from the one played, or, as SplitEE-S, from all up to it."""
    answered, costs = [], []
    last = len(prices.exits) - 1
    arms, nothing = Arms(last + 1, policy.c), [0.0] * (last + 1)
    away = prices.offload + prices.charge
    every = policy.name == "splitee-s"
    for t, sample in enumerate(samples):
        split = arms.best(t, nothing)
        if every and t <= last:
            split = t  # each split once first, though shallower ones have been seen
        for arm in range(split + 1) if every else (split,):
            cost, confidence = prices.layer * prices.exits[arm], max(sample[arm])
            stays = confidence >= policy.alpha or arm == last
            if not stays:
                cost, confidence = cost + away, max(sample[last])
            arms.learn(arm, confidence - policy.weight * policy.mu * cost)
        answered.append(split if stays else last)
        costs.append(cost)
    return answered, costs


def uee_ucb(policy: Any, samples: Sequence[Sample], prices: Prices) -> Decisions:
    """Arms are exits, rewards disagreements with the first; the first sample sees them all."""
    answered, costs = [], []
    last = len(prices.exits) - 1
    arms = Arms(last + 1, math.sqrt(policy.alpha))
    price = [policy.scale * layer / prices.exits[last] for layer in prices.exits]
    known = [price[0] - one for one in price]
    for t, sample in enumerate(samples):
        chosen = last if t == 0 else arms.best(t, known)
        first = sample[0].index(max(sample[0]))
        for arm in range(chosen + 1):
            predicted = sample[arm].index(max(sample[arm]))
            arms.learn(arm, float(predicted != first))
        answered.append(chosen)
        costs.append(prices.layer * prices.exits[chosen])
    return answered, costs


LOOPS: dict[str, Loop] = {
    "deebert": deebert,
    "pabee": pabee,
    "max-softmax": max_softmax,
    "adaee": adaee,
    "splitee": splitee,
    "splitee-s": splitee,
    "uee-ucb": uee_ucb,
}
