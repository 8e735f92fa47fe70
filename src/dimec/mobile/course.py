"""The way of one input through the tiers: whom to ask next, and what it has cost."""

from __future__ import annotations

from typing import Literal, get_args

from dimec.base.errors import ConfigError, TierError, option
from dimec.tiers.deployment import Deployment
from dimec.tiers.tier import Tier

Fallback = Literal["accuracy", "cost"]


def fallback_order(tier: int, fallback: Fallback, deployment: Deployment) -> tuple[str, ...]:
    """Names of the tiers to ask for an input that is sent to ``tier``; the device is the last.

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
    order = (tier, *others, 0) if tier else (0,)
    return tuple(deployment.names[k] for k in order)


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
    """What an answer costs, attempts in vain included.

    Args:
        deployment: the tiers and their prices.
    """

    def __init__(self, deployment: Deployment) -> None:
        self.tiers: tuple[Tier, ...] = deployment.tiers
        self._price = {tier.name: tier.price for tier in self.tiers}
        self._offload = {tier.name: tier.send_price for tier in self.tiers}

    @property
    def last(self) -> Tier:
        """The last tier: the reference, which may answer everything at its price."""
        return self.tiers[-1]

    def cost(self, served_by: str, failures: list[TierError]) -> float:
        """λ: the serving tier's price, and the offloading to each tier that got the input."""
        return self._price[served_by] + sum(
            self._offload[error.tier] for error in failures if error.sent
        )


class Course:
    """Where an input is on its way through the tiers.

    Args:
        order: names of the tiers to ask, see :func:`fallback_order`; the last cannot fail.

    Example:
        >>> course = Course(fallback_order(1, "accuracy", Deployment.paper((2, 3, 6))))
        >>> course.tier
        'edge'
        >>> course.failed(TierError("edge", "timeout", "no answer within 1 s", sent=True))
        >>> course.tier, course.reason
        ('cloud', 'edge: timeout')

    Attributes:
        failures: what the tiers that were asked in vain said, in order.
    """

    __slots__ = ("_order", "failures")

    def __init__(self, order: tuple[str, ...]) -> None:
        self._order = order
        self.failures: list[TierError] = []

    @property
    def tier(self) -> str:
        """The tier to ask now."""
        return self._order[len(self.failures)]

    @property
    def tried(self) -> tuple[str, ...]:
        """The tiers that were asked in vain."""
        return self._order[: len(self.failures)]

    @property
    def reason(self) -> str | None:
        """Why the first choice did not answer, or None if it is the one to ask."""
        return "; ".join(f"{e.tier}: {e.reason}" for e in self.failures) or None

    def failed(self, error: TierError) -> None:
        """The tier that was asked gave no usable answer."""
        self.failures.append(error)
