"""The bandit systems once more, in plain loops from their formulas, and streams for them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from hypothesis import strategies as st

from dimec.policies import Outcome
from dimec.tiers.costs import CostModel
from dimec.tiers.deployment import Deployment
from dimec.tiers.names import CLOUD, MOBILE
from dimec.traces.trace import Trace
from support.builders import make_trace
from support.scenes import CONFIDENCES, draw_probabilities

Rewards = Callable[[int, int], float]


@dataclass
class Slow:
    """What a loop did with each sample: the layer that answered, where, and for how many λ."""

    layers: list[int] = field(default_factory=list)
    tiers: list[int] = field(default_factory=list)
    costs: list[float] = field(default_factory=list)

    def add(self, layer: int, tier: int, cost: float) -> None:
        """One sample more."""
        self.layers.append(layer)
        self.tiers.append(tier)
        self.costs.append(cost)


def assert_matches(outcome: Outcome, slow: Slow, trace: Trace, deployment: Deployment) -> None:
    """Decision for decision; the cost within rounding."""
    answers = [[float(layer == one) for layer in trace.exits] for one in slow.layers]
    assert outcome.answers.tolist() == answers
    assert outcome.tiers.tolist() == [[float(k == one) for k in range(3)] for one in slow.tiers]
    np.testing.assert_allclose(
        deployment.price(outcome.usage), slow.costs, rtol=0, atol=1e-9 * (1 + max(slow.costs))
    )


def total(numbers: Iterable[float]) -> float:
    """Their sum from left to right; ``sum`` is exact in newer Pythons, and ties would differ."""
    result = 0.0
    for number in numbers:
        result += number
    return result


def best(indices: Sequence[float]) -> int:
    """The first of the largest."""
    winner = 0
    for k, index in enumerate(indices):
        if index > indices[winner]:
            winner = k
    return winner


def ucb(
    size: int,
    arms: int,
    reward: Rewards,
    c: float,
    side: Callable[[int, int, int], bool] = lambda t, arm, other: arm == other,
) -> list[int]:
    """Arms played: each once, then the best mean + c·sqrt(ln(t + 1) / N).

    ``side(t, arm, other)`` says whether playing ``arm`` on sample t teaches about ``other``.
    """
    history: list[list[float]] = [[] for _ in range(arms)]
    played = []
    for t in range(size):
        if t < arms:
            arm = t
        else:
            arm = best(
                [total(h) / len(h) + c * math.sqrt(math.log(t + 1) / len(h)) for h in history]
            )
        played.append(arm)
        for other in range(arms):
            if side(t, arm, other):
                history[other].append(reward(t, other))
    return played


def samples(trace: Trace) -> list[list[list[float]]]:
    """Probability of each class at each exit, for each sample."""
    rows: list[list[list[float]]] = trace.probabilities.tolist()
    return rows


def confidences(trace: Trace, last: int) -> list[list[float]]:
    """C at each exit up to the layer ``last``."""
    kept = [x for x, layer in enumerate(trace.exits) if layer <= last]
    return [[max(sample[x]) for x in kept] for sample in samples(trace)]


def charge(deployment: Deployment) -> float:
    """γ."""
    costs = deployment.costs
    if costs.cloud_charge is not None:
        return costs.cloud_charge
    return max(0.0, costs.mobile_layer * deployment.exits[2] - costs.offload_cloud)


def adaee(trace: Trace, deployment: Deployment, overhead: float, c: float = 1.0) -> Slow:
    """Two exits, thresholds 0, 0.1 … 1."""
    m, _, l = deployment.exits  # noqa: E741
    thresholds = [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0]
    pairs = [
        (max(sample[trace.exits.index(m)]), max(sample[trace.exits.index(l)]))
        for sample in samples(trace)
    ]

    def reward(t: int, arm: int) -> float:
        c_m, c_l = pairs[t]
        if c_m >= thresholds[arm]:
            return 0.0
        delta = c_l - c_m if c_l >= thresholds[arm] else max(c_m, c_l) - c_m
        return max(delta, 0.0) - overhead

    slow = Slow()
    near = deployment.costs.mobile_layer * m
    for (c_m, c_l), arm in zip(pairs, ucb(len(pairs), len(thresholds), reward, c), strict=True):
        alpha = thresholds[arm]
        if c_m >= alpha:
            slow.add(m, MOBILE, near)
        else:
            layer = l if c_l >= alpha or c_l >= c_m else m
            slow.add(layer, CLOUD, near + deployment.costs.offload_cloud + charge(deployment))
    return slow


def splitee(
    trace: Trace,
    deployment: Deployment,
    alpha: float,
    price: float,
    *,
    c: float = 1.0,
    side: str = "none",
    every: int = 1,
) -> Slow:
    """A split anywhere; ``side`` is "none", "all" or "seen"."""
    last = deployment.exits[2]
    layers = [x for x in trace.exits if x <= last and (x % every == 0 or x == last)]
    at = [trace.exits.index(layer) for layer in layers]
    conf = [[max(sample[x]) for x in at] for sample in samples(trace)]
    o = deployment.costs.offload_cloud + charge(deployment)
    end = len(layers) - 1

    def stays(t: int, arm: int) -> bool:
        return conf[t][arm] >= alpha or arm == end

    def reward(t: int, arm: int) -> float:
        cost = deployment.costs.mobile_layer * layers[arm]
        if stays(t, arm):
            return conf[t][arm] - price * cost
        return conf[t][end] - price * (cost + o)

    def learns(t: int, arm: int, other: int) -> bool:
        if other == arm or side == "none":
            return other == arm
        if other > arm:
            return False
        cloud_seen = arm == end or not stays(t, arm)
        return side == "all" or cloud_seen or stays(t, other)

    slow = Slow()
    for t, arm in enumerate(ucb(len(conf), len(layers), reward, c, learns)):
        cost = deployment.costs.mobile_layer * layers[arm]
        if stays(t, arm):
            slow.add(layers[arm], MOBILE, cost)
        else:
            slow.add(last, CLOUD, cost + o)
    return slow


def uee_ucb(trace: Trace, deployment: Deployment, scale: float, alpha: float = 1.0) -> Slow:
    """Disagreement with the first exit; the first sample runs through the whole model."""
    last = deployment.exits[2]
    layers = [x for x in trace.exits if x <= last]
    costs = [scale * layer / last for layer in layers]
    observed, disagreed = [0] * len(layers), [0] * len(layers)
    slow = Slow()
    for t, sample in enumerate(samples(trace)):
        if t == 0:
            arm = len(layers) - 1
        else:
            arm = best(
                [
                    disagreed[j] / observed[j]
                    + (costs[0] - costs[j])
                    + math.sqrt(alpha * math.log(t + 1) / observed[j])
                    for j in range(len(layers))
                ]
            )
        says = [best(sample[j]) for j in range(arm + 1)]
        for j in range(arm + 1):
            observed[j] += 1
            disagreed[j] += says[j] != says[0]
        slow.add(layers[arm], MOBILE, deployment.costs.mobile_layer * layers[arm])
    return slow


def lee(trace: Trace, deployment: Deployment, price: float, c: float) -> Slow:
    """The exit with the best confidence less latency."""
    layers = [x for x in trace.exits if x <= deployment.exits[2]]
    conf = confidences(trace, deployment.exits[2])
    cost = [deployment.costs.mobile_layer * layer for layer in layers]
    slow = Slow()
    played = ucb(len(conf), len(layers), lambda t, k: conf[t][k] - price * cost[k], c)
    for arm in played:
        slow.add(layers[arm], MOBILE, cost[arm])
    return slow


def dee(trace: Trace, deployment: Deployment, price: float, c: float, bins: int) -> Slow:
    """At each exit, stop or go on, by the confidence seen there."""
    layers = [x for x in trace.exits if x <= deployment.exits[2]]
    earned: dict[tuple[int, int], list[float]] = {}
    slow = Slow()
    for t, conf in enumerate(confidences(trace, deployment.exits[2])):
        went_on = []
        for i, layer in enumerate(layers):
            cost = deployment.costs.mobile_layer * layer
            reward = conf[i] - price * cost
            cell = (i, min(math.floor(conf[i] * bins), bins - 1))
            past = earned.get(cell, [])
            hopes = math.inf
            if past:
                hopes = total(past) / len(past) + c * math.sqrt(math.log(t + 1) / len(past))
            if i == len(layers) - 1 or not hopes > reward:
                break
            went_on.append(cell)
        for cell in went_on:
            earned.setdefault(cell, []).append(reward)
        slow.add(layer, MOBILE, cost)
    return slow


def ceebert(trace: Trace, deployment: Deployment, price: float, c: float) -> Slow:
    """One threshold for all exits."""
    thresholds = [0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95]
    layers = [x for x in trace.exits if x <= deployment.exits[2]]
    conf = confidences(trace, deployment.exits[2])
    cost = [deployment.costs.mobile_layer * layer for layer in layers]

    def end(t: int, arm: int) -> int:
        for j, value in enumerate(conf[t]):
            if value >= thresholds[arm]:
                return j
        return len(layers) - 1

    def reward(t: int, arm: int) -> float:
        j = end(t, arm)
        return conf[t][j] - conf[t][0] - price * (cost[j] - cost[0])

    slow = Slow()
    for t, arm in enumerate(ucb(len(conf), len(thresholds), reward, c)):
        slow.add(layers[end(t, arm)], MOBILE, cost[end(t, arm)])
    return slow


COSTS = (
    CostModel(),
    CostModel(mobile_layer=1.7, offload_cloud=3.1, cloud_charge=11.3),
    CostModel(mobile_layer=0.0, offload_cloud=0.0, cloud_charge=0.0),
)


@dataclass(frozen=True)
class Stream:
    """A trace, and a deployment whose last layer need not be the trace's."""

    trace: Trace
    deployment: Deployment


