"""A tier: a place that can answer, with its layers and its prices, as data."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral

from dimec.base.errors import ConfigError, quoted

LARGEST_PRICE = 1e12  # so that no sum of costs leaves what a number can hold
# A name is a folder of a bundle, a model of a server, a column of a table and a word of an option.
_NAME = re.compile(r"[a-z][a-z0-9_-]{0,31}")
_PRICES = ("layer_price", "send_price", "visit_price")


@dataclass(frozen=True)
class Tier:
    """An ordered place that can answer. Prices are in units of λ.

    Attributes:
        name: lower case letters, digits, ``-`` and ``_``, from a letter on; up to 32.
        layer: the deepest layer that runs here, at whose exit the tier answers.
        layer_price: of running one layer here.
        send_price: of sending an input here.
        visit_price: of a visit: what the place charges for an answer beside (γ at the cloud). A
            visit that stops early is charged its share of the layers: "as then only partial
            resource is used" (the paper, section V-B 3).
        source: the model that runs here; tiers that are cut out of one model share it.

    Raises:
        ConfigError: not a name, no layer, or a price that is negative, not finite or above 1e12.
    """

    name: str
    layer: int
    layer_price: float = 0.0
    send_price: float = 0.0
    visit_price: float = 0.0
    source: str = ""

    def __post_init__(self) -> None:
        check_tier_name(self.name)
        check_tiers((self.layer,))
        for name in _PRICES:
            value = getattr(self, name)
            if not 0 <= value <= LARGEST_PRICE:
                raise ConfigError(
                    f"the {name} of the tier {self.name} must be a finite number of at least 0, "
                    f"got {value!r}; prices go up to {LARGEST_PRICE:.0e}"
                )

    @property
    def price(self) -> float:
        """Of an answer from here, where nothing ran before (equation 5)."""
        return float(self.layer_price * self.layer + self.send_price + self.visit_price)


def check_tier_name(name: str) -> str:
    """``name`` itself, if a tier can be called so.

    Raises:
        ConfigError: it cannot; says what a name is.
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ConfigError(
            f"a tier's name is up to 32 of a-z, 0-9, - and _, from a letter on, got {quoted(name)}"
        )
    return name


def check_tiers(layers: Sequence[int]) -> tuple[int, ...]:
    """The layers of one or more tiers, checked: whole numbers from 1 that do not descend.

    Equal neighbours are valid: the second has no layers of its own.

    Raises:
        ConfigError: none, not whole numbers, or out of order.
    """
    values = tuple(layers)
    if not values or not all(isinstance(value, Integral) for value in values):
        raise ConfigError(f"expected the tiers' exits, whole layer numbers, got {values!r}")
    checked = tuple(int(value) for value in values)
    if checked[0] < 1 or list(checked) != sorted(checked):
        raise ConfigError(
            f"the tiers' exits must be layers from 1 on, each at least as deep as the one before, "
            f"got {','.join(map(str, checked))}; give them from the shallowest to the deepest"
        )
    return checked
