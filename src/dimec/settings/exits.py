"""Which layers get a classifier, and which of these exits are the tiers'."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal

from dimec.base.errors import ConfigError, option
from dimec.tiers.names import check_names, tier_names
from dimec.tiers.tier import check_tiers

if TYPE_CHECKING:
    from dimec.settings.training import TrainingSettings


def check_loss(plan: TrainingSettings, exits: Sequence[int]) -> None:
    """Hold the recipe and the weights of the loss against the exits of a model.

    Raises:
        ConfigError: weights that do not fit the exits, or two stages for one exit.
    """
    if plan.recipe == "two-stage" and len(exits) == 1:
        raise ConfigError(
            f"the recipe 'two-stage' needs exits before the last, the model has only "
            f"{list(exits)}; use --recipe joint, which is the same as its first stage"
        )
    if plan.loss_weights is not None and len(plan.loss_weights) != len(exits):
        raise ConfigError(
            f"expected {len(exits)} loss weights, one for each of the exits {list(exits)}, "
            f"got {len(plan.loss_weights)}"
        )


def named_tiers(
    tiers: Sequence[int] | Mapping[str, int],
) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """The names and the exits of tiers that are given as layers, or as names with layers.

    Example:
        >>> named_tiers((2, 6)), named_tiers({"phone": 1, "dc": 6})
        ((('mobile', 'cloud'), (2, 6)), (('phone', 'dc'), (1, 6)))

    Raises:
        ConfigError: no layers in order, more than three without names, or a name that none can be.
    """
    if isinstance(tiers, Mapping):
        layers = check_tiers(tuple(tiers.values()))
        return check_names(tuple(tiers), len(layers)), layers
    if isinstance(tiers, str) or not isinstance(tiers, Sequence):
        raise ConfigError(
            f"expected the tiers' exits, or a table of names and exits, got {tiers!r:.60}"
        )
    layers = check_tiers(tiers)
    return tier_names(len(layers)), layers


def resolve_exits(
    exits: tuple[int, ...] | Literal["all"] | None,
    tiers: tuple[int, ...] | None,
    layers: int,
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The layers that get a classifier, and the exits of the tiers, the paper's (m, n, l).

    ``exits`` None stands for a third, a half and all of the layers (4, 6, 12 of 12, as in the
    paper); ``"all"`` for every layer. Three exits are the tiers themselves, and may repeat a layer
    where a tier is to be left out (3,3,6). More exits need ``tiers``, unless a third, a half and
    the last are among them. ``tiers`` may be any number of layers among the exits.

    Raises:
        ConfigError: out of order, beyond the last layer, without the last layer, or ambiguous.
    """
    default = (max(1, layers // 3), max(1, layers // 2), layers)
    chosen: tuple[int, ...]
    if exits is None:
        chosen = tiers or default
    elif exits == "all":
        chosen = tuple(range(1, layers + 1))
    else:
        chosen = exits
    if not chosen or any(b < a for a, b in itertools.pairwise(chosen)):
        raise ConfigError(f"{option('exits')} must go from shallow to deep, got {_listed(chosen)}")
    if chosen[0] < 1 or chosen[-1] > layers:
        raise ConfigError(
            f"{option('exits')} must be layers 1 to {layers} of this encoder, got {_listed(chosen)}"
        )
    if chosen[-1] != layers:
        raise ConfigError(
            f"the last exit must be the encoder's last layer, {layers}, which is the cloud's; "
            f"got {_listed(chosen)}"
        )
    heads = tuple(sorted(set(chosen)))
    return heads, _tiers_among(chosen, heads, tiers, default)


def _tiers_among(
    chosen: tuple[int, ...],
    heads: tuple[int, ...],
    tiers: tuple[int, ...] | None,
    default: tuple[int, ...],
) -> tuple[int, ...]:
    if tiers is not None:
        missing = [layer for layer in check_tiers(tiers) if layer not in heads]
        if missing:
            raise ConfigError(
                f"the tiers {_listed(tiers)} need an exit at layer {missing[0]}; "
                f"the exits are {_listed(heads)}"
            )
        return tiers
    if len(chosen) == 3:
        return check_tiers(chosen)
    if len(chosen) == 1:
        return (chosen[0], chosen[0], chosen[0])
    if set(default) <= set(heads):
        return default
    raise ConfigError(
        f"{len(chosen)} exits do not tell the tiers: say which are the exits of mobile, edge and "
        f"cloud with --tiers m,n,l, or of tiers with other names with --tiers phone=1,dc=6 "
        f"(exits: {_listed(heads)})"
    )


def _listed(values: tuple[int, ...]) -> str:
    return ",".join(str(value) for value in values) or "none"
