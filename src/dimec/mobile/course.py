"""The way of one input through the tiers: whom to ask next, and what it has cost."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, get_args

from dimec.base.arrays import Float32Array
from dimec.base.errors import ConfigError, TierError, option
from dimec.policies.step import Go, Look, Step, Visit, Walk
from dimec.tiers.deployment import Deployment
from dimec.tiers.paths import leg, usage_of

Fallback = Literal["accuracy", "cost"]


def fallback_order(tier: int, fallback: Fallback, deployment: Deployment) -> tuple[int, ...]:
    """Positions of the tiers to ask for an input that goes to ``tier``; the device is the last.

    ``"accuracy"`` asks the deepest tier that may still answer, ``"cost"`` never a dearer tier than
    the one that was chosen.

    Args:
        tier: position of the tier that was chosen.
        fallback: what to keep up.
        deployment: the tiers and their prices.

    Raises:
        ConfigError: an unknown fallback.
    """
    check_fallback(fallback)
    others = [k for k in range(len(deployment) - 1, 0, -1) if k != tier]
    if fallback == "cost":
        prices = deployment.prices
        others = sorted((k for k in others if prices[k] < prices[tier]), key=lambda k: -prices[k])
    return (tier, *others, 0) if tier else (0,)


def check_fallback(fallback: str) -> None:
    """Refuse what is no fallback.

    Raises:
        ConfigError: says which there are.
    """
    if fallback not in get_args(Fallback):
        raise ConfigError(
            f"{option('fallback')} must be one of {', '.join(get_args(Fallback))}, got {fallback!r}"
        )


class Tariff:
    """What an answer costs: its path, and every sending in vain.

    Args:
        deployment: the tiers and their prices.
    """

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment
        self._names = {name: k for k, name in enumerate(deployment.names)}
        # Few paths are possible, and one is priced in a tenth of a millisecond.
        self._known: dict[tuple[tuple[Visit, ...], tuple[str, ...]], float] = {}

    def cost(self, path: Sequence[Visit], failures: Sequence[TierError]) -> float:
        """λ, as a replay prices the same path, and the sending to each tier that got it in vain."""
        vain = tuple(error.tier for error in failures if error.sent)
        key = tuple(path), vain
        if key not in self._known:
            legs = [leg(1, visit.tier, visit.stop, start=visit.start) for visit in path]
            legs += [leg(1, self._names[tier], 0) for tier in vain]
            usage = usage_of(legs, self._deployment)
            self._known[key] = float(self._deployment.price(usage)[0])
        return self._known[key]


class Course:
    """Where an input is on its way through the tiers.

    The policy says every step. Where a tier fails, the policy is not asked again. If an exit has
    spoken before, what the last one said is the answer: to go on was to improve on it. Else the
    other tiers are asked in turn, the device last, and the first that answers has answered.

    Args:
        walk: of the input, which has not begun.
        first: the policy's first step.
        order: positions of the tiers to ask while none has answered, see :func:`fallback_order`;
            the last cannot fail.
        deployment: the tiers.

    Example:
        >>> import numpy as np
        >>> from dimec.policies.step import Signal
        >>> tiers = Deployment.paper((2, 3, 6))
        >>> walk = Walk(Signal(np.zeros(4), 9))
        >>> course = Course(walk, Go(1, 3), fallback_order(1, "accuracy", tiers), tiers)
        >>> course.tier
        'edge'
        >>> course.failed(TierError("edge", "timeout", "no answer within 1 s", sent=True))
        >>> course.tier, course.reason
        ('cloud', 'edge: timeout')

    Attributes:
        first: the policy's first step.
        walk: as far as the policy's steps went.
        failures: what the tiers that were asked in vain said, in order.
        answer: the look that answers, once there is one.
    """

    __slots__ = (
        "_before",
        "_deployment",
        "_detour",
        "_order",
        "_visit",
        "answer",
        "failures",
        "first",
        "walk",
    )

    def __init__(self, walk: Walk, first: Go, order: Sequence[int], deployment: Deployment) -> None:
        self.first = first
        self.walk = walk
        self.failures: list[TierError] = []
        self.answer: Look | None = None
        self._order = order
        self._deployment = deployment
        self._detour = False
        self._start(first)

    @property
    def tier(self) -> str:
        """The tier to ask now."""
        return self._deployment.names[self._visit.tier]

    @property
    def layer(self) -> int:
        """The exit to ask it for."""
        return self._visit.stop

    @property
    def path(self) -> tuple[Visit, ...]:
        """The stays at tiers that have answered, in order."""
        detour = (self._visit,) if self._detour and self.answer is not None else ()
        return (*self.walk.visits, *detour)

    @property
    def tried(self) -> tuple[str, ...]:
        """The tiers that were asked in vain."""
        return tuple(error.tier for error in self.failures)

    @property
    def reason(self) -> str | None:
        """Why another tier answers than the policy wanted, or None if none failed."""
        return "; ".join(f"{e.tier}: {e.reason}" for e in self.failures) or None

    def see(self, probabilities: Float32Array, after: Callable[[Walk], Step]) -> None:
        """The tier asked has spoken.

        Args:
            probabilities: (C,) of the classes.
            after: the policy's.

        Raises:
            ConfigError: the policy's next step cannot be taken.
        """
        if self._detour:
            self.answer = Look(self._visit.tier, self._visit.stop, probabilities)
            return
        self.walk.see(probabilities)
        step = after(self.walk)
        if isinstance(step, Go):
            self._start(step)
        else:
            self.answer = self.walk.answer(step)

    def failed(self, error: TierError) -> None:
        """The tier asked gave no usable answer."""
        self.failures.append(error)
        if not self._detour:
            self.walk.visits[:] = self._before
            if self.walk.looks:
                self.answer = self.walk.last
                return
            self._detour = True
        tier = self._order[len(self.failures)]
        layer = self._deployment.exits[tier]
        self._visit = Visit(tier, 0, layer, "text" if tier else None)

    def _start(self, step: Go) -> None:
        self._before = tuple(self.walk.visits)
        self.walk.go(step, self._deployment)
        self._visit = self.walk.visits[-1]
