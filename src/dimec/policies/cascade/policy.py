"""The cascade as a policy: its steps, its replay, and what is stored of it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from dimec.base.arrays import FloatArray
from dimec.base.errors import ConfigError
from dimec.policies.base import Outcome, outcome_of
from dimec.policies.cascade.choosing import Chooser
from dimec.policies.cascade.features import features, signal_features
from dimec.policies.cascade.points import Exit, Point, points_of, seen_after
from dimec.policies.cascade.single import MOST, Sofar, choose_one, features_one
from dimec.policies.drive import site_of
from dimec.policies.kinds import Arrays, register_kind
from dimec.policies.step import Answer, FixedSteps, Go, Signal, Site, Step, Walk
from dimec.tiers.costs import check_lambda
from dimec.tiers.deployment import Deployment
from dimec.tiers.paths import Leg, leg
from dimec.tiers.usage import text_bytes
from dimec.traces.trace import Trace

_ANSWER = Answer()
_PARTS = ("weights", "biases", "costs")


class CascadePolicy:
    """At each point the step of the highest expected utility.

    Cost of a sample: that of its path, all that was spent on the way included.

    Args:
        lam: λ that it was fitted for.
        choosers: the models of each point, in the order of
            :func:`dimec.policies.cascade.points.points_of`.
        mean, axes: (D,) and (P, D), see
            :func:`dimec.policies.cascade.features.signal_features`.
        name: of its row.

    Raises:
        ConfigError: no point.
    """

    kind = "cascade"
    sees_labels = False
    learns_online = False
    replay_only = ""

    def __init__(
        self,
        lam: float,
        choosers: Sequence[Chooser],
        mean: FloatArray,
        axes: FloatArray,
        name: str = "cascade",
    ) -> None:
        if not choosers:
            raise ConfigError("a cascade needs at least one point")
        self.name = name
        self.lam = lam
        self.mean, self.axes = mean, axes
        self.choosers = tuple(choosers)

    def settings(self) -> dict[str, Any]:
        """λ, and of each point the exits that it has seen and leads to."""
        points = [
            {
                "seen": [list(exit_) for exit_ in one.point.seen],
                "goes": [[go.tier, go.layer] for go in one.point.goes],
                "spent": list(one.point.costs),
                "logistic": one.logistic.tolist(),
            }
            for one in self.choosers
        ]
        return {"lam": self.lam, "points": points}

    def arrays(self) -> Arrays:
        """``mean`` and ``axes``, and ``weights``, ``biases`` and ``costs`` of each point."""
        own = {
            f"{number}.{part}": getattr(one, part)
            for number, one in enumerate(self.choosers)
            for part in _PARTS
        }
        return {"mean": self.mean, "axes": self.axes, **own}

    def steps(self, site: Site) -> CascadeSteps:
        """From point to point."""
        self._check(site)
        return CascadeSteps(self)

    def signal(
        self, embeddings: npt.NDArray[np.floating], tokens: npt.NDArray[np.integer]
    ) -> FloatArray:
        """(N, 1 + P) features of the signals of N texts."""
        return signal_features(embeddings, tokens, self.mean, self.axes)

    def signal_one(self, signal: Signal) -> list[float]:
        """The features of one text's signal, to the last bit those that it has among others."""
        about = [math.log(max(float(signal.tokens), 1.0))]
        if self._axes:
            x = signal.embedding.astype(np.float64)
            about += [float(axis.dot(x)) - offset for axis, offset in self._axes]
        return about

    @cached_property
    def _axes(self) -> list[tuple[FloatArray, float]]:
        """Each axis, and what the mean is along it."""
        return list(zip(self.axes, np.vecdot(self.mean, self.axes).tolist(), strict=True))

    def replay(self, trace: Trace, deployment: Deployment) -> Outcome:
        """Point by point, all samples that stand there at once."""
        self._check(site_of(trace, deployment))
        size, first = len(trace), self.choosers[0].point
        signal = self.signal(trace.embeddings, trace.lengths)
        stop = np.full((size, len(deployment)), -1, np.int64)  # -1: never at that tier
        last = np.full(size, -1, np.int64)
        for tier, layer in first.seen:  # the exit at layer 0, where every text begins
            stop[:, tier], last[:] = layer, tier
        standing: dict[tuple[Exit, ...], npt.NDArray[np.int64]] = {first.seen: np.arange(size)}
        for chooser in self.choosers:
            rows = standing.pop(chooser.point.seen, None)
            if rows is None or not len(rows):
                continue
            looks = [self._look(trace, deployment, exit_)[rows] for exit_ in chooser.point.seen]
            chosen = chooser.choose(features(signal[rows], looks))
            for number, go in enumerate(chooser.point.goes, start=1):
                going = rows[chosen == number]
                stop[going, go.tier] = go.layer
                last[going] = go.tier
                seen = seen_after(chooser.point, (go.tier, go.layer))
                before = standing.get(seen, np.zeros(0, np.int64))
                standing[seen] = np.concatenate([before, going])
        return outcome_of(trace, deployment, _legs(stop, last, trace, deployment))

    @staticmethod
    def _look(trace: Trace, deployment: Deployment, exit_: Exit) -> npt.NDArray[np.float32]:
        tier, layer = exit_
        return trace.probabilities[:, trace.column(layer, deployment.tiers[tier].source)]

    def _check(self, site: Site) -> None:
        """Refuse tiers with other exits than it was fitted for.

        Raises:
            ConfigError: says which exits it needs.
        """
        if [point.seen for point in points_of(site)] != [one.point.seen for one in self.choosers]:
            own = sorted({exit_ for one in self.choosers for exit_ in one.point.seen})
            told = ", ".join(f"layer {layer} at tier {tier + 1}" for tier, layer in own)
            raise ConfigError(
                f"{self.name} was fitted for other exits or tiers ({told}); fit it again on these"
            )


