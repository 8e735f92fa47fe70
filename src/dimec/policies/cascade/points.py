"""Where an input can stand on its way, and which steps lead on from there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dimec.base.errors import ConfigError
from dimec.policies.step import Go, Site
from dimec.tiers.deployment import Deployment
from dimec.tiers.paths import leg, usage_of

Exit = tuple[int, int]  # a tier and a layer


@dataclass(frozen=True)
class Point:
    """A point of the way: what has been seen, and what can come next.

    On the first tier every exit is looked at, for that costs nothing. Beyond it the policy knows
    the first tier's last exit and the present tier's, whatever lay between.

    Attributes:
        seen: the exits whose answers it knows, in order; none at the very start.
        goes: where it can go on to.
        costs: of each of them, λ.
    """

    seen: tuple[Exit, ...]
    goes: tuple[Go, ...]
    costs: tuple[float, ...]

    @property
    def last(self) -> Exit | None:
        """The exit seen last; None at the very start."""
        return self.seen[-1] if self.seen else None


def points_of(site: Site) -> tuple[Point, ...]:
    """All points of a site, each after those that lead to it.

    Raises:
        ConfigError: the first tier has no exit.
    """
    deployment = site.deployment
    own = [0] if site.exit0 else []
    own += [layer for layer in site.exits_of(0) if layer <= deployment.exits[0]]
    if not own:
        raise ConfigError("a cascade needs an exit on the first tier")
    here: list[Exit] = [(0, layer) for layer in own]
    further: list[Exit] = [(k, deployment.exits[k]) for k in range(1, len(deployment))]
    points = []
    if own[0] > 0:
        points.append(_point((), [here[0], *further], deployment))
    for j in range(len(here)):
        points.append(_point(tuple(here[: j + 1]), [*here[j + 1 : j + 2], *further], deployment))
        for k in range(len(further)):
            seen = (*here[: j + 1], further[k])
            points.append(_point(seen, further[k + 1 :], deployment))
    if own[0] > 0:  # straight to a tier, and on from there
        for k in range(len(further)):
            points.append(_point((further[k],), further[k + 1 :], deployment))
    return tuple(points)


def seen_after(point: Point, to: Exit) -> tuple[Exit, ...]:
    """What is known after a step: the first tier's exits, and the present tier's."""
    return (*(exit_ for exit_ in point.seen if exit_[0] == 0), to)


def _point(seen: tuple[Exit, ...], ahead: Sequence[Exit], deployment: Deployment) -> Point:
    before = seen[-1] if seen else None
    goes = tuple(Go(*exit_) for exit_ in ahead)
    return Point(seen, goes, tuple(_cost(before, exit_, deployment) for exit_ in ahead))


def _cost(before: Exit | None, to: Exit, deployment: Deployment) -> float:
    """λ of going from one exit to another."""
    spent = _stay(to, deployment)
    # A longer stay at the same tier takes up where it was.
    return spent - _stay(before, deployment) if before and before[0] == to[0] else spent


def _stay(exit_: Exit, deployment: Deployment) -> float:
    return float(deployment.price(usage_of([leg(1, *exit_)], deployment))[0])
