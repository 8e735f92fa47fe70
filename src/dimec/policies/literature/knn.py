"""Tuned nearest neighbours: where the k most similar validation texts were answered right.

Before any layer has run, the k validation samples nearest to an input's embedding tell, by the
share of them on which each tier is right, how likely it is to be right here. The input goes to the
tier of the highest share - λ·price. k is chosen by leaving one out: each validation sample is
routed by the others, and the k of the highest mean of (right or wrong) - λ·price is taken; the
larger of two that are as good.

Cost of a sample: the price of the tier it was sent to (equation 5).

Distances are Euclidean, between embeddings in whole numbers from -127 to 127 on one scale. So they
are stored in a byte each, and sums of their products are exact: a text has the neighbours, to the
last tie, that it has among others. Of equally near ones the first in the split is taken.

Source: Cover & Hart, Nearest neighbor pattern classification, IEEE Transactions on Information
Theory 13, 1967; as a router among models, Hu et al., RouterBench, arXiv 2403.12031, whose k is not
tuned by cost. Departures: at most 4,000 samples, drawn from a seed, where the split has more; the
bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from dimec.base.arrays import FloatArray, IntArray
from dimec.base.errors import ConfigError
from dimec.policies.base import Outcome, one_hot, require_two_tiers, tier_outcome
from dimec.policies.drive import site_of
from dimec.policies.kinds import Arrays, register_kind
from dimec.policies.literature.early_exit import OneStep
from dimec.policies.registry import FitInputs, Fitted, System, register
from dimec.policies.step import Go, Signal, Site
from dimec.tiers.costs import check_lambda
from dimec.tiers.deployment import Deployment
from dimec.traces.trace import Trace

MOST = 4000  # validation samples that are kept
KS = (MOST, 640, 320, 160, 80, 40, 20, 10, 5)  # the first: all there are
SEED = 0  # of which are kept
_LARGEST = 127
_BLOCK = 1024  # inputs at a time


@dataclass(frozen=True, eq=False)
class Neighbours:
    """Validation samples, and which tiers are right on them.

    Attributes:
        points: (M, D) int8 embeddings.
        right: (M, K) uint8, 1 where the tier is right.
        mean: (D,) float64 of the embeddings.
        scale: whole numbers per unit of an embedding.

    Raises:
        ValueError: they do not fit each other.
    """

    points: npt.NDArray[np.int8]
    right: npt.NDArray[np.uint8]
    mean: FloatArray
    scale: float

    def __post_init__(self) -> None:
        size, width = self.points.shape
        if not size or self.right.shape[:1] != (size,) or self.right.ndim != 2:
            raise ValueError(f"expected {size} rows of rightness, got {self.right.shape}")
        if self.mean.shape != (width,) or not np.isfinite(self.mean).all() or not self.scale > 0:
            raise ValueError("expected a finite mean of the embeddings and a scale above 0")
        types = self.points.dtype.name, self.right.dtype.name
        if types != ("int8", "uint8") or self.right.max() > 1:
            raise ValueError("expected int8 embeddings, and uint8 of 0 and 1")

    def __len__(self) -> int:
        return len(self.points)

    def keys(self, whole: npt.NDArray[np.int8]) -> FloatArray:
        """(N, M) whole numbers, smaller the nearer the sample; no two in a row are equal.

        Args:
            whole: (N, D) of :func:`quantised`.
        """
        columns, alone = self._prepared
        products = np.matmul(whole.astype(columns.dtype), columns)
        keys: FloatArray = np.multiply(products, -2.0 * len(self), dtype=np.float64)
        keys += alone
        return keys

    @cached_property
    def _prepared(self) -> tuple[npt.NDArray[np.floating], FloatArray]:
        """(D, M) the samples as columns, and (M,) what of their keys depends on them alone."""
        # No sum of products leaves the whole numbers that the type holds, in whatever order.
        exact = "float32" if self.points.shape[1] * _LARGEST**2 < 2**24 else "float64"
        squares = np.square(self.points.astype(np.float64)).sum(axis=1)
        return self.points.astype(exact).T, squares * len(self) + np.arange(len(self))

    def shares(self, embeddings: npt.NDArray[np.floating], k: int) -> FloatArray:
        """(N, K) share of the k nearest samples, of all where there are fewer, on which each tier
        is right.
        """
        k = min(k, len(self))
        whole = quantised(embeddings, self.mean, self.scale)
        right = self.right.astype(np.float32)
        found = np.zeros((len(embeddings), right.shape[1]))
        for start in range(0, len(embeddings), _BLOCK):
            rows = slice(start, start + _BLOCK)
            keys = self.keys(whole[rows])
            furthest = np.partition(keys, k - 1, axis=1)[:, k - 1 : k]  # faster than their places
            found[rows] = np.matmul((keys <= furthest).astype(np.float32), right)
        return found / k

    def shares_left_out(self, ks: Sequence[int]) -> list[FloatArray]:
        """For each k, (M, K) shares of the others among the samples; of itself where there is none.

        Args:
            ks: how many of the nearest; all others where there are fewer.
        """
        size = len(self)
        if size == 1:
            return [self.right.astype(np.float64) for _ in ks]
        partial = [k for k in ks if k < size - 1]
        most = max(partial, default=1)
        counts = np.empty((size, most, self.right.shape[1]), np.int32)
        for start in range(0, size, _BLOCK):
            rows = np.arange(start, min(start + _BLOCK, size))
            keys = self.keys(self.points[rows])
            keys[np.arange(len(rows)), rows] = np.inf  # not itself
            near = np.argpartition(keys, most - 1, axis=1)[:, :most]
            order = np.take_along_axis(keys, near, axis=1).argsort(axis=1)
            near = np.take_along_axis(near, order, axis=1)
            counts[rows] = self.right[near].cumsum(axis=1, dtype=np.int32)
        others = (self.right.sum(axis=0, dtype=np.int64) - self.right) / (size - 1)
        return [counts[:, k - 1] / k if k < size - 1 else others for k in ks]


def quantised(
    embeddings: npt.NDArray[np.floating], mean: FloatArray, scale: float
) -> npt.NDArray[np.int8]:
    """(N, D) embeddings in whole numbers from -127 to 127."""
    whole = np.rint((np.asarray(embeddings, np.float64) - mean) * scale)
    return np.clip(whole, -_LARGEST, _LARGEST).astype(np.int8)


def neighbours_of(trace: Trace, deployment: Deployment) -> Neighbours:
    """The samples of a validation split, or as many of them as are kept."""
    rows = np.arange(len(trace))
    if len(rows) > MOST:
        rows = np.sort(np.random.default_rng(SEED).choice(rows, MOST, replace=False))
    embeddings = trace.embeddings[rows].astype(np.float64)
    mean = embeddings.mean(axis=0)
    widest = float(np.abs(embeddings - mean).max(initial=0.0))
    scale = _LARGEST / widest if widest > 0 else 1.0
    columns = trace.columns(deployment.exits, deployment.sources)
    right = trace.correct[rows][:, columns].astype(np.uint8)
    return Neighbours(quantised(embeddings, mean, scale), right, mean, scale)


class NeighboursPolicy:
    """To the tier of the highest share right - λ·price among the k nearest validation samples.

    Args:
        neighbours: the samples.
        k: how many of them are asked.
        lam: λ.

    Raises:
        ConfigError: k is no whole number of at least 1, or λ makes no sense.
    """

    name = "knn"
    kind = "neighbours"
    sees_labels = False
    learns_online = False
    replay_only = ""

    def __init__(self, neighbours: Neighbours, k: int, lam: float) -> None:
        self.neighbours = neighbours
        self.k = check_k(k)
        self.lam = check_lambda(lam)

    def settings(self) -> dict[str, Any]:
        """``k``, ``lam``, and the ``scale`` of the samples."""
        return {"k": self.k, "lam": self.lam, "scale": self.neighbours.scale}

    def arrays(self) -> Arrays:
        """``points``, ``right`` and ``mean`` of the samples."""
        own = self.neighbours
        return {"points": own.points, "right": own.right, "mean": own.mean}

    def choose(self, embeddings: npt.NDArray[np.floating], deployment: Deployment) -> IntArray:
        """(N,) tiers for (N, D) embeddings; the first of those that are as good."""
        shares = self.neighbours.shares(embeddings, self.k)
        return _best_tiers(shares, self.lam, deployment)

    def steps(self, site: Site) -> NeighboursSteps:
        """One step to the best tier."""
        self._check(site)
        return NeighboursSteps(self, site.deployment)

    def replay(self, trace: Trace, deployment: Deployment) -> Outcome:
        """Route the whole trace."""
        self._check(site_of(trace, deployment))
        chosen = self.choose(trace.embeddings, deployment)
        return tier_outcome(trace, deployment, one_hot(chosen, len(deployment)))

    def _check(self, site: Site) -> None:
        require_two_tiers(site.deployment)
        if (tiers := self.neighbours.right.shape[1]) != len(site.deployment):
            raise ConfigError(
                f"{self.name} was fitted for {tiers} tiers, there are {len(site.deployment)}; fit "
                "it again on these"
            )


class NeighboursSteps(OneStep):
    """The steps of a :class:`NeighboursPolicy`: one, and the answer."""

    def __init__(self, policy: NeighboursPolicy, deployment: Deployment) -> None:
        self._policy = policy
        self._deployment = deployment

    @property
    def reach(self) -> Sequence[Go]:
        """To any tier's own exit."""
        return [Go(tier, layer) for tier, layer in enumerate(self._deployment.exits)]

    def begin(self, signal: Signal) -> Go:
        """To the best tier."""
        tier = int(self._policy.choose(signal.embedding[None], self._deployment)[0])
        return Go(tier, self._deployment.exits[tier])


