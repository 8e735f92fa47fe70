"""Settings of a run: frozen, checked, and kept as ``config.toml`` in the run directory."""

from __future__ import annotations

import itertools
import os
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Self

import tomli_w
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from dimec.costs import check_tiers
from dimec.errors import ConfigError, CorruptArtefactError, MissingArtefactError
from dimec.storage import atomic_write


class _Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class DataSettings(_Settings):
    """Where the labelled text comes from, and how it is split.

    ``train_rows`` is a file with the guids of the training rows to keep, as ``dimec map select``
    writes it; the split itself, and validation and test, stay as they are without it.
    """

    task: str
    data_dir: str | None = None
    text_column: str | None = None
    pair_column: str | None = None
    label_column: str | None = None
    split_column: str | None = None
    metric: str | None = None
    predefined_splits: bool = False
    max_train_rows: int | None = Field(None, ge=1)
    train_rows: str | None = None


class ModelSettings(_Settings):
    """The encoder and its exits.

    ``exits`` are layers with a classifier, ``"all"``, or None for a third, a half and the whole
    of the layers. ``tiers`` are the exits of mobile, edge and cloud; None lets ``exits`` tell.
    """

    backbone: str = "minilm-l6"
    exits: tuple[int, ...] | Literal["all"] | None = None
    tiers: tuple[int, int, int] | None = None
    head_pooling: Literal["cls", "mean"] = "mean"
    embedding_pooling: Literal["mean", "max"] = "mean"
    head_dropout: float = Field(0.1, ge=0, lt=1)
    max_tokens: int = Field(128, ge=8)

    @field_validator("embedding_pooling", mode="before")
    @classmethod
    def _not_cls(cls, value: object) -> object:
        if value == "cls":
            raise ValueError(
                "'cls' cannot route: before any layer the CLS vector is the same for every input; "
                "use 'mean' or 'max'"
            )
        return value


class TrainingSettings(_Settings):
    """The optimisation; Adam as in the paper (section V-C), AdamW once ``weight_decay`` is set.

    ``loss``: ``"joint"`` is the sum of the exits' cross-entropies (equation 3), weighed by
    ``loss_weights`` where they are given; ``"depth"`` is PABEE's Σ i·CE_i / Σ i with i the exit's
    layer (Zhou et al. 2020, arXiv 2006.04152).

    ``recipe``: ``"joint"`` trains everything at once. ``"two-stage"`` is DeeBERT's (Xin et al.
    2020, arXiv 2004.12993): first the encoder and the last exit alone, then the other
    exits alone on the frozen encoder; ``epochs`` and ``patience`` hold for each stage.
    ``exit_learning_rate`` is the second stage's, ``learning_rate`` if it is not given: that is as
    in the authors' code, but with few steps it leaves classifiers that start from nothing far from
    what they can learn.

    ``record_train``: keep the logits that the training passes themselves give of every training
    row, as Swayamdipta et al. (2020, arXiv 2009.10795) do, for ``dimec map select``.
    """

    epochs: int = Field(5, ge=2)
    batch_size: int = Field(16, ge=1)
    learning_rate: float = Field(5e-5, gt=0, lt=1)
    weight_decay: float = Field(0.0, ge=0)
    warmup: float = Field(0.1, ge=0, le=1)
    max_grad_norm: float = Field(1.0, gt=0)
    loss: Literal["joint", "depth"] = "joint"
    loss_weights: tuple[float, ...] | None = None
    recipe: Literal["joint", "two-stage"] = "joint"
    exit_learning_rate: float | None = Field(None, gt=0, lt=1)
    patience: int = Field(2, ge=0)  # 0: never stop early
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    record_train: bool = False

    @model_validator(mode="after")
    def _one_weighting(self) -> Self:
        if self.loss == "depth" and self.loss_weights is not None:
            raise ValueError("loss 'depth' has weights of its own; leave loss_weights out")
        if self.recipe == "two-stage" and (self.loss, self.loss_weights) != ("joint", None):
            raise ValueError(
                "the recipe 'two-stage' sums the exits' losses unweighted; leave loss and "
                "loss_weights out"
            )
        if self.recipe == "joint" and self.exit_learning_rate is not None:
            raise ValueError(
                "exit_learning_rate is of the second stage; it needs the recipe 'two-stage'"
            )
        return self


