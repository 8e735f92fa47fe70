"""``dimec trace record``: the trace of another task's rows."""

from __future__ import annotations

import re
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dimec.base.errors import ConfigError
from dimec.cli.command import Command
from dimec.cli.common import AsJson, RunPath, open_run, print_json, progress_bar
from dimec.cli.engines import ENGINES, check_choice, ended_in_order, engine_of
from dimec.cli.options import Taken, takes

if TYPE_CHECKING:
    from dimec.settings.option import Setting

_OF_ROWS = ("data_dir", "text_column", "pair_column", "label_column", "split_column")
_OF_FILES = ("delimiter", "encoding", "header")


def _settings() -> list[Setting]:
    """Where the rows are, and how they are written."""
    from dimec.settings.data import DataSettings
    from dimec.settings.option import settings_in

    settings = settings_in(DataSettings)
    return [settings[name] for name in (*_OF_ROWS, *_OF_FILES)]


_TORCH = "torch"

trace_app = typer.Typer(
    help="Traces of other rows, and of what others recorded.", no_args_is_help=True
)


@trace_app.command(cls=Command)
@takes(Taken(_settings, before="as_json"))
def record(
    path: RunPath,
    task: Annotated[str, typer.Option(help="Whose rows: as dimec train --task.")],
    out: Annotated[
        Path | None, typer.Option(help="Default: RUN/streams/TASK-ROWS.safetensors.")
    ] = None,
    rows: Annotated[
        str, typer.Option(help="all, or test: the task's test split, as dimec train divides it.")
    ] = "all",
    limit: Annotated[
        int | None, typer.Option(min=1, help="A stratified sample of so many rows.")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Of the split and the sample; default: the run's.")
    ] = None,
    engine: Annotated[
        str | None,
        typer.Option(
            help="torch: in this process, on a GPU where there is one. local: worker processes on "
            "graphs, as dimec score; it goes on after a kill. ray: the same on the cluster that "
            "RAY_ADDRESS names. Default: torch, with --workers local.",
            show_default=False,
        ),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Processes of --engine local or ray, each with the models in memory; default: "
            "one a core.",
        ),
    ] = None,
    as_json: AsJson = False,
    **given: Any,
) -> None:
    """Run a trained model over another task's rows once, and record what every exit says.

    The labels must have the names that the model was trained for. Any policy can replay the trace:
    dimec.Trace.load reads it.

    For many rows on a machine without a GPU take --workers: a process a core, texts of like length
    together, and the same command goes on where it was killed. The numbers are torch's but for
    rounding (some 1e-6), the same whatever the number of workers. Since rounding is no reason to
    change a trace that was recorded before, torch stays the default for any number of rows.

    Examples:

        dimec trace record runs/movies --task vader/amazon

        dimec trace record runs/movies --task csv:million.csv --workers 8
    """
    from dimec.data.splits import check_part
    from dimec.runs.rows import read_dataset
    from dimec.settings.data import DataSettings, absolute_data

    check_part(rows)
    chosen = engine or ("local" if workers is not None else _TORCH)
    check_choice("--engine", chosen, (_TORCH, *ENGINES))
    run = open_run(path)
    run.training()  # one that is not trained is refused before torch is loaded, as data are
    run.require_model()
    if given["split_column"] is not None and rows == "all":
        raise ConfigError("--split-column tells the test rows; it needs --rows test")
    said = {name: value for name, value in given.items() if value is not None}
    data = DataSettings(task=task, **said)
    dataset = read_dataset(absolute_data(data))
    target = out or run.streams_path / f"{_slug(task)}-{rows}.safetensors"
    with ExitStack() as stack:
        execute = None if chosen == _TORCH else engine_of(chosen, workers)
        if execute is not None:
            stack.enter_context(ended_in_order())
        progress = stack.enter_context(progress_bar())
        stack.enter_context(run.locked())
        progress.say("loading torch")
        from dimec.training.recording import Workers
        from dimec.training.transfer import record_other

        own = execute and Workers(execute, target.with_name(f"{target.name}.parts"))
        recorded = record_other(
            run,
            data,
            rows=rows,  # type: ignore[arg-type]  # checked where it is used
            limit=limit,
            seed=seed,
            dataset=dataset,
            workers=own,
            progress=progress,
        )
        recorded.save(target)
        if own is not None:
            own.clear()
    pairs = zip(recorded.sources, recorded.exits, strict=True)
    names = [f"{layer} of {source}" if source else str(layer) for source, layer in pairs]
    accuracies = dict(zip(names, recorded.correct.mean(axis=0).tolist(), strict=True))
    if as_json:
        print_json({"trace": str(target), "samples": len(recorded), "accuracy": accuracies})
        return
    print(f"{target}: {len(recorded):,} rows of {task}")
    for layer, accuracy in accuracies.items():
        print(f"  exit {layer}: accuracy {100 * accuracy:.1f} %")


def _slug(task: str) -> str:
    """``vader-amazon`` for ``vader/amazon``, ``reviews`` for ``csv:some/reviews.csv``."""
    kind, colon, file = task.partition(":")
    name = Path(file).name.partition(".")[0] if colon else kind
    return re.sub(r"[^\w.-]+", "-", name).strip("-") or "rows"