def check_k(k: int) -> int:
    """The number of neighbours.

    Raises:
        ConfigError: it is no whole number of at least 1.
    """
    if not (type(k) is int and k >= 1):
        raise ConfigError(f"the number of neighbours is a whole number of at least 1, got {k!r}")
    return k


def _best_tiers(shares: FloatArray, lam: float, deployment: Deployment) -> IntArray:
    chosen: IntArray = (shares - lam * np.array(deployment.prices)).argmax(axis=1).astype(np.int64)
    return chosen


def _along(inputs: FitInputs, lambdas: Sequence[float]) -> list[Fitted]:
    deployment = inputs.deployment
    require_two_tiers(deployment)
    ks = [check_k(k) for k in inputs.tried("k", KS)]
    neighbours = neighbours_of(inputs.validation, deployment)
    told, prices = neighbours.shares_left_out(ks), np.array(deployment.prices)
    rows, found = np.arange(len(neighbours)), list[Fitted]()
    reward = _rewards(neighbours, inputs)
    for lam in lambdas:
        chosen = [_best_tiers(shares, lam, deployment) for shares in told]
        rewards = [(neighbours.right[rows, one] - lam * prices[one]).mean() for one in chosen]
        k = ks[int(np.argmax(rewards))]
        # λ is named too: with the same k and another λ it is another policy.
        settings = {"k": k, "lambda": lam}
        found.append(Fitted(NeighboursPolicy(neighbours, k, lam), settings, reward(k, lam)))
    return found


