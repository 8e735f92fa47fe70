"""``dimec join``: traces of several models over the same samples, in one file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from dimec.base.errors import ConfigError, DataError, quoted
from dimec.cli.common import AsJson, print_json, progress_bar


def join(
    traces: Annotated[
        list[str],
        typer.Argument(
            metavar="NAME=FILE...", help="A name for each model, and the file of its trace."
        ),
    ],
    out: Annotated[Path, typer.Option(metavar="FILE", help="Where to write the joined trace.")],
    common: Annotated[
        bool, typer.Option("--common", help="Keep the samples that are in all traces.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Join the traces that several models left of the same samples.

    Samples are matched by their guid, classes by their name. What is known before any layer runs
    (embeddings, lengths) is the first one's. dimec.Trace.load reads the file.

    Example:

        dimec join phone=small.safetensors cloud=large.safetensors --out both.safetensors
    """
    files = _files_of(traces)
    _check_files(files, out)
    with progress_bar() as progress:
        from dimec.traces.joining import join as join_traces
        from dimec.traces.trace import Trace

        progress.start("reading traces", len(files))
        read = {}
        for name, file in files.items():
            read[name] = Trace.load(file)
            progress.advance(1, name)
        progress.end()
        joined = join_traces(read, common=common)
        joined.save(out)
    accuracies = joined.correct.mean(axis=0).tolist() if len(joined) else [None] * len(joined.exits)
    rows = list(zip(joined.sources, joined.exits, accuracies, strict=True))
    left_out = {name: len(trace) - len(joined) for name, trace in read.items()}
    if as_json:
        exits = [{"source": name, "exit": layer, "accuracy": share} for name, layer, share in rows]
        samples = {"samples": len(joined), "left_out": left_out}
        print_json({"trace": str(out), **samples, "model": joined.model, "exits": exits})
        return
    print(
        f"{out}: {len(joined):,} samples of {joined.task}, {len(rows)} exits of {len(read)} models"
    )
    for name, number in left_out.items():
        if number:
            print(f"  {name}: left out {number:,} samples that are not in all traces")
    for name, layer, share in rows:
        told = "no samples" if share is None else f"accuracy {100 * share:.1f} %"
        print(f"  {name} exit {layer}: {told}")


def _files_of(words: Sequence[str]) -> dict[str, Path]:
    """The file behind each name."""
    from dimec.base.storage import expanded
    from dimec.traces.sources import check_source

    files: dict[str, Path] = {}
    for word in words:
        name, _, file = word.partition("=")
        if not (name and file):
            raise ConfigError(f"expected NAME=FILE for each trace, got {quoted(word, 80)}")
        if check_source(name) in files:
            raise ConfigError(f"two traces are called {quoted(name)}; give each a name of its own")
        files[name] = expanded(file)  # a shell expands ~ at the start of a word only
    if len(files) < 2:
        raise ConfigError("expected two or more traces to join, got one")
    return files


def _check_files(files: dict[str, Path], out: Path) -> None:
    for file in files.values():
        if file.is_dir():
            raise DataError(
                f"{file} is a folder; give the file of a trace, such as trace-test.safetensors in "
                "a run directory"
            )
        if file.exists() and out.exists() and file.samefile(out):
            raise ConfigError(f"--out {out} is one of the traces to join; choose another file")
