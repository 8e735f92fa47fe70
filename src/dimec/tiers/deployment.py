"""A deployment: an ordered tuple of tiers, and what a usage costs on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np

from dimec.base.arrays import FloatArray
from dimec.base.errors import ConfigError
from dimec.tiers.costs import CostModel
from dimec.tiers.names import check_names
from dimec.tiers.pricing import Pricing
from dimec.tiers.tier import Tier, check_tiers
from dimec.tiers.usage import Usage


@dataclass(frozen=True)
class Deployment:
    """N ≥ 1 tiers from the device on: where the layers stand and what they cost.

    Attributes:
        tiers: the first is where inputs arrive, the last the reference that answers everything.
        priced_by: the structure of costs that made the tiers' prices, where one did.
        pricing: how the layers of models of their own are priced; None where tiers share one.

    Raises:
        ConfigError: no tier, one name twice, or tiers of one model out of order.

    Example:
        >>> deployment = Deployment.paper((2, 3, 6))
        >>> deployment.names, deployment.prices
        (('mobile', 'edge', 'cloud'), (3.0, 5.5, 9.0))
    """

    tiers: tuple[Tier, ...]
    priced_by: CostModel | None = None
    pricing: Pricing | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "tiers", tuple(self.tiers))
        if not self.tiers:
            raise ConfigError("a deployment needs at least one tier, got none")
        check_names(self.names, len(self.tiers))
        for source in dict.fromkeys(self.sources):
            check_tiers([tier.layer for tier in self.tiers if tier.source == source])

    @classmethod
    def paper(
        cls,
        exits: Sequence[int],
        costs: CostModel | None = None,
        names: Sequence[str] | None = None,
        *,
        sources: Sequence[str] = (),
        pricing: Pricing | None = None,
    ) -> Self:
        """The paper's structure of costs on one model that is cut at these exits, or on several.

        Args:
            exits: (m, n, l), or the layers of any number of tiers; of models of their own the
                layers need not ascend.
            costs: the prices; the paper's by default.
            names: of the tiers; see :func:`dimec.tiers.names.tier_names`.
            sources: the model of each tier; all one model by default.
            pricing: how layers of models that differ are priced; all alike by default.

        Raises:
            ConfigError: exits out of order, not one name and source each, or a rule of prices of
                other tiers.
        """
        model = costs or CostModel()
        scales = () if pricing is None else pricing.scales
        tiers = model.tiers(exits, names, sources=sources, scales=scales)
        return cls(tiers, model, pricing)

    def to_json(self) -> list[dict[str, Any]]:
        """The tiers as JSON values."""
        return [asdict(tier) for tier in self.tiers]

    @classmethod
    def of_json(
        cls,
        tiers: Any,
        costs: Mapping[str, Any] | None = None,
        pricing: Mapping[str, Any] | None = None,
    ) -> Self:
        """The deployment of what :meth:`to_json` gave.

        Args:
            tiers: the JSON values.
            costs: the fields of the structure of costs behind them, where there is one.
            pricing: what :meth:`dimec.tiers.pricing.Pricing.to_json` gave, where there was a rule.

        Raises:
            ConfigError: they are no tiers, or no such rule.
        """
        try:
            made = tuple(Tier(**tier) for tier in tiers)
            rule = None if pricing is None else Pricing.of_json(pricing)
            return cls(made, None if costs is None else CostModel(**costs), rule)
        except TypeError as error:
            raise ConfigError(f"these are no tiers ({error})") from None

    def __len__(self) -> int:
        return len(self.tiers)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Of the tiers, in order."""
        return tuple(tier.name for tier in self.tiers)

    @cached_property
    def exits(self) -> tuple[int, ...]:
        """The layer at whose exit each tier answers."""
        return tuple(tier.layer for tier in self.tiers)

    @cached_property
    def sources(self) -> tuple[str, ...]:
        """The model behind each tier."""
        return tuple(tier.source for tier in self.tiers)

    @cached_property
    def prices(self) -> tuple[float, ...]:
        """Of an answer from each tier, where nothing ran before (equation 5)."""
        return tuple(tier.price for tier in self.tiers)

    @property
    def last(self) -> int:
        """Position of the last tier."""
        return len(self.tiers) - 1

    @property
    def costs(self) -> CostModel:
        """The structure of costs behind the prices.

        Raises:
            ConfigError: the tiers have prices of their own.
        """
        if self.priced_by is None:
            raise ConfigError("these tiers have prices of their own, not the paper's structure")
        return self.priced_by

    @property
    def layers(self) -> int:
        """l, the layers of the last tier: of the whole model, where there is one."""
        return self.tiers[-1].layer

    @property
    def charge(self) -> float:
        """γ, what the last tier charges for an answer of the whole model."""
        return self.tiers[-1].visit_price

    def price(self, usage: Usage) -> FloatArray:
        """(N,) cost in units of λ of what each answer took.

        Σ over the tiers of (price of a layer)·layers + (of sending)·sent + (of a visit)·charges;
        with the paper's tiers λ_m·layers + λ_e·layers + o_e·sent + o_c·sent + γ·charges
        (sections IV-C and V-D of the paper).
        """
        if usage.layers.shape[1] != len(self.tiers):
            raise ConfigError(
                f"a usage of {usage.layers.shape[1]} tiers has no price on the tiers "
                f"{', '.join(self.names)}"
            )
        total = np.zeros(len(usage))
        for k, tier in enumerate(self.tiers):
            total += tier.layer_price * usage.layers[:, k]
            total += tier.send_price * usage.sent[:, k]
            total += tier.visit_price * usage.charges[:, k]
        return total