def _legs(
    stop: npt.NDArray[np.int64],
    last: npt.NDArray[np.int64],
    trace: Trace,
    deployment: Deployment,
) -> list[Leg]:
    payload = text_bytes(trace.lengths)
    return [
        leg(
            len(trace),
            k,
            np.maximum(stop[:, k], 0),
            taken=stop[:, k] >= 0,
            ends=last == k,
            payload=payload,
        )
        for k in range(len(deployment))
    ]


class CascadeSteps(FixedSteps):
    """The steps of a :class:`CascadePolicy`."""

    def __init__(self, policy: CascadePolicy) -> None:
        self._policy = policy
        self._first = policy.choosers[0]
        self._at = {one.point.seen: one for one in policy.choosers}
        # By the number of exits of the first tier that have spoken, where the text is still there.
        self._own = [
            (one, one.point.goes)
            for seen, one in self._at.items()
            if seen and all(tier == 0 for tier, _ in seen)
        ]

    @property
    def reach(self) -> Sequence[Go]:
        """Every exit."""
        goes = [go for one in self._policy.choosers for go in one.point.goes]
        first = self._policy.choosers[0].point
        return list(dict.fromkeys([*(Go(*exit_) for exit_ in first.seen), *goes]))

    def begin(self, signal: Signal) -> Step:
        """To the exit at layer 0, where there is one; else to the best."""
        first = self._first
        # What is known of the text goes along, for every point to come.
        sofar = Sofar(self._policy.signal_one(signal))
        if first.point.seen:
            tier, layer = first.point.seen[0]
            return Go(tier, layer, note=sofar)
        go = first.point.goes[sofar.choose(first) - 1]
        if go.tier == 0:
            sofar.ahead(self._own[0][0])
        return Go(go.tier, go.layer, note=sofar)

    def after(self, walk: Walk) -> Step:
        """The answer, or on to the best of what lies ahead."""
        sofar: Sofar = walk.note
        looks = walk.looks
        last, number = looks[-1], len(looks)
        said = last.probabilities.tolist()
        if last.tier or len(said) > MOST or sofar.looks > number:
            return self._anywhere(walk)
        while sofar.looks < number:
            sofar.see(
                said if sofar.looks == number - 1 else looks[sofar.looks].probabilities.tolist()
            )
        chooser, goes = self._own[number - 1]
        if not goes or not (chosen := sofar.choose(chooser)):
            return _ANSWER
        go = goes[chosen - 1]
        if go.tier == 0:  # before the layers run
            sofar.ahead(self._own[number][0])
        return go

    def _anywhere(self, walk: Walk) -> Step:
        """Likewise at any point, without what was kept on the way."""
        looks = [look for look in walk.looks if look.tier == 0]
        if walk.last.tier:
            looks.append(walk.last)
        chooser = self._at[tuple((look.tier, look.layer) for look in looks)]
        if not chooser.point.goes:
            return _ANSWER
        x = features_one(walk.note.signal, [look.probabilities for look in looks])
        chosen = choose_one(chooser, x)
        return chooser.point.goes[chosen - 1] if chosen else _ANSWER


def _made_of(name: str, settings: Mapping[str, Any], arrays: Arrays) -> CascadePolicy:
    if settings.keys() != {"lam", "points"}:
        raise ValueError(f"expected lam and points, got {list(settings)}")
    for key, array in arrays.items():
        if array.dtype != np.float64 or not np.isfinite(array).all():
            raise ValueError(f"{key}: expected finite float64 numbers")
    mean, axes = arrays["mean"], arrays["axes"]
    if mean.ndim != 1 or axes.ndim != 2 or axes.shape[1] != len(mean):
        raise ValueError(f"expected a mean (D,) and axes (P, D), got {mean.shape}, {axes.shape}")
    points = settings["points"]
    expected = {"mean", "axes", *(f"{n}.{part}" for n in range(len(points)) for part in _PARTS)}
    if arrays.keys() != expected:
        raise ValueError(f"expected the arrays of {len(points)} points, got {sorted(arrays)}")
    choosers = [_chooser(n, point, arrays) for n, point in enumerate(points)]
    return CascadePolicy(check_lambda(settings["lam"]), choosers, mean, axes, name)


def _chooser(number: int, stored: Mapping[str, Any], arrays: Arrays) -> Chooser:
    """One point of a file.

    Raises:
        KeyError, TypeError, ValueError: it is none.
    """
    seen = tuple((int(tier), int(layer)) for tier, layer in stored["seen"])
    goes = tuple(Go(int(tier), int(layer)) for tier, layer in stored["goes"])
    point = Point(seen, goes, tuple(float(cost) for cost in stored["spent"]))
    weights, biases, costs = (arrays[f"{number}.{part}"] for part in _PARTS)
    choices = len(goes) + bool(seen)
    logistic = np.array(stored["logistic"], bool)
    shapes = {"weights": weights.shape[:1], "biases": biases.shape, "costs": costs.shape}
    shapes |= {"logistic": logistic.shape, "spent": (len(point.costs) + bool(seen),)}
    if not choices or weights.ndim != 2 or any(shape != (choices,) for shape in shapes.values()):
        raise ValueError(f"point {number}: expected {choices} choices, got {shapes}")
    return Chooser(point, weights, biases, logistic, costs)


register_kind(CascadePolicy.kind, _made_of)
