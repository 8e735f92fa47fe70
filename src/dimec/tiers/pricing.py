"""What a layer costs on tiers whose models differ in width: the paper's price, by operations.

The paper prices a layer (λ_m on the mobile, λ_e at the edge) of one model that is cut in parts, so
all layers are alike. Where tiers have models of their own they are not, and a layer of 384 numbers
is no layer of 768. So the price of a layer of tier k is the paper's, times

    F_k(T) / F_K(T),    T = 128 tokens

with F_k the operations of a layer of tier k's encoder (:meth:`ModelShape.layer_flops`) and K the
last tier, whose model answers everything in the reference. The last tier's own price, o_c + γ, is
of its own layers and stays. Where all widths are equal the ratio is 1, and so nothing changes. The
rule is dimec's extension, and not the paper's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Self, get_args

from dimec.base.errors import ConfigError, option, quoted
from dimec.tiers.latency import RATE_TOKENS, ModelShape

PriceBy = Literal["layers", "operations"]
OPERATIONS: PriceBy = "operations"


@dataclass(frozen=True)
class Pricing:
    """How the layers of tiers with models of their own are priced.

    Attributes:
        by: ``"operations"``, as the module says, or ``"layers"``: a layer is a layer.
        shapes: of each tier's layers by the tier's name, nearest first.
        set_apart: names of tiers whose prices the user has set, whatever the rule says.

    Raises:
        ConfigError: another rule, or no tier.

    Example:
        >>> shapes = {"phone": ModelShape.of_width(384), "cloud": ModelShape.of_width(768)}
        >>> Pricing("operations", shapes).scales
        (0.25675675675675674, 1.0)
    """

    by: PriceBy
    shapes: Mapping[str, ModelShape] = field(hash=False)
    set_apart: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_price_by(self.by)
        if not self.shapes:
            raise ConfigError("prices by operations need the shape of a layer of every tier")

    @property
    def scales(self) -> tuple[float, ...]:
        """What the paper's price of a layer is multiplied by, for each tier."""
        if self.by == "layers":
            return (1.0,) * len(self.shapes)
        work = [float(shape.layer_flops(RATE_TOKENS)) for shape in self.shapes.values()]
        return tuple(one / work[-1] for one in work)

    def told(self) -> str:
        """The rule and its ratios, for a reader."""
        apart = f"; the prices of {', '.join(self.set_apart)} were set" if self.set_apart else ""
        names = list(self.shapes)
        if self.by == "layers":
            return (
                "A layer is priced alike on every model, as the paper prices it, whatever its "
                f"width{apart}."
            )
        ratios = ", ".join(f"{n} {s:.3g}" for n, s in zip(names, self.scales, strict=True))
        return (
            "The price of a layer is the paper's, times its operations over those of a layer of "
            f"the {names[-1]}, at {RATE_TOKENS} tokens: {ratios}{apart}."
        )

    def to_json(self) -> dict[str, Any]:
        """The rule, what goes into it and what comes of it, as JSON values."""
        return {
            "by": self.by,
            "tokens": RATE_TOKENS,
            "shapes": {name: asdict(shape) for name, shape in self.shapes.items()},
            "scales": dict(zip(self.shapes, self.scales, strict=True)),
            "set": list(self.set_apart),
        }

    @classmethod
    def of_json(cls, stored: Any) -> Self:
        """What :meth:`to_json` gave.

        Raises:
            ConfigError: it is no such record.
        """
        try:
            shapes = {str(name): ModelShape(**shape) for name, shape in stored["shapes"].items()}
            return cls(stored["by"], shapes, tuple(map(str, stored.get("set", ()))))
        except (TypeError, KeyError, AttributeError) as error:
            raise ConfigError(f"this is no rule of prices ({error!r})") from None


def check_price_by(by: str) -> PriceBy:
    """``by`` itself, if it is a rule.

    Raises:
        ConfigError: it is none.
    """
    for known in get_args(PriceBy):
        if by == known:
            return known  # type: ignore[no-any-return]
    raise ConfigError(
        f"{option('price_by')}: expected {' or '.join(get_args(PriceBy))}, got {quoted(by)}"
    )
