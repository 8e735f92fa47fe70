"""Settings of a run: frozen, checked, and kept as ``config.toml`` in the run directory."""

from __future__ import annotations

import os
from collections.abc import Mapping
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

from dimec.base.errors import (
    ConfigError,
    CorruptArtefactError,
    MissingArtefactError,
    is_typed,
    option,
    quoted,
    typed_options,
)
from dimec.base.storage import atomic_write, expanded, parse_toml


class _Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class DataSettings(_Settings):
    """Where the labelled text comes from, and how it is split.

    ``task``, or ``train`` with ``validation``, ``test`` or both: files of their own, which are
    predefined splits.

    ``merge_labels``: labels whose names differ in case or white space only become one.
    ``train_rows`` is a file with the guids of the training rows to keep, as ``dimec map select``
    writes it; the split itself, and validation and test, stay as they are without it.
    ``max_eval_rows`` holds for the validation and the test split, each.

    ``split_column`` means predefined splits, and a file has them in a column only.
    ``predefined_splits`` is set with it, and refused without one.

    ``delimiter``, ``encoding`` and ``header`` say how a file is written where that is not certain;
    see :func:`dimec.data.tables.read_table`.
    """

    task: str | None = None
    train: str | None = None
    validation: str | None = None
    test: str | None = None
    data_dir: str | None = None
    text_column: str | None = None
    pair_column: str | None = None
    label_column: str | None = None
    split_column: str | None = None
    delimiter: str | None = None
    encoding: str | None = None
    header: bool = True
    metric: str | None = None
    merge_labels: bool = False
    predefined_splits: bool = False
    max_train_rows: int | None = Field(None, ge=1)
    max_eval_rows: int | None = Field(None, ge=1)
    train_rows: str | None = None

    @property
    def source(self) -> str | dict[str, str]:
        """What :func:`dimec.data.load_task` reads: a task, or split → file."""
        return self._parts if self.task is None else self.task

    @property
    def _parts(self) -> dict[str, str]:
        parts = {"train": self.train, "validation": self.validation, "test": self.test}
        return {split: file for split, file in parts.items() if file is not None}

    @property
    def name(self) -> str:
        """What messages call it."""
        return self.task or " + ".join(self._parts.values())

    @model_validator(mode="before")
    @classmethod
    def _a_column_means_splits(cls, values: Any) -> Any:
        if not isinstance(values, Mapping):
            return values
        if values.get("task") is None and values.get("train") is not None:
            if values.get("predefined_splits", True) is not True:
                raise ValueError("files for each split are predefined splits; leave the option out")
            return {**values, "predefined_splits": True}
        if values.get("split_column") is None:
            return values
        if values.get("predefined_splits", True) is not True:
            raise ValueError(
                f"{option('predefined_splits')} = false leaves {option('split_column')} without "
                "effect; leave one of them out (a run that was trained so did not heed its column: "
                "train again)"
            )
        return {**values, "predefined_splits": True}

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        others = {"validation": self.validation, "test": self.test}
        given = [option(split) for split, file in others.items() if file is not None]
        if self.task is not None and (self.train is not None or given):
            raise ValueError(
                f"give either {option('task')} or files for each split, not both (got "
                f"{', '.join([option('train')] * (self.train is not None) + given)} too)"
            )
        if self.task is None and (self.train is None or not given):
            raise ValueError(
                f"expected {option('task')}, or {option('train')} with {option('validation')} or "
                f"{option('test')} or both; say what to train on"
            )
        if self.task is None and self.split_column is not None:
            raise ValueError(
                f"{option('split_column')} does not go with files for each split; leave it out"
            )
        return self

    @model_validator(mode="after")
    def _splits_of_a_file_are_in_a_column(self) -> Self:
        if names_file(self.task) and self.predefined_splits and self.split_column is None:
            raise ValueError(
                f"{option('predefined_splits')} needs the column of a file that says which row is "
                f"in which split; name it with {option('split_column')}, or leave the option out"
            )
        return self


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
            raise ValueError(
                f"{option('loss')} 'depth' has weights of its own; leave "
                f"{option('loss_weights')} out"
            )
        if self.recipe == "two-stage" and (self.loss, self.loss_weights) != ("joint", None):
            raise ValueError(
                f"the recipe 'two-stage' sums the exits' losses unweighted; leave {option('loss')} "
                f"and {option('loss_weights')} out"
            )
        if self.recipe == "joint" and self.exit_learning_rate is not None:
            raise ValueError(
                f"{option('exit_learning_rate')} is of the second stage; it needs the recipe "
                "'two-stage'"
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
            if path.exists() and not path.is_file():  # a device has no end
                raise CorruptArtefactError(f"{path} cannot be read: it is no regular file")
            values = parse_toml(path.read_bytes())
        except FileNotFoundError:
            raise MissingArtefactError(
                f"{path} does not exist; make the run with: dimec train --out {path.parent}"
            ) from None
        except OSError as error:
            raise CorruptArtefactError(f"{path} cannot be read: {error.strerror}") from None
        except ValueError as error:
            raise CorruptArtefactError(f"{path} is not valid TOML: {error}") from None
        try:
            with typed_options({}):  # a file's settings have the names that stand in it
                return cls.of(values)
        except ConfigError as error:
            raise ConfigError(f"{path}: {error}") from None

    def save(self, path: Path) -> None:
        """Write the settings as TOML; those that are None are left out."""
        atomic_write(path, tomli_w.dumps(self.model_dump(mode="json", exclude_none=True)))

    def differences(self, other: RunSettings) -> list[str]:
        """``"training.batch_size: 16 here, 32 there"`` for each setting that differs."""
        mine, theirs = _flat(self.model_dump(mode="json")), _flat(other.model_dump(mode="json"))
        return [
            f"{_named(tuple(key.split('.')))}{mine[key]!r} here, {theirs[key]!r} there"
            for key in mine
            if mine[key] != theirs[key]
        ]


# The groups of settings by name; no two have a setting of the same name.
GROUPS: dict[str, type[BaseModel]] = {
    "data": DataSettings,
    "model": ModelSettings,
    "training": TrainingSettings,
}


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
        message = item["msg"].removeprefix("Value error, ")
        # A group of settings that do not go together is not quoted as a whole.
        got = "" if isinstance(item["input"], dict) else f" (got {quoted(item['input'], 100)})"
        parts.append(f"{_named(item['loc'])}{message[0].lower()}{message[1:]}{got}")
    return "; ".join(parts)


def _named(place: tuple[int | str, ...]) -> str:
    """What begins a complaint: ``model.max_tokens: ``, or ``--max-tokens: `` where it is typed.

    A group as a whole has no name there: the complaint itself names its options.
    """
    names = [str(part) for part in place]
    if (setting := next(filter(is_typed, names[:2]), None)) is not None:
        return f"{option(setting)}: "
    group = GROUPS.get(names[0]) if len(names) == 1 else None
    if group is not None and any(map(is_typed, group.model_fields)):
        return ""
    return f"{'.'.join(names)}: "


def names_file(task: str | None) -> bool:
    """Whether a task is a file: ``csv:reviews.csv`` or ``reviews.csv``.

    The tasks with names have neither a colon nor an ending.
    """
    return task is not None and (":" in task or Path(task).suffix != "")


def absolute_data(data: DataSettings) -> DataSettings:
    """The same settings with paths that hold from any working directory."""
    update: dict[str, str] = {}
    for key in ("task", "train", "validation", "test"):
        if names_file(given := getattr(data, key)):
            kind, colon, rest = given.partition(":")
            path = expanded(rest if colon else given).resolve()
            update[key] = f"{kind}:{path}" if colon else str(path)
    from_environment = data.task is not None and data.task.startswith("glue")
    folder = data.data_dir or (os.environ.get("DIMEC_DATA") if from_environment else None)
    if folder:
        update["data_dir"] = str(expanded(folder).resolve())
    if data.train_rows:
        update["train_rows"] = str(expanded(data.train_rows).resolve())
    return data.model_copy(update=update)
