"""A slow reference, straight from the paper's equations: lists, loops and float64 arithmetic.

Nothing here comes from dimec, and nothing is vectorised, so that an error would have to be made
twice. Equation and section numbers are those of the paper (DIMEC-DC).
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

EASY, MEDIUM, HARD = 0, 1, 2

Vector = Sequence[float]
Matrix = Sequence[Sequence[float]]


def mean(values: Vector) -> float:
    """Arithmetic mean, with the sum rounded once."""
    return math.fsum(values) / len(values)


# --- Data map: equations 1, 2 and 4 --------------------------------------------------------------


def data_map(gold: Matrix) -> list[tuple[float, float]]:
    """(confidence, variance) of each sample from ``gold[epoch][sample]``."""
    points = []
    for sample in range(len(gold[0])):
        over_epochs = [gold[epoch][sample] for epoch in range(len(gold))]
        mu = mean(over_epochs)
        sigma = mean([(p - mu) ** 2 for p in over_epochs])
        points.append((mu, sigma))
    return points


def softmax(logits: Vector) -> list[float]:
    """Class probabilities of one sample."""
    top = max(logits)
    powers = [math.exp(z - top) for z in logits]
    total = math.fsum(powers)
    return [p / total for p in powers]


# --- Pools and thresholds: equations 5 and 6 -----------------------------------------------------


def pool_of(confidence: float, variance: float, alpha: float, beta: float) -> int:
    """The three cases of equation 5."""
    if confidence >= alpha and variance <= beta:
        return EASY
    if confidence >= alpha and variance > beta:
        return MEDIUM
    return HARD


def prices(
    m: int, n: int, mobile: float, edge: float, to_edge: float, to_cloud: float, gamma: float
) -> tuple[float, float, float]:
    """What equation 5 subtracts from the confidence at mobile, edge and cloud."""
    return mobile * m, edge * n + to_edge, to_cloud + gamma


@dataclass
class Cell:
    """One pair of thresholds and what equation 6 makes of it."""

    alpha: float
    beta: float
    reward: float
    cost: float
    shares: tuple[float, float, float]


def threshold_table(
    points: Sequence[tuple[float, float]],
    confidences: Matrix,
    price: Vector,
    lam: float,
    alphas: Vector,
    betas: Vector,
) -> list[Cell]:
    """Every pair of the grid S_α × S_β with its mean reward, mean cost and shares of the pools."""
    table = []
    for alpha in sorted(set(alphas)):
        for beta in sorted(set(betas)):
            pools = [pool_of(mu, sigma, alpha, beta) for mu, sigma in points]
            reward = [confidences[i][k] - lam * price[k] for i, k in enumerate(pools)]
            cost = [price[k] for k in pools]
            n = len(pools)
            shares = (pools.count(EASY) / n, pools.count(MEDIUM) / n, pools.count(HARD) / n)
            table.append(Cell(alpha, beta, mean(reward), mean(cost), shares))
    return table


def best_cell(table: Sequence[Cell]) -> Cell:
    """The largest mean reward; then the lower cost, the lower α, the lower β."""
    return min(table, key=lambda cell: (-cell.reward, cell.cost, cell.alpha, cell.beta))


@dataclass(frozen=True)
class Choice:
    """Thresholds of any number of tiers, and what they are worth."""

    alpha: float
    betas: tuple[float, ...]
    reward: float
    cost: float
    shares: tuple[float, ...]


def tier_of(mu: float, sigma: float, alpha: float, betas: Vector) -> int:
    """Under α the last tier; else the first whose threshold the variance does not exceed."""
    if mu < alpha:
        return len(betas) + 1
    return next((k for k, beta in enumerate(betas) if sigma <= beta), len(betas))


def choices_of(
    points: Sequence[tuple[float, float]],
    confidences: Matrix,
    price: Vector,
    lam: float,
    alphas: Vector,
    betas: Vector,
) -> list[Choice]:
    """Every α with every K - 2 values of β that do not descend."""
    tiers = len(price)
    found = []
    for alpha in sorted(set(alphas)):
        for chosen in product(sorted(set(betas)), repeat=tiers - 2):
            if list(chosen) != sorted(chosen):
                continue
            pools = [tier_of(mu, sigma, alpha, chosen) for mu, sigma in points]
            reward = mean([confidences[i][k] - lam * price[k] for i, k in enumerate(pools)])
            shares = tuple(pools.count(k) / len(pools) for k in range(tiers))
            cost = mean([price[k] for k in pools])
            found.append(Choice(alpha, chosen, reward, cost, shares))
    return found


# --- Routing: Algorithm 2 ------------------------------------------------------------------------


def pool_averages(embeddings: Matrix, pools: Sequence[int]) -> tuple[list[list[float]], list[int]]:
    """Averages P^a of the easy, medium and hard pools, and their sizes; [] for an empty pool."""
    averages: list[list[float]] = []
    sizes = []
    for pool in (EASY, MEDIUM, HARD):
        members = [x for x, code in zip(embeddings, pools, strict=True) if code == pool]
        width = len(embeddings[0])
        averages.append([mean([x[d] for x in members]) for d in range(width)] if members else [])
        sizes.append(len(members))
    return averages, sizes


def distance(x: Vector, average: Vector) -> float:
    """Euclidean; nothing is near an empty pool."""
    if not average:
        return math.inf
    return math.sqrt(math.fsum((a - b) ** 2 for a, b in zip(x, average, strict=True)))


@dataclass
class Decision:
    """Where one input went, and by how much the nearest pool was nearer than the next."""

    tier: int
    distances: list[float]
    margin: float


def decide(x: Vector, averages: Matrix) -> Decision:
    """Algorithm 2, lines 4 to 12: easy is asked first, then medium, then hard."""
    distances = [distance(x, average) for average in averages]
    smallest = min(distances)
    if distances[EASY] == smallest:
        tier = EASY
    elif distances[MEDIUM] == smallest:
        tier = MEDIUM
    else:
        tier = HARD
    second = sorted(distances)[1]
    return Decision(tier, distances, math.inf if math.isinf(second) else second - smallest)


def route(
    stream: Matrix, averages: Matrix, sizes: Sequence[int], adaptive: bool
) -> tuple[list[Decision], list[list[float]], list[int]]:
    """Algorithm 2 over a stream; without lines 8, 11 and 14 where ``adaptive`` is false."""
    p = [list(average) for average in averages]
    n = list(sizes)
    decisions = []
    for x in stream:
        decision = decide(x, p)
        decisions.append(decision)
        if adaptive:
            k = decision.tier
            p[k] = [(n[k] * a + b) / (n[k] + 1) for a, b in zip(p[k], x, strict=True)]
            n[k] += 1
    return decisions, p, n


# --- Ledger --------------------------------------------------------------------------------------


@dataclass
class Account:
    """Accuracy and mean cost of one policy, against sending everything to the cloud."""

    accuracy: float
    cost: float
    drop: float
    reduction: float
    shares: tuple[float, float, float]


def account(right: Sequence[Sequence[bool]], price: Vector, chosen: Sequence[int]) -> Account:
    """The ledger of sending sample i to tier ``chosen[i]``; ``right[i][k]``: tier k is right."""
    n = len(right)
    accuracy = sum(right[i][chosen[i]] for i in range(n)) / n
    cost = mean([price[k] for k in chosen])
    cloud_accuracy = sum(row[2] for row in right) / n
    shares = tuple(list(chosen).count(k) / n for k in range(3))
    return Account(
        accuracy,
        cost,
        cloud_accuracy - accuracy,
        1 - cost / price[2],
        (shares[0], shares[1], shares[2]),
    )


def expected_account(right: Sequence[Sequence[bool]], price: Vector, shares: Vector) -> Account:
    """The expected ledger of drawing each sample's tier with these probabilities."""
    n = len(right)
    accuracy = mean([math.fsum(shares[k] * right[i][k] for k in range(3)) for i in range(n)])
    cost = math.fsum(shares[k] * price[k] for k in range(3))
    cloud_accuracy = sum(row[2] for row in right) / n
    return Account(
        accuracy,
        cost,
        cloud_accuracy - accuracy,
        1 - cost / price[2],
        (shares[0], shares[1], shares[2]),
    )


