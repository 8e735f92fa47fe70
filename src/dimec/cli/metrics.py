"""The option ``--metrics``: a file of the mobile's metrics, kept up to date while it answers."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dimec.base.errors import ConfigError, option

if TYPE_CHECKING:
    from dimec.mobile import Mobile

Metrics = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Keep the ledger, the audit and its alarm in this file, in Prometheus's text format "
        "(NAME.prom where a node exporter's textfile collector looks): replaced whole every 10 s "
        "and at the end, a failed one too. The numbers are those of --state, over restarts.",
        rich_help_panel="Files",
    ),
]


def check_metrics(path: Path | None, others: Mapping[str, Path | str | None]) -> None:
    """Whether a file of metrics can be kept there, which replaces what is there.

    Args:
        path: the file; None where none is wanted.
        others: option → the file that was given for it, if any.

    Raises:
        ConfigError: it is one of those, or no file.
    """
    if path is None:
        return
    for keyword, other in others.items():
        if other is not None and _same(path, Path(other)):
            raise ConfigError(
                f"{option('metrics')} {path} is the file of {option(keyword)}, and "
                "would replace it; give another"
            )
    if path.exists() and not path.is_file():
        what = "a folder" if path.is_dir() else "a pipe or a device"
        raise ConfigError(
            f"{option('metrics')} {path} is {what}, and metrics are kept in a file that is "
            "replaced whole; give a file, such as dimec.prom"
        )


def keeping(path: Path | None, mobile: Mobile) -> AbstractContextManager[object]:
    """Keeps the metrics of a mobile in a file; does nothing where none is wanted."""
    if path is None:
        return nullcontext()
    from dimec.mobile.metrics_file import MetricsFile

    return MetricsFile(path, mobile.metrics)


def _same(path: Path, other: Path) -> bool:
    try:
        return path.samefile(other)
    except OSError:  # one of them is not there
        return path.absolute() == other.absolute()
