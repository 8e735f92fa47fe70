"""Everything that determines a run, kept as ``config.toml`` in its directory."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Self

import tomli_w
from pydantic import Field, ValidationError

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
from dimec.settings.model import ModelSettings
from dimec.settings.option import Option
from dimec.settings.training import TrainingSettings


class RunSettings(Settings):
    """Everything that determines a trained run."""

    data: DataSettings
    model: ModelSettings = Field(default_factory=ModelSettings)
    training: TrainingSettings = Field(default_factory=TrainingSettings)
    seed: Annotated[
        int,
        Field(ge=0, lt=2**31),
        Option("Of the split, the initialisation and the order; default {default}."),
    ] = 0

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
GROUPS: dict[str, type[Settings]] = {
    "data": DataSettings,
    "model": ModelSettings,
    "training": TrainingSettings,
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
    names = [str(part) for part in place]
    if (setting := next(filter(is_typed, names[:2]), None)) is not None:
        return f"{option(setting)}: "
    group = GROUPS.get(names[0]) if len(names) == 1 else None
    if group is not None and any(map(is_typed, group.model_fields)):
        return ""
    return f"{'.'.join(names)}: "
