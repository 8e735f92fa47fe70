"""``dimec trace export``: a trace as a table for other tools, and back."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dimec.base.errors import ConfigError, quoted
from dimec.cli.command import Command
from dimec.cli.common import AsJson, print_json
from dimec.cli.trace import trace_app

if TYPE_CHECKING:
    from dimec.traces.trace import Trace

_OWN = ".safetensors"


@trace_app.command(cls=Command)
def export(
    trace: Annotated[
        str,
        typer.Argument(
            metavar="TRACE",
            help="The file of a trace (.safetensors, .parquet, .arrow), or a name of the "
            "collection, such as sst2/minilm-own/0/test.",
        ),
    ],
    out: Annotated[
        Path,
        typer.Argument(
            metavar="OUT",
            help="The file to write: .parquet, .arrow or .feather; .safetensors for the way back.",
        ),
    ],
    embeddings: Annotated[
        bool, typer.Option(help="The inputs' embeddings, by far the most of the file.")
    ] = True,
    as_json: AsJson = False,
) -> None:
    """Write a trace as a table that pandas, polars, DuckDB or Spark read, or a table as a trace.

    A row is a sample: guid, split, label, length; of each exit its answer (exit_6), how sure it
    was (exit_6_confidence), and the probability of each class (exit_6_p_CLASS); further columns
    (extra.NAME); the embedding. What else a trace is stands in the table's metadata, so that a
    table of some of the rows becomes a trace again.

    Examples:

        dimec trace export runs/movies/trace-test.safetensors movies.parquet

        dimec trace export sst2/minilm-own/0/test sst2.parquet --no-embeddings

        dimec trace export some.parquet some.safetensors
    """
    from dimec.base.tables import ENDINGS, check_table_file, is_table_file

    if out.suffix.lower() != _OWN:
        if not is_table_file(out):
            raise ConfigError(
                f"OUT: expected a file that ends in {', '.join((*ENDINGS, _OWN))}, got "
                f"{quoted(str(out), 80)}; name one so"
            )
        check_table_file(out, "OUT")
    found = _read(trace)
    if out.exists() and Path(trace).exists() and out.samefile(trace):
        raise ConfigError(f"{out} is the trace itself; choose another file")
    if not embeddings:
        found = replace(found, embeddings=found.embeddings[:, :0])
    if out.suffix.lower() == _OWN:
        found.save(out)
    else:
        found.to_parquet(out)
    if as_json:
        print_json({"trace": str(out), "samples": len(found), "exits": list(found.exits)})
        return
    print(f"{out}: {len(found):,} samples of {found.task}, {len(found.exits)} exits")


def _read(name: str) -> Trace:
    from dimec.base.storage import expanded
    from dimec.base.tables import is_table_file
    from dimec.traces.collection import load_trace
    from dimec.traces.trace import Trace

    path = expanded(name)
    if is_table_file(path):
        return Trace.from_parquet(path)
    if path.is_file() or path.suffix.lower() == _OWN:
        return Trace.load(path)
    if kept := sorted(one.name for one in path.glob("trace-*.safetensors")):
        raise ConfigError(f"{name} is a run; give one of its traces: {name}/{' or '.join(kept)}")
    return load_trace(name)
