"""What an answer costs, in units of λ (the price of one layer at the edge).

The paper (sections IV-C and V-D) charges an input for the layers that run on the mobile (λ_m each)
or at the edge (λ_e each), for sending it to the edge (o_e) or to the cloud (o_c), and a constant γ
for the cloud's service. It gives λ_m = 1.5, λ_e = 1, o_e = 2.5 and o_c = 3, and leaves γ open.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from dimec.base.errors import ConfigError, option
from dimec.tiers.names import check_names, tier_names
from dimec.tiers.tier import LARGEST_PRICE, Tier, check_tiers


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

    def for_exits(self, *layers: int) -> tuple[float, ...]:
        """Prices of an answer from each tier (equation 5): λ_m·m, λ_e·n + o_e, o_c + γ.

        Args:
            layers: of each tier, from the shallowest to the deepest; the paper's are m, n, l.

        Raises:
            ConfigError: the layers are out of order.
        """
        numbered = [f"tier-{k}" for k in range(1, len(layers) + 1)]  # a price needs no name
        return tuple(tier.price for tier in self.tiers(layers, numbered))

    def tiers(
        self,
        layers: Sequence[int],
        names: Sequence[str] | None = None,
        *,
        sources: Sequence[str] = (),
        scales: Sequence[float] = (),
    ) -> tuple[Tier, ...]:
        """The tiers that these layers make, at these prices.

        The first runs on the device, at λ_m a layer; the last is the cloud, at o_c + γ. The paper
        has one tier between them, the edge, at λ_e a layer and o_e; that more tiers in between
        cost the same each is dimec's extension. A single tier is the device.

        Args:
            layers: of each tier, from the shallowest to the deepest where they are of one model.
            names: of the tiers; by default those of :func:`dimec.tiers.names.tier_names`.
            sources: the model of each; all one model by default.
            scales: what the price of a layer of each is multiplied by
                (:attr:`dimec.tiers.pricing.Pricing.scales`); 1 by default. γ is of the last tier's
                own layers.

        Raises:
            ConfigError: layers of one model out of order, not one name, source and scale each, or
                a name twice.
        """
        models, checked = tuple(sources) or ("",) * len(layers), _layers(layers, sources)
        called = tier_names(len(checked)) if names is None else check_names(names, len(checked))
        factors = tuple(scales) or (1.0,) * len(checked)
        if not len(models) == len(factors) == len(checked):
            raise ConfigError(
                f"{len(checked)} tiers need as many sources and scales, got {len(models)} and "
                f"{len(factors)}"
            )
        return tuple(
            replace(
                self._tier(name, layer, scale, first=k == 0, last=k == len(checked) - 1),
                source=source,
            )
            for k, (name, layer, source, scale) in enumerate(
                zip(called, checked, models, factors, strict=True)
            )
        )

    def _tier(self, name: str, layer: int, scale: float, *, first: bool, last: bool) -> Tier:
        if first:
            return Tier(name, layer, layer_price=_scaled(self.mobile_layer, scale))
        if last:
            charge = self.charge(layer)
            return Tier(name, layer, send_price=self.offload_cloud, visit_price=charge)
        price = _scaled(self.edge_layer, scale)
        return Tier(name, layer, layer_price=price, send_price=self.offload_edge)


def _layers(layers: Sequence[int], sources: Sequence[str]) -> tuple[int, ...]:
    """The layers, checked; those of different models need not ascend."""
    if len(set(sources)) < 2:
        return check_tiers(layers)
    return tuple(check_tiers((layer,))[0] for layer in layers)


def _scaled(price: float, scale: float) -> float:
    """A price as it was given, where it is not scaled."""
    return price if scale == 1 else price * scale


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


def check_lambda(lam: float, keyword: str = "lam") -> float:
    """``lam`` itself, if it is a finite number of at least 0; ConfigError names the keyword."""
    if not (math.isfinite(lam) and lam >= 0):
        raise ConfigError(
            f"{option(keyword)} must be a finite number of at least 0, got {lam!r}; "
            "values from 0.005 to 0.03 are useful, since a confidence is at most 1"
        )
    return float(lam)
