"""Accuracy-cost curves: what each policy does along its knob, and summaries of that.

A policy with a knob is a line in the plane of cost and accuracy, not one point. Each of its points
is fitted on the validation split and replayed on the test split. Whoever sets the knob sees the
validation split only, so a summary chooses there and reads off the test split.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np

from dimec.base.arrays import FloatArray
from dimec.base.errors import CorruptArtefactError
from dimec.base.storage import file_sha256, read_json, write_json
from dimec.evaluation.evaluate import draw_up
from dimec.evaluation.hull import area_between, pareto_front, upper_hull
from dimec.evaluation.replay import reference_replay, replay
from dimec.policies import Policy
from dimec.tiers.deployment import Deployment
from dimec.traces.trace import Trace

ALLOWED_DROP = 0.005  # the paper's half a point
FILE = "curves.json"
_MADE_BY = "dimec evaluate"
_BESIDE = "ledger"
_NOTHING = 1e-12  # an area below this is none


@dataclass(frozen=True)
class CurvePoint:
    """One policy of a curve. Fractions, not percent; of the test split but where it is said.

    Attributes:
        accuracy: share of right answers.
        cost: mean cost of an answer in λ.
        drop, drop_low, drop_high: against the last tier, with its paired 95 % interval.
        reduction, reduction_low, reduction_high: of cost against the last tier, alike.
        validation_drop, validation_reduction: on the validation split, where it was fitted; of what
            learns from rows by fits that had not seen the row in question.
        settings: of the policy, the knob's among them where it is a setting.
        lam: λ that it was fitted for; None where λ is not the knob.
    """

    accuracy: float
    cost: float
    drop: float
    drop_low: float
    drop_high: float
    reduction: float
    reduction_low: float
    reduction_high: float
    validation_drop: float
    validation_reduction: float
    settings: Mapping[str, Any] = field(default_factory=dict)
    lam: float | None = None


@dataclass(frozen=True)
class Curve:
    """A policy along its knob.

    Attributes:
        policy: its name, which is that of its row in the ledger.
        title: as a reader says it.
        knob: ``"lambda"``, or names of settings, see :func:`dimec.policies.ladder.knob_of`.
        points: in the order of the knob.
    """

    policy: str
    title: str
    knob: str
    points: tuple[CurvePoint, ...]

    def chosen(self, allowed: float = ALLOWED_DROP) -> CurvePoint | None:
        """Where the knob is best set: of the points within a drop, the one that saves most.

        Drop and saving are those on the validation split. Ties go to the earlier point. None where
        no point loses so little there.
        """
        within = [one for one in self.points if one.validation_drop <= allowed]
        return max(within, key=lambda one: one.validation_reduction, default=None)

    def front(self) -> list[CurvePoint]:
        """The points that no other beats on the validation split, from the cheapest on.

        Nobody would set the knob to another.
        """
        seen = pareto_front(*_validation(self.points))
        return [self.points[place] for place in seen]


@dataclass(frozen=True)
class Curves:
    """The curves of a run, and the points that they are measured against.

    Attributes:
        curves: in the order of the ledger.
        tiers: each tier alone, from the nearest to the last, which is the reference.
        oracle: chooses among the tiers by the labels.
        draws, seed: of the bootstrap.
    """

    curves: tuple[Curve, ...]
    tiers: tuple[CurvePoint, ...]
    oracle: CurvePoint
    draws: int
    seed: int

    def area_share(self, curve: Curve) -> float | None:
        """The area between a curve and matched random, as a share of the oracle's.

        Matched random at a cost is the best mix of single tiers that costs as much on average. A
        curve is taken with the single tiers, since it can be mixed with them too; so is the oracle.
        Each is the upper concave hull of its points on the validation split, and is laid through
        their points of the test split by straight lines. The area runs from the cost of the
        cheapest single tier to that of the last tier.

        Returns:
            1 for the oracle itself, 0 for what is as good as random, below 0 for what is worse on
            the test split. It may exceed 1: the oracle stops at tiers only, where a policy may
            answer at an exit before. None where the oracle has no area, as with one tier.
        """
        whole = self._area([self.oracle])
        return None if whole <= _NOTHING else self._area(curve.points) / whole

    def _area(self, points: Sequence[CurvePoint]) -> float:
        span = min(one.cost for one in self.tiers), self.tiers[-1].cost
        if not span[0] < span[1]:
            return 0.0
        return area_between(_mix([*self.tiers, *points]), _mix(self.tiers), span)

    def save(self, folder: Path) -> None:
        """Write ``curves.json``, with the summaries of each curve, beside a ledger.

        To be called once that is written: curves that stand beside another ledger are none.
        """
        stored = {**asdict(self), _BESIDE: _ledger(folder)}
        for told, curve in zip(stored["curves"], self.curves, strict=True):
            best = curve.chosen()
            told["allowed_drop"] = ALLOWED_DROP
            told["chosen"] = None if best is None else curve.points.index(best)
            told["area_share"] = self.area_share(curve)
        write_json(folder / FILE, stored)

    @staticmethod
    def stored(folder: Path) -> bool:
        """Whether there are any of the ledger that is there; ``--no-curves`` leaves none."""
        path = folder / FILE
        if not path.is_file():
            return False
        stored = read_json(path, _MADE_BY)
        # What holds no curves at all is read, and refused there.
        return not isinstance(stored, dict) or stored.get(_BESIDE, "") in ("", _ledger(folder))

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what :meth:`save` wrote.

        Raises:
            ArtefactError: missing, or no curves.
        """
        path = folder / FILE
        stored = read_json(path, _MADE_BY)
        try:
            return cls._of_json(stored)
        except (TypeError, KeyError, ValueError, AttributeError) as error:
            raise CorruptArtefactError(
                f"{path} holds no curves ({error}); make it again with: {_MADE_BY}"
            ) from None

    @classmethod
    def _of_json(cls, stored: Any) -> Self:
        curves = tuple(
            Curve(
                str(one["policy"]),
                str(one["title"]),
                str(one["knob"]),
                tuple(map(_point, one["points"])),
            )
            for one in stored["curves"]
        )
        if not all(curve.points for curve in curves):
            raise ValueError("a curve without points")
        tiers, oracle = tuple(map(_point, stored["tiers"])), _point(stored["oracle"])
        if not tiers:
            raise ValueError("no tier")
        return cls(curves, tiers, oracle, int(stored["draws"]), int(stored["seed"]))


