"""Options of the commands that read labelled rows, in one wording."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

PANEL = "Data"

DataDir = Annotated[
    Path | None,
    typer.Option(
        help="Folder of TASK/{train,dev,test}.tsv[.gz] for glue tasks; else DIMEC_DATA, else the "
        "hub.",
        rich_help_panel=PANEL,
    ),
]
TextColumn = Annotated[
    str | None,
    typer.Option(
        help="Column of the text; default: text, sentence or sentence1.", rich_help_panel=PANEL
    ),
]
PairColumn = Annotated[
    str | None, typer.Option(help="Column of a second text.", rich_help_panel=PANEL)
]
LabelColumn = Annotated[
    str | None, typer.Option(help="Column of the label; default: label.", rich_help_panel=PANEL)
]
SplitColumn = Annotated[
    str | None,
    typer.Option(
        help="Column that puts each row in train, validation (val, dev, eval) or test; the rows "
        "stay where it puts them.",
        rich_help_panel=PANEL,
    ),
]
Delimiter = Annotated[
    str | None,
    typer.Option(
        help="Between the fields of csv: one character, or comma, semicolon, tab, pipe; default: "
        "found where it is certain.",
        rich_help_panel=PANEL,
    ),
]
Encoding = Annotated[
    str | None,
    typer.Option(
        help="Of csv, tsv, json and jsonl, such as windows-1252; default: UTF-8, or what the "
        "file's byte order mark says.",
        rich_help_panel=PANEL,
    ),
]
NoHeader = Annotated[
    bool,
    typer.Option(
        "--no-header",
        help="The first line of csv or tsv is a row: its columns are column-1, column-2 …",
        rich_help_panel=PANEL,
    ),
]
