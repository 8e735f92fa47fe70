"""Everything that determines a run, kept as ``config.toml`` in its directory."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Self

import tomli_w
from pydantic import ConfigDict, Field, ValidationError, model_validator

from dimec.base.errors import (
    ConfigError,
    CorruptArtefactError,
    MissingArtefactError,
    is_typed,
    option,
    quoted,
    typed_options,
)
from dimec.settings.base import Settings
from dimec.settings.data import DataSettings
from dimec.settings.distillation import DistillationSettings
from dimec.settings.model import ModelSettings
from dimec.settings.option import Option
from dimec.settings.tiers import TierSettings, check_own_tiers, own_tiers_of
from dimec.settings.training import TrainingSettings


class RunSettings(Settings):
    """Everything that determines a trained run.

    ``tier``, in a file the tables ``[[tiers]]``: tiers with a model each, nearest first, in place
    of ``exits`` and ``tiers`` of one model. They mean the recipe ``own``, and ``backbone`` is the
    first one's.
    """

    model_config = ConfigDict(populate_by_name=True)

    data: DataSettings
    model: ModelSettings = Field(default_factory=ModelSettings)
    training: TrainingSettings = Field(default_factory=TrainingSettings)
    distillation: DistillationSettings = Field(default_factory=DistillationSettings)
    tier: Annotated[
        tuple[TierSettings, ...],
        Field(alias="tiers"),
        Option(
            "A tier with a model of its own, nearest first, once for each: {example}; without "
            "layers all of its encoder's; cloud=hf:NAME takes a classifier as it is.",
            example="phone=minilm-l6:2",
            parse=own_tiers_of,
            repeated=True,
            panel="Model",
        ),
    ] = ()
    seed: Annotated[
        int,
        Field(ge=0, lt=2**31),
        Option("Of the split, the initialisation and the order; default {default}."),
    ] = 0

    @model_validator(mode="before")
    @classmethod
    def _own_tiers_mean_a_recipe(cls, values: Any) -> Any:
        """Tiers with a model each mean the recipe ``own``, and the first one's encoder."""
        tiers = values.get("tiers", values.get("tier")) if isinstance(values, Mapping) else None
        if not tiers:
            return values
        model, training = (dict(values.get(name) or {}) for name in ("model", "training"))
        for name in ("exits", "tiers"):
            if model.get(name) is not None:
                raise ValueError(
                    f"{option('tier')} says where the tiers end; leave {option(name)} out"
                )
        first = (
            tiers[0].model if isinstance(tiers[0], TierSettings) else dict(tiers[0]).get("model")
        )
        if model.setdefault("backbone", first) != first:
            raise ValueError(
                f"{option('tier')} names the encoder of each tier; leave {option('backbone')} out"
            )
        if training.setdefault("recipe", "own") != "own":
            raise ValueError(
                f"{option('tier')} gives each tier a model of its own, which is the recipe 'own'; "
                f"leave {option('recipe')} out"
            )
        return {**values, "model": model, "training": training}

    @model_validator(mode="after")
    def _tiers_go_together(self) -> Self:
        if self.tier:
            check_own_tiers(self.tier)
        return self

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
        from dimec.base.storage import parse_toml  # not for nothing: it imports numpy

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
        from dimec.base.storage import atomic_write

        atomic_write(path, tomli_w.dumps(self.to_json(exclude_none=True)))

    def to_json(self, *, exclude_none: bool = False) -> dict[str, Any]:
        """JSON values, as a file of settings has them."""
        values = self.model_dump(mode="json", by_alias=True, exclude_none=exclude_none)
        if not self.tier:
            del values["tiers"]
        return values

    def differences(self, other: RunSettings) -> list[str]:
        """``"training.batch_size: 16 here, 32 there"`` for each setting that differs."""
        mine, theirs = _flat(self.to_json()), _flat(other.to_json())
        return [
            f"{_named(tuple(key.split('.')))}{mine.get(key)!r} here, {theirs.get(key)!r} there"
            for key in mine | theirs
            if mine.get(key) != theirs.get(key)
        ]


# The groups of settings by name; no two have a setting of the same name.
GROUPS: dict[str, type[Settings]] = {
    "data": DataSettings,
    "model": ModelSettings,
    "training": TrainingSettings,
    "distillation": DistillationSettings,
}


def _flat(values: Mapping[str, Any]) -> dict[str, Any]:
    """Settings by group and name; a setting that is itself a table stays whole."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if key in GROUPS:
            flat |= {f"{key}.{name}": setting for name, setting in value.items()}
        else:
            flat[key] = value
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
    if not place:  # settings of several groups, which the complaint names
        return ""
    names = [str(part) for part in place]
    if (setting := next(filter(is_typed, names[:2]), None)) is not None:
        return f"{option(setting)}: "
    group = GROUPS.get(names[0]) if len(names) == 1 else None
    if group is not None and any(map(is_typed, group.model_fields)):
        return ""
    return f"{'.'.join(names)}: "
