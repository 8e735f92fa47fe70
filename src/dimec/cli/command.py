"""How every command runs: idle options are refused, settings are named as they are typed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from typer.core import TyperCommand

from dimec.cli.idle import Given, refuse_idle
from dimec.errors import DimecError

_GROUPS = r"(?:(?:data|model|training)\.)"  # of a run's settings, as its config.toml has them


class Command(TyperCommand):
    """A command of dimec."""

    def invoke(self, ctx: Any) -> Any:  # typer's own class of contexts is private
        """Run it; an error names options as they are typed."""
        typed = frozenset(
            name
            for name in ctx.params
            if (source := ctx.get_parameter_source(name)) and source.name == "COMMANDLINE"
        )
        names = self._option_names()
        refuse_idle(str(ctx.info_name), Given(typed, ctx.params, names))
        try:
            return super().invoke(ctx)
        except DimecError as error:
            # What a file of settings says wrong keeps the name that stands in the file.
            in_file = ctx.params.get("config") is not None
            known = {name: names[name] for name in names if name in typed or not in_file}
            error.args = (as_typed(str(error), known),)
            raise

    def _option_names(self) -> dict[str, str]:
        """Each option's parameter and how it is typed: ``{"max_tokens": "--max-tokens"}``."""
        options = (param for param in self.params if param.param_type_name == "option")
        return {str(param.name): max(param.opts, key=len) for param in options}


def as_typed(message: str, options: Mapping[str, str]) -> str:
    """A message of the library with settings named as the options of the command line.

    The library calls them by their names in Python. Here ``max_tokens`` becomes ``--max-tokens``
    wherever it stands. A name that may also be a word of the language, such as ``epochs``, is one
    for sure behind the name of its group, or where the message begins with it. What stands in
    quotes is left as it came, paths are too.

    Args:
        message: of an error.
        options: by the names in Python.
    """
    message = re.sub(r"(?:^|(?<=; ))(?:data|model|training): ", "", message)
    for name, option in options.items():
        anywhere = rf"(?<![\w./-]){_GROUPS}?{name}(?![\w/-]|\.\w)"
        if "_" not in name:
            opening = rf"^(?:the )?{name}(?= (?:is|must)\b|:)"
            anywhere = rf"(?<![\w./-]){_GROUPS}{name}(?![\w/-]|\.\w)|{opening}"
        pattern = rf"""'[^']*'|"[^"]*"|(?P<setting>{anywhere})"""
        message = re.sub(pattern, lambda found: _named(found, option), message)  # noqa: B023
    return message


def _named(found: re.Match[str], option: str) -> str:
    return option if found["setting"] is not None else found[0]