@st.composite
def streams(draw: st.DrawFn, max_samples: int = 60) -> Stream:
    """Any exits among 8 layers, 2 to 4 classes, confidences of every kind."""
    exits = tuple(sorted(draw(st.sets(st.integers(1, 8), min_size=1))))
    tiers = tuple(sorted(draw(st.tuples(*[st.sampled_from(exits)] * 3))))
    n, classes = draw(st.integers(1, max_samples)), draw(st.integers(2, 4))
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    kind = draw(st.sampled_from(CONFIDENCES))
    trace = make_trace(
        n,
        classes=classes,
        exits=exits,
        tiers=tiers,
        seed=int(rng.integers(2**31)),
        probabilities=draw_probabilities((n, len(exits), classes), kind, rng),
    )
    return Stream(trace, Deployment.paper(tiers, draw(st.sampled_from(COSTS))))


def pairs_trace(confidence: Sequence[Sequence[float]], exits: tuple[int, ...] = (2, 6)) -> Trace:
    """A trace of two classes, all predictions class 1, with these confidences; mobile at exit 0."""
    sure = np.array(confidence, np.float32)
    return make_trace(
        len(confidence),
        exits=exits,
        tiers=(exits[0], exits[0], exits[-1]),
        probabilities=np.stack([1 - sure, sure], axis=-1),
    )


def long_stream(size: int = 400, classes: int = 2, seed: int = 0) -> Stream:
    """Twelve exits that grow more confident with depth."""
    rng = np.random.default_rng(seed)
    depth = np.linspace(0.5, 6, 12)[:, None]
    logits = rng.standard_normal((size, 12, classes)) * depth
    p = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    trace = make_trace(
        size,
        classes=classes,
        exits=tuple(range(1, 13)),
        tiers=(4, 6, 12),
        probabilities=p.astype(np.float32),
    )
    return Stream(trace, Deployment.paper((4, 6, 12)))
