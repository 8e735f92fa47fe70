"""The command line: it parses, calls, and prints. The work is done elsewhere."""

from __future__ import annotations

# First: a signal may come while the others are imported.
import dimec.cli.starting  # isort: skip

import sys
from collections.abc import Sequence
from itertools import takewhile
from typing import Annotated

import typer

import dimec.cli.trace_export
import dimec.cli.trace_import  # noqa: F401  # commands of dimec trace
from dimec.base.errors import ContractRefusedError, DimecError
from dimec.cli.bottleneck import bottleneck
from dimec.cli.command import HELP_OPTIONS, Command, flowing
from dimec.cli.compress import compress
from dimec.cli.contract import contract_app
from dimec.cli.demo import demo
from dimec.cli.evaluate import evaluate
from dimec.cli.export import export
from dimec.cli.inspect import inspect
from dimec.cli.join import join
from dimec.cli.map import map_app
from dimec.cli.plugins import plugins
from dimec.cli.predict import predict
from dimec.cli.profile import profile
from dimec.cli.push import pull, push
from dimec.cli.reproduce import PASSED_ON, reproduce
from dimec.cli.score import score
from dimec.cli.serve import serve
from dimec.cli.simulate import simulate
from dimec.cli.steps import fit, report
from dimec.cli.streams import (
    flush_output,
    refused_by_system,
    replace_what_cannot_be_shown,
    tell_warnings_in_a_line,
)
from dimec.cli.trace import trace_app
from dimec.cli.traces import traces_app
from dimec.cli.track import track
from dimec.cli.train import train
from dimec.cli.up import up

_REFUSED = 3  # no policy keeps the contract that was wanted
_INTERRUPTED = 130

app = typer.Typer(
    help=flowing("""Cut one text classifier into mobile, edge and cloud, and decide where each text
runs before a single layer has run.

The usual order: [bold]train[/bold], [bold]fit[/bold], [bold]evaluate[/bold],
[bold]report[/bold]; each works in the run directory that train makes. Then [bold]export[/bold]
makes a bundle of it, which [bold]serve[/bold] answers from on the edge and in the cloud,
[bold]predict[/bold] on the mobile, and [bold]up[/bold] all on this machine.
Try it all at once on real movie reviews with [bold]dimec demo[/bold].

[bold]reproduce[/bold] rebuilds the paper's tables and figures, with every system that
it names."""),
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings=HELP_OPTIONS,
)


def main() -> None:
    """Run the command line; an error that the user can act on is one line and exit code 2,
    or 3 where a contract is refused."""
    replace_what_cannot_be_shown()
    tell_warnings_in_a_line()
    try:
        try:
            app(_with_homes(sys.argv[1:]))
        finally:
            flush_output()
    except DimecError as error:
        print(f"dimec: {error}", file=sys.stderr)
        sys.exit(_REFUSED if isinstance(error, ContractRefusedError) else 2)
    except OSError as error:
        if (refusal := refused_by_system(error)) is None:
            raise
        print(f"dimec: {refusal}", file=sys.stderr)
        sys.exit(2)
    except (KeyboardInterrupt, SystemExit) as stop:
        # typer makes an exit with code 130 of Ctrl-C
        if isinstance(stop, SystemExit) and stop.code != _INTERRUPTED:
            raise
        print(
            "dimec: stopped; finished work is kept, the same command goes on from there",
            file=sys.stderr,
        )
        sys.exit(_INTERRUPTED)


def _with_homes(arguments: Sequence[str]) -> list[str]:
    """The arguments with ``--out=~/runs`` expanded; shells do so after a space only."""
    options = list(takewhile(lambda argument: argument != "--", arguments))
    for place, argument in enumerate(options):
        name, equals, value = argument.partition("=")
        if name.startswith("--") and equals and value.startswith("~"):
            from dimec.base.storage import expanded  # not for nothing: it imports numpy

            options[place] = f"{name}={expanded(value)}"
    return options + list(arguments[len(options) :])


def _version(value: bool) -> None:
    if value:
        from dimec import __version__

        print(f"dimec {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    pass


_STEPS = (
    train,
    fit,
    evaluate,
    report,
    export,
    inspect,
    serve,
    predict,
    score,
    up,
    track,
    demo,
    push,
    pull,
)
_RESEARCH = (bottleneck, compress, join, plugins, profile, simulate)
for _command in _STEPS:
    app.command(cls=Command)(_command)
app.command(rich_help_panel="Research", context_settings=dict(PASSED_ON))(reproduce)
for _study in _RESEARCH:
    app.command(cls=Command, rich_help_panel="Research")(_study)
app.add_typer(contract_app, name="contract")
app.add_typer(map_app, name="map", rich_help_panel="Research")
app.add_typer(trace_app, name="trace", rich_help_panel="Research")
app.add_typer(traces_app, name="traces", rich_help_panel="Research")
