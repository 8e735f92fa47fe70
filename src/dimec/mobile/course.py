"""The way of one input through the tiers: whom to ask next, and what it has cost."""

from __future__ import annotations

from typing import Literal, get_args

from dimec.base.errors import ConfigError, TierError, option
from dimec.tiers.deployment import Deployment
from dimec.tiers.tier import Tier

Fallback = Literal["accuracy", "cost"]

# Whom to ask, by policy and by the tier that the router chose. "accuracy" asks the deepest model
# that may still answer, "cost" never a dearer tier than the one that was chosen.
_ORDERS: dict[str, dict[str, tuple[str, ...]]] = {
    "accuracy": {
        "mobile": ("mobile",),
        "edge": ("edge", "cloud", "mobile"),
        "cloud": ("cloud", "edge", "mobile"),
    },
    "cost": {
        "mobile": ("mobile",),
        "edge": ("edge", "mobile"),
        "cloud": ("cloud", "edge", "mobile"),
    },
}


def fallback_order(route: str, fallback: Fallback) -> tuple[str, ...]:
    """Tiers to ask for an input that the router sends to ``route``; the mobile is the last.

    Raises:
        ConfigError: an unknown policy.
    """
    if fallback not in _ORDERS:
        raise ConfigError(
            f"{option('fallback')} must be one of {', '.join(get_args(Fallback))}, got {fallback!r}"
        )
    return _ORDERS[fallback][route]


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
    def cloud(self) -> float:
        """Price of an answer from the cloud in λ: what all-cloud pays for each."""
        return self._price["cloud"]

    def cost(self, served_by: str, failures: list[TierError]) -> float:
        """λ: the serving tier's price, and the offloading to each tier that got the input."""
        return self._price[served_by] + sum(
            self._offload[error.tier] for error in failures if error.sent
        )


class Course:
    """Where an input is on its way through the tiers.

    Example:
        >>> course = Course("edge", "accuracy")
        >>> course.tier
        'edge'
        >>> course.failed(TierError("edge", "timeout", "no answer within 1 s", sent=True))
        >>> course.tier, course.reason
        ('cloud', 'edge: timeout')

    Attributes:
        failures: what the tiers that were asked in vain said, in order.
    """

    __slots__ = ("_order", "failures")

    def __init__(self, route: str, fallback: Fallback) -> None:
        self._order = fallback_order(route, fallback)
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