class Plotter:
    """Makes points of policies: replays each on the validation and on the test split.

    Args:
        validation: the trace that the policies were fitted on.
        test: the trace that they are judged on.
        deployment: the tiers and their prices.
        draws, seed: of the bootstrap.

    Raises:
        ConfigError: a trace lacks a tier's exit, or there is fewer than 1 draw.
    """

    def __init__(
        self, validation: Trace, test: Trace, deployment: Deployment, draws: int, seed: int
    ) -> None:
        self.deployment, self.draws, self.seed = deployment, draws, seed
        self._validation, self._test = validation, test
        self._seen, self._reference = (
            reference_replay(trace, deployment) for trace in (validation, test)
        )

    def point(
        self,
        policy: Policy,
        settings: Mapping[str, Any] | None = None,
        lam: float | None = None,
        seen: tuple[FloatArray, FloatArray] | None = None,
    ) -> CurvePoint:
        """A policy as a point.

        Args:
            policy: fitted; one that learns begins from nothing on each split.
            settings: of the policy.
            lam: where λ is the knob.
            seen: (V,) whether it is right and (V,) cost of each validation row, as if it had not
                been fitted to that one; by default those of a replay.
        """
        if seen is None:
            own = replay(policy, self._validation, self.deployment)
            seen = own.right, own.cost
        # One policy at a time: few of its rows differ from each other, so its bootstrap is fast.
        shown = replay(policy, self._test, self.deployment)
        ledger = draw_up(
            [shown], self._reference, metric="accuracy", draws=self.draws, seed=self.seed
        )
        test = ledger.rows[0]
        return CurvePoint(
            accuracy=test.accuracy,
            cost=test.cost,
            drop=test.drop,
            drop_low=test.drop_low,
            drop_high=test.drop_high,
            reduction=test.reduction,
            reduction_low=test.reduction_low,
            reduction_high=test.reduction_high,
            validation_drop=float(self._seen.right.mean() - seen[0].mean()),
            validation_reduction=1 - float(seen[1].mean() / self._seen.cost.mean()),
            settings=dict(settings or {}),
            lam=lam,
        )


def _point(stored: Mapping[str, Any]) -> CurvePoint:
    point = CurvePoint(**stored)
    numbers = [v for k, v in stored.items() if k not in ("settings", "lam")]
    if not all(type(v) in (int, float) and math.isfinite(v) for v in numbers):
        raise ValueError("a point whose numbers are none")
    return point


def _validation(points: Sequence[CurvePoint]) -> tuple[FloatArray, FloatArray]:
    """Costs and accuracies on the validation split, but for a shift and a scale."""
    cost = np.array([-one.validation_reduction for one in points])
    return cost, np.array([-one.validation_drop for one in points])


def _mix(points: Sequence[CurvePoint]) -> tuple[FloatArray, FloatArray]:
    """Test costs and accuracies of the points whose mixes are best on the validation split."""
    corners = [points[place] for place in upper_hull(*_validation(points))]
    return np.array([one.cost for one in corners]), np.array([one.accuracy for one in corners])


def _ledger(folder: Path) -> str:
    """SHA-256 of the ledger in a folder; empty where there is none."""
    path = folder / "ledger.json"
    return file_sha256(path) if path.exists() else ""
