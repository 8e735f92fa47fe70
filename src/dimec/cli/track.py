"""``dimec track``: tell an experiment tracker of a run; and what fit and evaluate tell one."""

from __future__ import annotations

import shlex
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from dimec.base.errors import shown
from dimec.cli.common import AsJson, RunPath, open_run, print_json

if TYPE_CHECKING:
    from dimec.runs.run import Run


def track(
    path: RunPath,
    to: Annotated[
        str | None,
        typer.Option(
            metavar="TRACKER",
            help="tensorboard, trackio, mlflow, or one of another package; by default each that "
            "was told of the training.",
            show_default=False,
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Tell an experiment tracker of a trained run whatever it does not know of it.

    The settings and the epochs, the data map, the fit with its pools, and the ledger, which it
    keeps as a file. A run that was trained with --track goes on in the same run there, and fit and
    evaluate tell it by themselves; this is for one that was trained without, or a tracker that was
    away.

    Examples:

        dimec track runs/mine --to tensorboard

        MLFLOW_TRACKING_URI=http://tracking:5000 dimec track runs/mine --to mlflow
    """
    from dimec.runs.train import track as tell

    told = tell(open_run(path), to)
    if as_json:
        knows = {
            kind: {"name": one.name, "epochs": one.epochs, "parts": one.parts}
            for kind, one in told.items()
        }
        print_json({"run": str(path), "trackers": knows})
        return
    for kind, one in told.items():
        what = f"told of {', '.join(one.new)}" if one.new else "knows all already"
        print(f"{kind}: {one.name}, {what}")


def tell_trackers(run: Run) -> None:
    """Tell what has changed to each tracker that was told of the run's training.

    A tracker that cannot be told is no failure of the work, which is done: it is a line on standard
    error.
    """
    from dimec.runs.trackers import trackers_of
    from dimec.runs.train import track as tell

    for kind in trackers_of(run):
        try:
            tell(run, kind)
        except Exception as error:  # whatever a tracker of somebody else raises
            print(
                f"{kind} could not be told: {shown(f'{type(error).__name__}: {error}', 200)}; "
                f"later: dimec track {shlex.quote(str(run.path))} --to {kind}",
                file=sys.stderr,
            )