def oracle(right: Sequence[Sequence[bool]], price: Vector) -> list[int]:
    """The cheapest tier that is right; the cheapest of all where none is."""
    chosen = []
    for row in right:
        candidates = [k for k in range(len(price)) if row[k]] or list(range(len(price)))
        chosen.append(min(candidates, key=lambda k: (price[k], k)))
    return chosen


# --- Scores --------------------------------------------------------------------------------------


def confusion(
    labels: Sequence[int], predictions: Sequence[int], classes: int, weights: Vector | None = None
) -> list[list[float]]:
    """Weighted counts, rows the right label and columns the predicted one."""
    counts = [[0.0] * classes for _ in range(classes)]
    for i, (label, predicted) in enumerate(zip(labels, predictions, strict=True)):
        counts[label][predicted] += 1.0 if weights is None else weights[i]
    return counts


def matthews(counts: Matrix) -> float:
    """Gorodkin's R_K: the covariance of the one-hot labels and predictions over their spreads."""
    classes = range(len(counts))
    total = math.fsum(counts[a][b] for a in classes for b in classes)
    if total == 0:
        return 0.0
    gold = [math.fsum(counts[c]) / total for c in classes]
    predicted = [math.fsum(counts[a][c] for a in classes) / total for c in classes]
    covariance = math.fsum(counts[c][c] / total - gold[c] * predicted[c] for c in classes)
    spread_gold = math.fsum(p * (1 - p) for p in gold)
    spread_predicted = math.fsum(p * (1 - p) for p in predicted)
    spread = spread_gold * spread_predicted
    return covariance / math.sqrt(spread) if spread > 1e-12 else 0.0


def f1(counts: Matrix) -> float:
    """F1 of class 1 for two classes; the mean over the classes for more."""
    classes = range(len(counts))
    scores = []
    for c in classes:
        hits = counts[c][c]
        misses = math.fsum(counts[c][other] for other in classes if other != c)
        false_alarms = math.fsum(counts[other][c] for other in classes if other != c)
        total = 2 * hits + misses + false_alarms
        scores.append(2 * hits / total if total else 0.0)
    return scores[1] if len(scores) == 2 else mean(scores)


# --- Bootstrap -----------------------------------------------------------------------------------


def bootstrap(values: Matrix, draws: int, seed: int) -> list[list[float]]:
    """Means of each column over as many rows as there are, drawn with replacement one by one."""
    generator = random.Random(seed)
    n, width = len(values), len(values[0])
    means = []
    for _ in range(draws):
        sums = [0.0] * width
        for _ in range(n):
            row = values[generator.randrange(n)]
            for column in range(width):
                sums[column] += row[column]
        means.append([total / n for total in sums])
    return means


def quantile(values: Vector, q: float) -> float:
    """Linear interpolation between the order statistics."""
    ordered = sorted(values)
    position = q * (len(ordered) - 1)
    low = math.floor(position)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (position - low) * (ordered[high] - ordered[low])
