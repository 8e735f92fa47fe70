"""``dimec reproduce``: handed to the studies, which a checkout has and the package has not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import typer

from dimec.base.errors import DimecError

GROUP = "dimec.studies"  # of the entry points

# Every word, ``--help`` too, is for the command of the studies.
PASSED_ON: Mapping[str, Any] = {
    "allow_extra_args": True,
    "ignore_unknown_options": True,
    "help_option_names": [],
}


def reproduce(context: typer.Context) -> None:
    """Rebuild the paper's tables and figures, and the studies beyond it (in a checkout)."""
    from importlib.metadata import entry_points

    found = tuple(entry_points(group=GROUP, name="reproduce"))
    if not found:
        raise DimecError(
            "reproduce needs the studies, which come with a checkout of dimec and not with the "
            "package; get its source, run make setup there, then .venv/bin/dimec reproduce"
        )
    found[0].load()(context.args, prog_name=context.command_path, standalone_mode=False)