def _rewards(neighbours: Neighbours, inputs: FitInputs) -> Callable[[int, float], float]:
    """The mean of (right or wrong) - λ·price of a k and a λ; the neighbours are asked once a k."""
    trace, deployment = inputs.validation, inputs.deployment
    right = trace.correct[:, trace.columns(deployment.exits, deployment.sources)]
    rows, prices = np.arange(len(trace)), np.array(deployment.prices)
    shares = cache(lambda k: neighbours.shares(trace.embeddings, k))

    def reward(k: int, lam: float) -> float:
        chosen = _best_tiers(shares(k), lam, deployment)
        return float((right[rows, chosen] - lam * prices[chosen]).mean())

    return reward


def _fit(inputs: FitInputs) -> Fitted:
    return _along(inputs, [inputs.lam])[0]


def _make(neighbours: Neighbours, chosen: tuple[int, float]) -> NeighboursPolicy:
    """Of the samples, and k and λ: only a fit knows them."""
    return NeighboursPolicy(neighbours, *chosen)


def _made_of(name: str, settings: Mapping[str, Any], arrays: Arrays) -> NeighboursPolicy:
    if settings.keys() != {"k", "lam", "scale"} or arrays.keys() != {"points", "right", "mean"}:
        raise ValueError(f"expected k, lam, scale and samples, got {list(settings)}")
    if name != NeighboursPolicy.name:
        raise ValueError(f"expected the name {NeighboursPolicy.name}")
    scale = float(settings["scale"])
    neighbours = Neighbours(arrays["points"], arrays["right"], arrays["mean"], scale)
    return NeighboursPolicy(neighbours, settings["k"], settings["lam"])


register_kind(NeighboursPolicy.kind, _made_of)
register(
    System(
        "knn",
        "Hu et al., RouterBench, arXiv 2403.12031; Cover & Hart 1967",
        _make,
        grid={"k": KS},
        fitter=_fit,
        along=_along,
        reads=frozenset({"embeddings"}),
    ),
    title="Nearest neighbours",
)