class RunSettings(_Settings):
    """Everything that determines a trained run."""

    data: DataSettings
    model: ModelSettings = Field(default_factory=ModelSettings)
    training: TrainingSettings = Field(default_factory=TrainingSettings)
    seed: int = Field(0, ge=0, lt=2**31)

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        """Check nested plain values.

        Raises:
            ConfigError: one line that names each setting that is wrong.
        """
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise ConfigError(_one_line(error)) from None

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a TOML file.

        Raises:
            MissingArtefactError: no such file.
            CorruptArtefactError: not TOML.
            ConfigError: unknown or wrong settings.
        """
        try:
            return cls.of(tomllib.loads(path.read_text("utf-8")))
        except FileNotFoundError:
            raise MissingArtefactError(
                f"{path} does not exist; make the run with: dimec train --out {path.parent}"
            ) from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise CorruptArtefactError(f"{path} is not valid TOML: {error}") from None

    def save(self, path: Path) -> None:
        """Write the settings as TOML; those that are None are left out."""
        atomic_write(path, tomli_w.dumps(self.model_dump(mode="json", exclude_none=True)))

    def differences(self, other: RunSettings) -> list[str]:
        """``"training.batch_size: 16 here, 32 there"`` for each setting that differs."""
        mine, theirs = _flat(self.model_dump(mode="json")), _flat(other.model_dump(mode="json"))
        return [
            f"{key}: {mine[key]!r} here, {theirs[key]!r} there"
            for key in mine
            if mine[key] != theirs[key]
        ]


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat


def _one_line(error: ValidationError) -> str:
    parts = []
    for item in error.errors():
        where = ".".join(str(part) for part in item["loc"])
        message = item["msg"].removeprefix("Value error, ")
        # A group of settings that do not go together is not quoted as a whole.
        got = "" if isinstance(item["input"], dict) else f" (got {item['input']!r})"
        parts.append(f"{where}: {message[0].lower()}{message[1:]}{got}")
    return "; ".join(parts)


def absolute_data(data: DataSettings) -> DataSettings:
    """The same settings with paths that hold from any working directory."""
    update: dict[str, str] = {}
    kind, _, rest = data.task.partition(":")
    if rest:
        update["task"] = f"{kind}:{Path(rest).resolve()}"
    folder = data.data_dir or (os.environ.get("DIMEC_DATA") if "glue" in kind else None)
    if folder:
        update["data_dir"] = str(Path(folder).resolve())
    if data.train_rows:
        update["train_rows"] = str(Path(data.train_rows).resolve())
    return data.model_copy(update=update)


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


def resolve_exits(
    exits: tuple[int, ...] | Literal["all"] | None,
    tiers: tuple[int, int, int] | None,
    layers: int,
) -> tuple[tuple[int, ...], tuple[int, int, int]]:
    """The layers that get a classifier, and the exits (m, n, l) of the tiers.

    ``exits`` None stands for a third, a half and all of the layers (4, 6, 12 of 12, as in the
    paper); ``"all"`` for every layer. Three exits are the tiers themselves, and may repeat a layer
    where a tier is to be left out (3,3,6). More exits need ``tiers``, unless a third, a half and
    the last are among them.

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
        raise ConfigError(f"exits must go from shallow to deep, got {_listed(chosen)}")
    if chosen[0] < 1 or chosen[-1] > layers:
        raise ConfigError(
            f"exits must be layers 1 to {layers} of this encoder, got {_listed(chosen)}"
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
    tiers: tuple[int, int, int] | None,
    default: tuple[int, int, int],
) -> tuple[int, int, int]:
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
        f"cloud with --tiers m,n,l (exits: {_listed(heads)})"
    )


def _listed(values: tuple[int, ...]) -> str:
    return ",".join(str(value) for value in values) or "none"
