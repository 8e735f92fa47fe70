"""Options of a command that are made of models of settings, once the command runs.

The models need pydantic, which ``dimec --help`` and the commands on a phone do without. So typer is
shown a command without these options first, and with them when the command is called.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

if TYPE_CHECKING:
    from dimec.settings.option import Setting

Function = Callable[..., None]


class Taken(NamedTuple):
    """The options that a command takes from settings.

    Attributes:
        settings: gives the settings, in the order of the help.
        before: the parameter of the command that follows them there.
        defaults: whether the command has their defaults; else what is not typed is None, and may
            stand in a file.
    """

    settings: Callable[[], Iterable[Setting]]
    before: str
    defaults: bool = False


_TAKEN: dict[Function, Taken] = {}


def takes(taken: Taken) -> Callable[[Function], Function]:
    """Give a command options; it gets their values by the names of the settings, as keywords."""

    def mark(command: Function) -> Function:
        signature = inspect.signature(command, eval_str=True)
        own = [one for one in signature.parameters.values() if one.kind != one.VAR_KEYWORD]
        command.__signature__ = signature.replace(parameters=own)  # type: ignore[attr-defined]
        _TAKEN[command] = taken
        return command

    return mark


def whole(command: Function) -> Function | None:
    """The command with the options that it takes from settings; None where it takes none."""
    if (taken := _TAKEN.get(command)) is None:
        return None
    settings = {setting.name: setting for setting in taken.settings()}

    def run(**values: Any) -> None:
        read = {name: setting.read(values.pop(name)) for name, setting in settings.items()}
        command(**values, **read)

    options = [_parameter(setting, taken.defaults) for setting in settings.values()]
    parameters = [
        one.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        for one in inspect.signature(command).parameters.values()
    ]
    place = [one.name for one in parameters].index(taken.before)
    everything = [*parameters[:place], *options, *parameters[place:]]
    run.__signature__ = inspect.Signature(everything)  # type: ignore[attr-defined]
    return run


def _parameter(setting: Setting, defaults: bool) -> inspect.Parameter:
    """A setting as typer takes it."""
    default = setting.default if defaults else None
    if setting.kind is bool:
        default = False if defaults else None
    shown = typer.Option(
        setting.spelling,
        metavar=setting.option.metavar,
        help=setting.help,
        rich_help_panel=setting.panel,
    )
    kind: Any = list[str] if setting.option.repeated else setting.kind
    if setting.option.repeated:
        default = None
    kind = kind if default is not None else kind | None
    return inspect.Parameter(
        setting.name,
        inspect.Parameter.KEYWORD_ONLY,
        default=default,
        annotation=Annotated[kind, shown],
    )
