"""What an answer costs, in units of λ (the price of one layer at the edge).

The paper (sections IV-C and V-D) charges an input for the layers that run on the mobile (λ_m each)
or at the edge (λ_e each), for sending it to the edge (o_e) or to the cloud (o_c), and a constant γ
for the cloud's service. It gives λ_m = 1.5, λ_e = 1, o_e = 2.5 and o_c = 3, and leaves γ open.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from dimec.base.errors import ConfigError, option

MOBILE, EDGE, CLOUD = 0, 1, 2
TIER_NAMES = ("mobile", "edge", "cloud")
LARGEST_PRICE = 1e12  # so that no sum of costs leaves what a number can hold


class Tier(NamedTuple):
    """A place that can answer: its name, its exit (a layer), and the price of an answer in λ."""

    name: str
    exit: int
    price: float


@dataclass(frozen=True)
class CostModel:
    """The paper's cost structure, in units of λ.

    Attributes:
        mobile_layer: λ_m, the price of one layer on the mobile.
        edge_layer: λ_e, the price of one layer at the edge.
        offload_edge: o_e, the price of sending an input from the mobile to the edge.
        offload_cloud: o_c, the price of sending an input from the mobile to the cloud.
        cloud_charge: γ, what the cloud charges for an answer. The paper does not give it; None
            stands for λ_m·l - o_c, dimec's choice: the value at which the paper's two definitions
            of its baseline (the whole model on the mobile, and in the cloud) cost the same.

    Raises:
        ConfigError: a price is negative, not a finite number, or above 1e12.
    """

    mobile_layer: float = 1.5
    edge_layer: float = 1.0
    offload_edge: float = 2.5
    offload_cloud: float = 3.0
    cloud_charge: float | None = None

    def __post_init__(self) -> None:
        for name in ("mobile_layer", "edge_layer", "offload_edge", "offload_cloud", "cloud_charge"):
            value = getattr(self, name)
            if value is not None and not 0 <= value <= LARGEST_PRICE:
                raise ConfigError(
                    f"the cost {option(name)} must be a finite number of at least 0, got "
                    f"{value!r}; prices go up to {LARGEST_PRICE:.0e}"
                )

    def charge(self, layers: int) -> float:
        """γ for a model of ``layers`` layers: as set, or max(0, λ_m·l - o_c)."""
        if self.cloud_charge is not None:
            return self.cloud_charge
        return max(0.0, self.mobile_layer * layers - self.offload_cloud)

    def for_exits(self, m: int, n: int, l: int) -> tuple[float, float, float]:  # noqa: E741
        """Prices of an answer from mobile, edge and cloud (equation 5): λ_m·m, λ_e·n+o_e, o_c+γ.

        Args:
            m: layers on the mobile.
            n: layers at the edge.
            l: layers of the whole model, in the cloud; 1 ≤ m ≤ n ≤ l.

        Raises:
            ConfigError: the exits are out of order.
        """
        check_tiers((m, n, l))
        return (
            float(self.mobile_layer * m),
            float(self.edge_layer * n + self.offload_edge),
            float(self.offload_cloud + self.charge(l)),
        )

    def tiers(self, exits: Sequence[int]) -> tuple[Tier, ...]:
        """The three tiers with their exits and prices."""
        m, n, l = check_tiers(exits)  # noqa: E741
        return tuple(
            Tier(name, exit_, price)
            for name, exit_, price in zip(
                TIER_NAMES, (m, n, l), self.for_exits(m, n, l), strict=True
            )
        )


def check_tiers(exits: Sequence[int]) -> tuple[int, int, int]:
    """The exits (m, n, l) of the three tiers, checked: whole numbers with 1 ≤ m ≤ n ≤ l.

    Equal neighbours are valid: m = n leaves out a tier of its own at the edge, n = l in the cloud.

    Raises:
        ConfigError: not three whole numbers, or out of order.
    """
    values = tuple(exits)
    if len(values) != 3 or not all(isinstance(value, Integral) for value in values):
        raise ConfigError(f"expected three exits m,n,l (whole layer numbers), got {values!r}")
    m, n, l = (int(value) for value in values)  # noqa: E741
    if not 1 <= m <= n <= l:
        raise ConfigError(
            f"the exits of mobile, edge and cloud must satisfy 1 <= m <= n <= l, got "
            f"m={m}, n={n}, l={l}; give them from the shallowest to the deepest"
        )
    return m, n, l


def check_tier_names(names: Collection[str], purpose: str) -> None:
    """Refuse what is no tier's name.

    Raises:
        ConfigError: names the first, and what it was given for.
    """
    if unknown := set(names) - set(TIER_NAMES):
        raise ConfigError(
            f"expected the tiers {', '.join(TIER_NAMES)} for {purpose}, got {min(unknown)!r}"
        )


def rewards(
    confidences: npt.NDArray[np.floating], prices: Sequence[float], lam: float
) -> npt.NDArray[np.float64]:
    """Reward of answering each sample at each tier: C - λ·price (equation 5).

    Args:
        confidences: (N, K) largest class probability at each tier's exit.
        prices: K prices in units of λ.
        lam: λ, the weight of one unit of cost against confidence; at least 0.

    Returns:
        (N, K) float64.

    Raises:
        ConfigError: as many prices as columns are needed, and λ of at least 0.
    """
    c, p = np.asarray(confidences, np.float64), np.asarray(prices, np.float64)
    if c.ndim != 2 or p.shape != c.shape[1:]:
        raise ConfigError(f"expected one price for each column of {c.shape}, got {p.shape}")
    return c - check_lambda(lam) * p


def check_lambda(lam: float) -> float:
    """``lam`` itself, if it is a finite number of at least 0; ConfigError otherwise."""
    if not (math.isfinite(lam) and lam >= 0):
        raise ConfigError(
            f"lambda must be a finite number of at least 0, got {lam!r}; "
            "values from 0.005 to 0.03 are useful, since a confidence is at most 1"
        )
    return float(lam)
