"""What the cascades over exits share: the way from exit to exit, and a rule that ends it.

The way leads through the exits of the first tier, that at layer 0 only where it is asked for, and
then through the own exit of each further tier, to which the text is sent. At each exit a rule says
whether it answers or the input goes on; the last exit answers in any case. A tier whose exit is the
one before it, as m = n or n = l, is passed over.

Cost of a sample: all that was spent on the way. λ_m·layer on the first tier, then, of each further
tier that was asked, its price: λ_e·n + o_e, o_c + γ.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, TypeAlias

import numpy as np
import numpy.typing as npt

from dimec.base.arrays import BoolArray, FloatArray, IntArray
from dimec.base.errors import ConfigError
from dimec.policies.base import Outcome, Policy, outcome_of, require_two_tiers
from dimec.policies.drive import site_of
from dimec.policies.registry import FitInputs, Fitted
from dimec.policies.step import Answer, FixedSteps, Go, Signal, Site, Step, Walk
from dimec.tiers.deployment import Deployment
from dimec.tiers.paths import Leg, leg, usage_of
from dimec.tiers.usage import text_bytes
from dimec.traces.trace import Trace

Exit: TypeAlias = tuple[int, int]  # a tier and a layer
Probabilities: TypeAlias = npt.NDArray[np.floating]


def way_of(site: Site, *, between: bool = True, exit0: bool = False) -> tuple[Exit, ...]:
    """The exits of a way, in order.

    Args:
        site: whose exits they are.
        between: whether the tiers between the first and the last are asked.
        exit0: whether it begins with the exit at layer 0, where there is one.

    Raises:
        ConfigError: there is one tier only, or the first has no exit.
    """
    deployment = site.deployment
    require_two_tiers(deployment)
    way = [(0, layer) for layer in site.exits_of(0) if layer <= deployment.exits[0]]
    if not way:
        raise ConfigError("a cascade over exits needs an exit on the first tier")
    if exit0 and site.exit0:
        way.insert(0, (0, 0))
    for k in range(1 if between else deployment.last, len(deployment)):
        here, before = deployment.tiers[k], deployment.tiers[way[-1][0]]
        if (here.source, here.layer) != (before.source, way[-1][1]):
            way.append((k, here.layer))
    return tuple(way)


def walk_legs(
    way: Sequence[Exit], ends: IntArray, lengths: npt.NDArray[np.integer], deployment: Deployment
) -> list[Leg]:
    """The paths of N samples along a way.

    Args:
        way: its E exits.
        ends: (N,) position on it of the exit that answers.
        lengths: (N,) tokens of each sample.
        deployment: whose tiers the way visits.
    """
    tiers, layers = np.array(way, np.int64)[ends].T
    payload, legs = text_bytes(lengths), []
    for k, deepest in dict(way).items():  # of each tier its last exit on the way
        here = tiers == k
        stop = np.where(here, layers, deepest)
        legs.append(leg(len(ends), k, stop, taken=tiers >= k, ends=here, payload=payload))
    return legs


@dataclass(frozen=True, eq=False)
class Seen:
    """A validation split of N samples along a way of E exits.

    Attributes:
        way: the exits.
        looks: of each exit the (N, C) probabilities.
        predictions: (N, E) predicted classes.
        confidences: (N, E) largest probabilities.
        right: (N, E) whether the exit is right, 0 or 1.
        costs: (E,) λ of having come to each exit.
    """

    way: tuple[Exit, ...]
    looks: tuple[Probabilities, ...]
    predictions: IntArray
    confidences: FloatArray
    right: FloatArray
    costs: FloatArray

    def __len__(self) -> int:
        return len(self.right)

    @property
    def classes(self) -> int:
        """C."""
        return int(self.looks[0].shape[1])


def seen_along(
    trace: Trace, deployment: Deployment, *, between: bool = True, exit0: bool = False
) -> Seen:
    """A trace along the way of a deployment; arguments and errors as :func:`way_of`."""
    way = way_of(site_of(trace, deployment), between=between, exit0=exit0)
    columns = [trace.column(layer, deployment.tiers[tier].source) for tier, layer in way]
    every = np.arange(len(way))
    legs = walk_legs(way, every, np.ones(len(way), np.int64), deployment)
    return Seen(
        way,
        tuple(trace.probabilities[:, column] for column in columns),
        trace.predictions[:, columns].astype(np.int64),
        trace.confidences[:, columns].astype(np.float64),
        trace.correct[:, columns].astype(np.float64),
        deployment.price(usage_of(legs, deployment)),
    )


class WalkPolicy(ABC):
    """From exit to exit until a rule, :meth:`stops`, says to answer.

    Args:
        name: of its row.
        way: the exits, in order.
    """

    kind: ClassVar[str]
    sees_labels = False
    learns_online = False
    replay_only = ""

    def __init__(self, name: str, way: Sequence[Exit]) -> None:
        self.name = name
        self.way = tuple((int(tier), int(layer)) for tier, layer in way)

    @abstractmethod
    def stops(self, looks: Sequence[Probabilities]) -> BoolArray:
        """(N,) whether the exit seen last answers; each row as if it were alone.

        Args:
            looks: of each exit seen so far, in order, (N, C) probabilities; never the last exit.
        """

    def settings(self) -> dict[str, Any]:
        """The exits."""
        return {"way": [list(exit_) for exit_ in self.way]}

    @abstractmethod
    def arrays(self) -> Mapping[str, npt.NDArray[Any]]:
        """What the rule is made of."""

    def steps(self, site: Site) -> WalkSteps:
        """From exit to exit."""
        self._check(site)
        return WalkSteps(self)

    def replay(self, trace: Trace, deployment: Deployment) -> Outcome:
        """Exit by exit, all samples that have come so far at once."""
        self._check(site_of(trace, deployment))
        columns = [trace.column(layer, deployment.tiers[tier].source) for tier, layer in self.way]
        ends = np.full(len(trace), len(self.way) - 1, np.int64)
        rows = np.arange(len(trace))
        for position in range(len(self.way) - 1):
            looks = [trace.probabilities[rows, column] for column in columns[: position + 1]]
            stop = self.stops(looks)
            ends[rows[stop]] = position
            rows = rows[~stop]
        return outcome_of(trace, deployment, walk_legs(self.way, ends, trace.lengths, deployment))

    def _check(self, site: Site) -> None:
        """Refuse tiers with other exits than it was fitted for.

        Raises:
            ConfigError: says which exits it needs.
        """
        exit0 = self.way[0] == (0, 0)
        if self.way not in [way_of(site, between=b, exit0=exit0) for b in (True, False)]:
            told = ", ".join(f"layer {layer} at tier {tier + 1}" for tier, layer in self.way)
            raise ConfigError(
                f"{self.name} was fitted for other exits or tiers ({told}); fit it again on these"
            )


class WalkSteps(FixedSteps):
    """The steps of a :class:`WalkPolicy`."""

    def __init__(self, policy: WalkPolicy) -> None:
        self._policy = policy
        self._way = policy.way

    @property
    def reach(self) -> Sequence[Go]:
        """Every exit of the way."""
        return [Go(*exit_) for exit_ in self._way]

    def begin(self, signal: Signal) -> Go:
        """To the first exit."""
        return Go(*self._way[0])

    def after(self, walk: Walk) -> Step:
        """To the next exit, unless this one answers."""
        seen = len(walk.looks)
        if seen == len(self._way):
            return Answer()
        if self._policy.stops([look.probabilities[None] for look in walk.looks])[0]:
            return Answer()
        return Go(*self._way[seen])


def stored_way(settings: Mapping[str, Any]) -> tuple[Exit, ...]:
    """The way of a stored policy that has no other setting.

    Raises:
        TypeError, ValueError: it is none.
    """
    if settings.keys() != {"way"} or not settings["way"]:
        raise ValueError(f"expected a way of exits, got {list(settings)}")
    return tuple((int(tier), int(layer)) for tier, layer in settings["way"])


def best_along(
    candidates: Sequence[tuple[Policy, Mapping[str, Any]]],
    inputs: FitInputs,
    lambdas: Sequence[float],
) -> list[Fitted]:
    """For each λ, the policy of the highest mean of (right or wrong) - λ·cost on validation.

    Each policy is replayed once, whatever the number of λ; ties go to the earlier one.
    """
    trace, deployment = inputs.validation, inputs.deployment
    outcomes = [policy.replay(trace, deployment) for policy, _ in candidates]
    right = np.array([(one.answers * trace.correct).sum(axis=1).mean() for one in outcomes])
    cost = np.array([one.cost.mean() for one in outcomes])
    found = []
    for lam in lambdas:
        rewards = right - lam * cost
        policy, settings = candidates[int(rewards.argmax())]
        found.append(Fitted(policy, settings, float(rewards.max())))
    return found
