"""How every command runs: idle options are refused, settings are named as they are typed."""

from __future__ import annotations

import inspect
from collections.abc import Sequence, Set
from typing import Any, ClassVar

import typer
from typer.core import TyperCommand

from dimec.base.errors import typed_options
from dimec.base.plugins import names
from dimec.cli.idle import RULES, Given, Idle, refuse_idle
from dimec.cli.options import whole

HELP_OPTIONS = {"help_option_names": ["-h", "--help"]}


def flowing(text: str) -> str:
    """A help's text with each paragraph in one line, for the terminal to break where it is wide.

    Lines that are indented, as examples are, stay as they are.

    Example:
        >>> flowing("Train a\\nmodel.\\n\\n    dimec train\\n    --out runs")
        'Train a model.\\n\\n    dimec train\\n    --out runs'
    """
    paragraphs = text.split("\n\n")
    return "\n\n".join(
        part if part.startswith(" ") else part.replace("\n", " ") for part in paragraphs
    )


class Command(TyperCommand):
    """A command of dimec.

    Attributes:
        idle: the rules on options that would do nothing, of this command and of others.
    """

    idle: ClassVar[Sequence[Idle]] = RULES

    def make_context(self, *words: Any, **extra: Any) -> Any:
        """Of a call, for which the options are made that come from settings."""
        self.complete()
        return super().make_context(*words, **extra)

    def complete(self) -> None:
        """Make the options that come from models of settings, which takes importing these."""
        function = None if self.callback is None else whole(inspect.unwrap(self.callback))
        if function is not None:
            alone = typer.Typer(add_completion=False)
            alone.command()(function)
            made = typer.main.get_command(alone)
            self.params, self.callback = made.params, made.callback

    def format_help(self, *words: Any) -> None:
        """Print the help; what only the registry of policies knows is looked up for it."""
        self.help = flowing(inspect.cleandoc(self.help or ""))
        for param in self.params:
            told = getattr(param, "help", None) or ""
            if "{policies}" in told:
                param.help = told.format(policies=_policies())  # type: ignore[attr-defined]
        super().format_help(*words)

    def invoke(self, ctx: Any) -> Any:  # typer's own class of contexts is private
        """Run it; an error names options as they are typed."""
        typed = frozenset(
            name
            for name in ctx.params
            if (source := ctx.get_parameter_source(name)) and source.name == "COMMANDLINE"
        )
        names = self._option_names({name for name in typed if ctx.params[name] is False})
        refuse_idle(self._path(ctx), Given(typed, ctx.params, names), self.idle)
        # What a file of settings says keeps the name that stands in the file.
        in_file = ctx.params.get("config") is not None
        given = {name: names[name] for name in names if name in typed or not in_file}
        # Where a parameter avoids a word of Python's (``format_``), the keyword is the option's.
        keywords = {word.removeprefix("--").replace("-", "_"): word for word in given.values()}
        with typed_options(keywords | given):
            return super().invoke(ctx)

    def _path(self, ctx: Any) -> str:
        """The words behind ``dimec``: ``trace export``; of an app of one command, its name."""
        words: list[str] = []
        while ctx.parent is not None:
            words.insert(0, str(ctx.info_name))
            ctx = ctx.parent
        return " ".join(words) or str(self.name)

    def _option_names(self, off: Set[str]) -> dict[str, str]:
        """Each option's parameter and how it is typed: ``{"max_tokens": "--max-tokens"}``.

        Args:
            off: parameters that were switched off, for which ``--no-…`` was typed.
        """
        options = (param for param in self.params if param.param_type_name == "option")
        return {
            str(one.name): max((one.name in off and one.secondary_opts) or one.opts, key=len)
            for one in options
        }


# The registry knows them too, and takes numpy to be asked: a test holds the two to each other.
SERVABLE = (
    *("bert-cloud", "bert-mobile", "deebert", "pabee", "adaee", "splitee"),
    *("splitee-s (with only_seen=true)", "i-splitee (with only_seen=true)"),
    *("uee-ucb", "lee", "dee", "ceebert", "dimee", "max-softmax", "max-softmax-tiers"),
    *("exit-cascade", "class-cascade", "class-gate", "exit0-cascade", "exit0-class-cascade"),
    *("deferral", "exit0-deferral", "knn"),
    *("cats", "calm", "fast-yet-safe"),
    "cascade",
    *("dimec-fixed-paper", "dimec-adaptive-paper"),
    *("dimec-fixed-quantile", "dimec-adaptive-quantile"),
)


def _policies() -> str:
    """``: bert-cloud, deebert``, and the packages of policies that are installed."""
    others = (name for group in ("policies", "routers") for name in names(group, SERVABLE))
    return ": " + ", ".join([*SERVABLE, *others])
