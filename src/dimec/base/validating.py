"""Values checked by a pydantic model, with an error of one line where they are refused."""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from dimec.base.errors import ConfigError, CorruptArtefactError, option, shown

M = TypeVar("M", bound=BaseModel)


def from_file(model: type[M], value: object, refused: str, remedy: str) -> M:
    """The model of what was read from a file.

    Args:
        model: what it must be.
        value: of JSON.
        refused: begins the message: ``"bundles/mine/manifest.json is no manifest"``.
        remedy: ends it.

    Raises:
        CorruptArtefactError: names the first field that is not what it must be.
    """
    try:
        return model.model_validate(value)
    except ValidationError as error:
        place, problem = _first(error)
        where = shown(".".join(place) or "the whole", 60)
        raise CorruptArtefactError(
            f"{refused} that this version of dimec reads ({where}: {shown(problem, 120)}); {remedy}"
        ) from None


def from_options(model: type[M], values: dict[str, Any]) -> M:
    """The model of options by keyword.

    Raises:
        ConfigError: names the first option that is wrong as its reader gives it, and never shows
            what was given: that may be a secret.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        place, problem = _first(error)
        where = "".join(f"{option(part)}: " for part in place)
        raise ConfigError(f"{where}{problem.removeprefix('Value error, ')}") from None


def _first(error: ValidationError) -> tuple[list[str], str]:
    """Where the first fault is, and what."""
    first = error.errors(include_url=False, include_input=False)[0]
    return [str(part) for part in first["loc"]], first["msg"]
