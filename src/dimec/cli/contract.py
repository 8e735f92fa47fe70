"""``dimec contract``: what an accuracy contract asks of people."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dimec.cli.command import Command
from dimec.cli.common import AsJson, RunPath, open_run, print_json

contract_app = typer.Typer(
    help="Label the few rows on which an accuracy contract depends.", no_args_is_help=True
)


@contract_app.command(cls=Command)
def rows(
    path: RunPath,
    out: Annotated[
        Path,
        typer.Option(metavar="FILE", help="JSON lines to write: id, text, and a label to fill in."),
    ],
    as_json: AsJson = False,
) -> None:
    """Write the calibration texts whose labels matter, and no others.

    They are those on which a policy that may be chosen answers otherwise than the last tier. On all
    others it loses nothing, whatever is right. What either answered is not told, so that it does
    not sway who labels them.

    Example:

        dimec fit runs/mine --max-accuracy-drop 0.5 --calibration-text texts.txt

        dimec contract rows runs/mine --out rows.jsonl

        dimec fit runs/mine --max-accuracy-drop 0.5 --calibration-text texts.txt
        --calibration-labels rows.jsonl
    """
    written = open_run(path).contract_rows(out)
    if as_json:
        print_json({"rows": written.rows, "of": written.of, "file": str(out)})
        return
    print(f"{out}: {written.rows} of {written.of} calibration texts are worth a label")
    print(f"labels: {', '.join(written.labels)}")
