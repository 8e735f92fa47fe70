"""What each input's path takes of the tiers: drawn up once a text, gathered by the million.

A path follows from the policy's own replay; time, bytes and λ follow from it by
:mod:`dimec.tiers`, as in every other replay. What a failure makes of a path follows from its parts:
what each visit's exit said, and what each tier says by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Self

import numpy as np

from dimec.base.arrays import BoolArray, FloatArray, IntArray
from dimec.base.errors import ConfigError
from dimec.policies.base import Outcome, one_hot, tier_outcome
from dimec.tiers.computing import Computing
from dimec.tiers.deployment import Deployment
from dimec.tiers.paths import Leg, usage_of
from dimec.tiers.usage import Usage
from dimec.traces.trace import Trace


@dataclass(frozen=True, eq=False)
class Courses:
    """N paths through K tiers. Each is (N, K) but ``right`` (N,).

    Attributes:
        visits: whether the path has a visit to the tier; of the first tier whether an exit spoke.
        seconds: of computing there.
        bytes: of payload sent there.
        cost: λ of the visit.
        said: whether what the visit's exit said is right; false where there is none.
        right: whether the path's answer is right.
        stand_in: seconds of a visit that stands in for another tier's: to the tier's own exit.
        stand_in_bytes, stand_in_cost: the same of payload and λ.
        stand_in_right: whether the tier's own exit is right.
    """

    visits: BoolArray
    seconds: FloatArray
    bytes: FloatArray
    cost: FloatArray
    said: BoolArray
    right: BoolArray
    stand_in: FloatArray
    stand_in_bytes: FloatArray
    stand_in_cost: FloatArray
    stand_in_right: BoolArray

    def __len__(self) -> int:
        return len(self.right)

    def take(self, rows: IntArray) -> Self:
        """Those of these rows, in their order."""
        return type(self)(*(getattr(self, one.name)[rows] for one in fields(self)))

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """All of these, one behind the other."""
        names = (one.name for one in fields(cls))
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


@dataclass(frozen=True, eq=False)
class Ground:
    """What courses are drawn up on: the texts, the tiers, and how fast these are.

    Attributes:
        trace: of N texts.
        deployment: the K tiers.
        computing: how long the texts compute.
        rates: K, operations a second of each tier's machine.
        text_bytes: (N,) of the texts themselves, where some tiers are sent these; else None.
        text_tiers: positions of those tiers.
    """

    trace: Trace
    deployment: Deployment
    computing: Computing
    rates: Sequence[float]
    text_bytes: FloatArray | None = None
    text_tiers: tuple[int, ...] = ()

    def taken(self, rows: IntArray) -> Ground:
        """The same of these texts, some of them several times."""
        lengths = self.computing.lengths[rows]  # type: ignore[attr-defined]  # both kinds have it
        return replace(
            self,
            trace=self.trace.take(rows),
            computing=replace(self.computing, lengths=lengths),  # type: ignore[type-var]
            text_bytes=None if self.text_bytes is None else self.text_bytes[rows],
        )

    def usage(self, legs: Sequence[Leg]) -> Usage:
        """What paths take, with the bytes that are sent in truth."""
        usage = usage_of(legs, self.deployment)
        if self.text_bytes is None or not self.text_tiers:
            return usage
        return usage.sending(self.text_bytes, self.text_tiers)

    def seconds(self, usage: Usage) -> FloatArray:
        """(N, K) of computing."""
        columns = [
            self.computing.milliseconds(usage, k, rate) / 1e3 for k, rate in enumerate(self.rates)
        ]
        return np.stack(columns, axis=1)

    @property
    def own_exits(self) -> list[int]:
        """Of each tier the column of its own exit."""
        return self.trace.columns(self.deployment.exits, self.deployment.sources)


def courses_of(outcome: Outcome, ground: Ground) -> Courses:
    """The courses of a policy's replay of a trace.

    Args:
        outcome: of the N texts.
        ground: they and the tiers.

    Raises:
        ConfigError: the policy draws lots, or goes back to a tier.
    """
    trace, size, tiers = ground.trace, len(ground.trace), len(ground.deployment)
    usage = ground.usage(outcome.legs)
    visits, said = np.zeros((size, tiers), bool), np.zeros((size, tiers), bool)
    cost = np.zeros((size, tiers))
    for one in outcome.legs:
        made = _certain(one.taken)
        if visits[made, one.tier].any():
            raise ConfigError("a policy that visits a tier twice cannot be simulated in a fleet")
        spoke = made if one.tier or 0 in trace.exits else made & (one.stop > 0)
        visits[:, one.tier] |= spoke
        source = ground.deployment.tiers[one.tier].source
        said[spoke, one.tier] = _right_at(trace, source, one.stop, spoke)
        cost[:, one.tier] += ground.deployment.price(usage_of([one], ground.deployment))
    _certain(outcome.answers)
    right = (outcome.answers * trace.correct).sum(axis=1) > 0.5
    return Courses(
        visits, ground.seconds(usage), usage.bytes, cost, said, right, *_stand_ins(ground)
    )


def tier_courses(ground: Ground, tier: int) -> Courses:
    """The courses of sending every text to one tier as it comes."""
    chosen = one_hot(np.full(len(ground.trace), tier), len(ground.deployment))
    return courses_of(tier_outcome(ground.trace, ground.deployment, chosen), ground)


def _stand_ins(ground: Ground) -> tuple[FloatArray, FloatArray, FloatArray, BoolArray]:
    """Each tier by itself: seconds, bytes, λ, and whether its own exit is right."""
    size, tiers = len(ground.trace), len(ground.deployment)
    seconds, sent, cost = (np.zeros((size, tiers)) for _ in range(3))
    for k in range(tiers):
        chosen = one_hot(np.full(size, k), tiers)
        usage = ground.usage(tier_outcome(ground.trace, ground.deployment, chosen).legs)
        seconds[:, k] = ground.seconds(usage)[:, k]
        sent[:, k] = usage.bytes[:, k]
        cost[:, k] = ground.deployment.price(usage)
    return seconds, sent, cost, ground.trace.correct[:, ground.own_exits]


def _certain(shares: FloatArray) -> BoolArray:
    sure: BoolArray = shares > 0.5
    if not np.array_equal(sure, shares):
        raise ConfigError(
            "a policy that states what is expected of lots cannot be simulated in a fleet, for no "
            "lot is drawn; name one that decides"
        )
    return sure


def _right_at(trace: Trace, source: str, layers: FloatArray, rows: BoolArray) -> BoolArray:
    """Whether the exits at which these visits end are right."""
    here, said = np.flatnonzero(rows), np.zeros(int(rows.sum()), bool)
    stops = layers[here]
    for layer in np.unique(stops):
        at = stops == layer
        said[at] = trace.correct[here[at], trace.column(int(layer), source)]
    return said
