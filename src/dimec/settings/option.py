"""How a setting is typed on a command line: its help, its spelling and its parser, beside it.

A model of settings, of pydantic or a dataclass, carries an :class:`Option` in the annotation of
each field, and the commands make their options of that.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from dimec.base.errors import option

# (option as it is typed, text or all that was typed, example for the complaint) -> value
Parser = Callable[[str, Any, str], Any]

_TYPED = (bool, int, float)


@dataclass(frozen=True)
class Option:
    """What a setting says of itself.

    Attributes:
        text: its help, in which ``{default}`` and ``{example}`` stand for themselves.
        example: what may be typed.
        spelling: where it differs from the setting's name: ``--no-header`` for ``header``.
        metavar: what stands for its value in the help.
        parse: makes the value of what was typed, where that is no number or plain text.
        path: whether it is typed as a path, which the setting keeps as a text.
        repeated: whether it may be typed several times; ``parse`` gets all of them.
        python_only: why no command has it, only files and programs; empty where one does.
        panel: of the help, where its model has none for all.
    """

    text: str
    example: str = ""
    spelling: str = ""
    metavar: str | None = None
    parse: Parser | None = None
    path: bool = False
    repeated: bool = False
    python_only: str = ""
    panel: str | None = None


@dataclass(frozen=True)
class Setting:
    """A field of a model of settings, as a command needs it.

    Attributes:
        name: of the field.
        kind: what is typed: a flag, a number, a path or a text.
        default: the value that it has when nothing is said.
        option: what the field says of itself.
        panel: of the help; None: the first one.
    """

    name: str
    kind: type
    default: Any
    option: Option
    panel: str | None

    @property
    def spelling(self) -> str:
        """``--max-tokens`` for ``max_tokens``."""
        return self.option.spelling or "--" + self.name.replace("_", "-")

    @property
    def help(self) -> str:
        """Its help text."""
        told = self.option.text.replace("{default}", _short(self.default))
        return told.replace("{example}", self.option.example)

    def read(self, typed: Any) -> Any:
        """The setting's value of what was typed; None where nothing was.

        Raises:
            ConfigError: it is of another form.
        """
        if typed is None or typed == []:
            return None
        if self.kind is bool:
            return typed is not self.default  # a flag says the contrary of the default
        if self.kind is Path:
            return str(typed)
        parse = self.option.parse
        return typed if parse is None else parse(option(self.name), typed, self.option.example)


def settings_in(*groups: type) -> dict[str, Setting]:
    """The settings of models that say how they are typed, by name, in their order."""
    found = {}
    for group in groups:
        panel = getattr(group, "panel", None)
        for name, hint in get_type_hints(group, include_extras=True).items():
            said = [part for part in get_args(hint)[1:] if isinstance(part, Option)]
            if get_origin(hint) is Annotated and said:
                kind = Path if said[0].path else _kind(get_args(hint)[0])
                found[name] = Setting(
                    name, kind, _default(group, name), said[0], said[0].panel or panel
                )
    return found


def _kind(annotation: Any) -> type:
    """``int`` for ``int | None``; what is neither number nor flag is typed as text."""
    parts = [part for part in get_args(annotation) or (annotation,) if part is not NoneType]
    return parts[0] if len(parts) == 1 and parts[0] in _TYPED else str


def _default(group: Any, name: str) -> Any:
    fields: Mapping[str, Any]
    if dataclasses.is_dataclass(group):
        fields = {field.name: field for field in dataclasses.fields(group)}
    else:
        fields = group.model_fields
    return fields[name].default


def _short(value: Any) -> str:
    """``5e-5`` for 5e-05, ``0`` for 0.0."""
    return f"{value:g}".replace("e-0", "e-") if isinstance(value, float) else str(value)
