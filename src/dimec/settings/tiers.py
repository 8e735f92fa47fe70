"""Tiers with a model each: which encoder runs where, and how many of its layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import Field, field_validator

from dimec.base.errors import ConfigError, option, quoted
from dimec.settings.base import Settings
from dimec.tiers.tier import check_tier_name

# Before the name or folder of a classifier that is taken as somebody else has fine-tuned it.
READY = "hf:"
_FORM = "NAME=ENCODER:LAYERS, NAME=ENCODER or NAME=hf:CLASSIFIER"


class TierSettings(Settings):
    """A tier and its model.

    Attributes:
        name: of the tier.
        model: a packaged encoder, a folder or a hub name, which is fine-tuned; or ``hf:`` with a
            folder or hub name behind it, a classifier that is taken as it is.
        layer: how many of the encoder's layers run here, from the embeddings on; None: all.
    """

    name: str
    model: str = Field(min_length=1)
    layer: int | None = Field(None, ge=1)

    @field_validator("name")
    @classmethod
    def _is_a_name(cls, value: str) -> str:
        try:
            return check_tier_name(value)
        except ConfigError as error:
            raise ValueError(str(error)) from None

    @property
    def ready(self) -> bool:
        """Whether its model is a classifier that is taken as it is."""
        return self.model.startswith(READY)

    @property
    def source(self) -> str:
        """The name or folder of its model."""
        return self.model.removeprefix(READY)


def check_own_tiers(tiers: Sequence[TierSettings]) -> None:
    """Refuse tiers that do not go together.

    Raises:
        ValueError: one tier, a name twice, layers of a classifier that is taken as it is, or such
            a classifier on the first tier.
    """
    names = [tier.name for tier in tiers]
    if len(tiers) < 2:
        raise ValueError(
            f"{option('tier')}: expected two tiers or more, nearest first, got {', '.join(names)}"
        )
    if len(set(names)) < len(names):
        raise ValueError(f"{option('tier')}: expected a name of its own for each, got {names}")
    for tier in tiers:
        if tier.ready and tier.layer is not None:
            raise ValueError(
                f"{option('tier')}: the classifier of {tier.name} is taken as it is, with all of "
                "its layers; leave their number out"
            )
    if tiers[0].ready:
        raise ValueError(
            f"{option('tier')}: the model of the first tier, {names[0]}, is trained here, since "
            "the data map is drawn of its training; give an encoder"
        )


def own_tiers_of(
    option_: str, typed: str | Sequence[str], example: str = "phone=minilm-l6:2"
) -> tuple[Mapping[str, Any], ...]:
    """``{"name": "phone", "model": "minilm-l6", "layer": 2}`` for ``phone=minilm-l6:2``, and so on.

    Raises:
        ConfigError: of another form.
    """
    return tuple(
        _own_tier(option_, text, example) for text in ([typed] if isinstance(typed, str) else typed)
    )


def _own_tier(option_: str, text: str, example: str) -> dict[str, Any]:
    name, equals, rest = (part.strip() for part in text.partition("="))
    model, colon, layers = (part.strip() for part in rest.rpartition(":"))
    if not (colon and layers.isdecimal() and model != READY[:-1]):
        model, layers = rest, ""
    if not (name and equals and model.removeprefix(READY)):
        raise ConfigError(f"{option_}: expected {_FORM}, such as {example}, got {quoted(text)}")
    tier: dict[str, Any] = {"name": name, "model": model}
    return tier | ({"layer": int(layers)} if layers else {})
