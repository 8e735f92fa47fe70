"""Fit a cascade by backward induction on a validation split.

From the last points to the first: at each, the value of every step is what is expected of it,
P(right) less λ·cost from there on, where what comes after follows the steps that were fitted
before. All expectations are cross-fitted: what is handed back to an earlier point is what really
came of the choices on rows that the models of those choices had not seen.

The best of several expectations is likely to be one that is too high, and the more so the more
there are. A tier between the first and the last that is hardly better than what lies before it
brings little and misleads often. So inductions without it are made too, and one with more tiers is
taken only where it earns more than one standard error more, cross-fitted, as with the one standard
error rule of Breiman et al. (Classification and Regression Trees, 1984, section 3.4.3): at a small
λ whole tiers differ by less than the noise of the rows.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
import numpy.typing as npt

from dimec.base.arrays import FloatArray
from dimec.base.errors import ConfigError
from dimec.policies.cascade.choosing import Chooser
from dimec.policies.cascade.features import (
    GROUPS,
    features,
    layout,
    principal_axes,
    signal_features,
)
from dimec.policies.cascade.linear import CrossFit, CrossFits, folds_of
from dimec.policies.cascade.points import Exit, Point, seen_after

FOLDS = 5
# Axes of the embedding among the features: few, for exit 0 tells better what the embedding tells
# (docs/look.md, whose ablation has none and eight).
PROJECTIONS = 2
ERRORS = 1.0  # standard errors by which a cascade with more tiers has to earn more
MOST_BETWEEN = 3  # tiers, of which every choice is tried; of more each alone, all, and none


@dataclass(frozen=True, eq=False)
class Sight:
    """What N rows of a validation split are at every exit.

    Attributes:
        embeddings: (N, D).
        tokens: (N,).
        probabilities: exit → (N, C).
        right: exit → (N,) whether it is right, 0 or 1.
    """

    embeddings: npt.NDArray[np.floating]
    tokens: npt.NDArray[np.integer]
    probabilities: Mapping[Exit, npt.NDArray[np.floating]]
    right: Mapping[Exit, FloatArray]

    def __len__(self) -> int:
        return len(self.tokens)


@dataclass(frozen=True, eq=False)
class Fit:
    """What an induction found.

    Attributes:
        lam: λ.
        mean, axes: of the embeddings, see :func:`dimec.policies.cascade.features.signal_features`.
        choosers: of each point, in order.
        reward: mean of right - λ·cost from the first point on, cross-fitted.
        right, cost: (N,) of it.
    """

    lam: float
    mean: FloatArray
    axes: FloatArray
    choosers: tuple[Chooser, ...]
    reward: float
    right: FloatArray
    cost: FloatArray


class Induction:
    """A validation split, ready to be fitted for any λ.

    What does not depend on λ is fitted once: whether each exit is right, as each point sees it.

    Args:
        points: of the site, each after those that lead to it.
        sight: the split.
        classes: C.
        seed: of the folds.
        projections: axes of the embedding among the features.
        without: groups of features that are not to be used, of
            :data:`dimec.policies.cascade.features.GROUPS`.

    Raises:
        ConfigError: there is no such group.
    """

    def __init__(
        self,
        points: Sequence[Point],
        sight: Sight,
        classes: int,
        seed: int = 0,
        projections: int = PROJECTIONS,
        without: Collection[str] = (),
    ) -> None:
        if unknown := sorted({*without} - {*GROUPS}):
            raise ConfigError(
                f"no group of features is named {unknown[0]!r}; there are {', '.join(GROUPS)}"
            )
        self.points = tuple(points)
        self._sight = sight
        self.mean, self.axes = principal_axes(sight.embeddings, projections)
        signal = signal_features(sight.embeddings, sight.tokens, self.mean, self.axes)
        fold = folds_of(len(sight), FOLDS, seed)
        self._fits: dict[Point, CrossFits] = {}
        for point in self.points:
            looks = [sight.probabilities[exit_] for exit_ in point.seen]
            groups = layout(len(looks), classes, len(self.axes)).groups
            self._fits[point] = CrossFits(features(signal, looks), groups, fold, without)
        self._chances: dict[tuple[Point, Exit], CrossFit] = {}
        tiers = {tier for point in points for tier, _ in point.seen}
        self._left_out = choices_of_tiers(max(tiers) + 1)

    def chance(self, point: Point, exit_: Exit) -> CrossFit:
        """P(an exit is right), as a point sees it."""
        key = point, exit_
        if key not in self._chances:
            right = self._sight.right[exit_]
            self._chances[key] = self._fits[point].fit(right, logistic=True)
        return self._chances[key]

    def fit(self, lam: float) -> Fit:
        """The cascade of one λ: with the fewest of the tiers between that are beyond noise as good.

        From the choice that leaves out most on, each is taken in place of the one before where its
        reward is higher by more than :data:`ERRORS` standard errors of the difference.
        """
        begin, every = self.points[0].seen, self._without(frozenset(), lam, {})
        fewest_first = [
            self._without(tiers, lam, every) if tiers else every
            for tiers in reversed(self._left_out)
        ]
        best = fewest_first[0]
        for other in fewest_first[1:]:
            if _more(other[begin], best[begin], lam) > ERRORS:
                best = other
        choosers = tuple(best[point.seen].chooser for point in self.points)
        first = best[begin]
        reward = first.reward(lam)
        return Fit(lam, self.mean, self.axes, choosers, reward, first.right, first.cost)

    def _without(
        self, tiers: frozenset[int], lam: float, every: Mapping[tuple[Exit, ...], _Found]
    ) -> dict[tuple[Exit, ...], _Found]:
        """What each point is worth where nothing goes to these tiers.

        Args:
            tiers: that are left out.
            lam: λ.
            every: the same where none is; of points that are not reached any more.
        """
        found: dict[tuple[Exit, ...], _Found] = {}
        for point in reversed(self.points):
            if any(tier in tiers for tier, _ in point.seen):
                found[point.seen] = every[point.seen]
            else:
                found[point.seen] = self._at(point, tiers, lam, found)
        return found

    def _at(
        self,
        whole: Point,
        tiers: frozenset[int],
        lam: float,
        found: Mapping[tuple[Exit, ...], _Found],
    ) -> _Found:
        """The choices of a point, where those of all that it leads to are fitted."""
        point, fits, right, cost = without_tiers(whole, tiers), [], [], []
        if point.last is not None:
            fits.append(self.chance(whole, point.last))
            right.append(self._sight.right[point.last])
            cost.append(np.zeros(len(self._sight)))
        for go, spent in zip(point.goes, point.costs, strict=True):
            to = (go.tier, go.layer)
            after = found[seen_after(point, to)]
            if after.chooser.point.goes:
                target = after.right - lam * after.cost
                fits.append(self._fits[whole].fit(target, logistic=False))
            else:  # nothing but its answer
                fits.append(self.chance(whole, to))
            right.append(after.right)
            cost.append(after.cost + spent)
        here = () if point.last is None else (0.0,)
        chooser = Chooser(
            point,
            np.stack([one.weights for one in fits]),
            np.array([one.bias for one in fits]),
            np.array([one.logistic for one in fits]),
            lam * np.array([*here, *point.costs]),
        )
        told = np.stack([one.out_of_fold for one in fits], axis=1) - chooser.costs
        rows, chosen = np.arange(len(told)), told.argmax(axis=1)
        return _Found(chooser, np.stack(right)[chosen, rows], np.stack(cost)[chosen, rows])


@dataclass(frozen=True, eq=False)
class _Found:
    """A point that is fitted: its choices, and what came of them from there on."""

    chooser: Chooser
    right: FloatArray
    cost: FloatArray

    def reward(self, lam: float) -> float:
        """Mean of right - λ·cost from here on, where all rows stand here."""
        return float((self.right - lam * self.cost).mean())


def _more(one: _Found, other: _Found, lam: float) -> float:
    """By how many standard errors one earns more than another, of the same rows; 0 if alike."""
    more = one.right - other.right - lam * (one.cost - other.cost)
    mean, error = float(more.mean()), float(more.std()) / math.sqrt(len(more))
    if error > 0:
        return mean / error
    return math.copysign(math.inf, mean) if mean else 0.0  # the same on every row


def choices_of_tiers(tiers: int) -> list[frozenset[int]]:
    """The tiers that may be left out together: none first, then one, two and more.

    They are those between the first and the last. Of more than :data:`MOST_BETWEEN` of them all
    are left out but one, and all.

    Args:
        tiers: how many there are.

    Example:
        >>> [set(one) for one in choices_of_tiers(3)]
        [set(), {1}]
        >>> len(choices_of_tiers(2)), len(choices_of_tiers(5)), len(choices_of_tiers(6))
        (1, 8, 6)
    """
    between = range(1, tiers - 1)
    sizes = range(1, len(between) + 1)
    if len(between) > MOST_BETWEEN:
        sizes = sizes[-2:]
    chosen = [frozenset(some) for size in sizes for some in combinations(between, size)]
    return [frozenset(), *chosen]


def without_tiers(point: Point, tiers: frozenset[int]) -> Point:
    """The same point, from which nothing goes to these tiers."""
    kept = [
        (go, cost) for go, cost in zip(point.goes, point.costs, strict=True) if go.tier not in tiers
    ]
    if len(kept) == len(point.goes):
        return point
    return replace(point, goes=tuple(go for go, _ in kept), costs=tuple(cost for _, cost in kept))
