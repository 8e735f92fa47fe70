"""``dimec trace record``: the trace of another task's rows."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dimec.base.errors import ConfigError
from dimec.cli.command import Command
from dimec.cli.common import AsJson, RunPath, open_run, print_json, progress_bar
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
    as_json: AsJson = False,
    **given: Any,
) -> None:
    """Run a trained model over another task's rows once, and record what every exit says.

    The labels must have the names that the model was trained for. Any policy can replay the trace:
    dimec.Trace.load reads it.

    Example:

        dimec trace record runs/movies --task vader/amazon
    """
    from dimec.data.splits import check_part
    from dimec.runs.rows import read_dataset
    from dimec.settings.data import DataSettings, absolute_data

    check_part(rows)
    run = open_run(path)
    run.training()  # one that is not trained is refused before torch is loaded, as data are
    run.require_model()
    if given["split_column"] is not None and rows == "all":
        raise ConfigError("--split-column tells the test rows; it needs --rows test")
    said = {name: value for name, value in given.items() if value is not None}
    data = DataSettings(task=task, **said)
    dataset = read_dataset(absolute_data(data))
    with progress_bar() as progress, run.locked():
        progress.say("loading torch")
        from dimec.training.transfer import record_other

        recorded = record_other(
            run,
            data,
            rows=rows,  # type: ignore[arg-type]  # checked where it is used
            limit=limit,
            seed=seed,
            dataset=dataset,
            progress=progress,
        )
        target = out or run.streams_path / f"{_slug(task)}-{rows}.safetensors"
        recorded.save(target)
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
