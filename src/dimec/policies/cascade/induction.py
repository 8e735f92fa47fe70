"""Fit a cascade by backward induction on a validation split.

From the last points to the first: at each, the value of every step is what is expected of it,
P(right) less λ·cost from there on, where what comes after follows the steps that were fitted
before. All expectations are cross-fitted: what is handed back to an earlier point is what really
came of the choices on rows that the models of those choices had not seen.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

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

    def chance(self, point: Point, exit_: Exit) -> CrossFit:
        """P(an exit is right), as a point sees it."""
        key = point, exit_
        if key not in self._chances:
            right = self._sight.right[exit_]
            self._chances[key] = self._fits[point].fit(right, logistic=True)
        return self._chances[key]

    def fit(self, lam: float) -> Fit:
        """The cascade of one λ."""
        found: dict[tuple[Exit, ...], _Found] = {}
        for point in reversed(self.points):
            found[point.seen] = self._at(point, lam, found)
        choosers = tuple(found[point.seen].chooser for point in self.points)
        first = found[self.points[0].seen]
        reward = float((first.right - lam * first.cost).mean())
        return Fit(lam, self.mean, self.axes, choosers, reward, first.right, first.cost)

    def _at(self, point: Point, lam: float, found: Mapping[tuple[Exit, ...], _Found]) -> _Found:
        """The choices of a point, where those of all that it leads to are fitted."""
        fits, right, cost = [], [], []
        if point.last is not None:
            fits.append(self.chance(point, point.last))
            right.append(self._sight.right[point.last])
            cost.append(np.zeros(len(self._sight)))
        for go, spent in zip(point.goes, point.costs, strict=True):
            to = (go.tier, go.layer)
            after = found[seen_after(point, to)]
            if after.chooser.point.goes:
                target = after.right - lam * after.cost
                fits.append(self._fits[point].fit(target, logistic=False))
            else:  # nothing but its answer
                fits.append(self.chance(point, to))
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
