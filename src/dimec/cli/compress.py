"""``dimec compress``: a smaller model of a trained run, to compare with splitting it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dimec.cli.common import AsJson, RunPath, open_run, print_json, print_next, progress_bar
from dimec.cli.options import Taken, takes

if TYPE_CHECKING:
    from dimec.settings.option import Setting

_SYSTEMS = {
    "magnitude": "pruned-magnitude",
    "heads": "pruned-heads",
    "int8": "int8-mobile",
    "student": "distilled-student",
}


# How far a whole number of weights or heads may lie from the layers asked for.
_ROUNDING = 0.05
# Why a compressed model may take more than the mobile's operations.
_WHY_MORE = {
    "magnitude": "the attention's own products have no weights that could be taken out",
    "heads": "one head of each layer stays, and so do the feed-forward networks",
    "int8": "its size is what 8 bits give, whatever the mobile runs",
    "student": "its size is its own, whatever the mobile runs",
}


def _settings() -> Iterable[Setting]:
    from dimec.runs.compression import CompressionSettings
    from dimec.settings.option import settings_in

    return settings_in(CompressionSettings).values()


@takes(Taken(_settings, before="overwrite", defaults=True))
def compress(
    path: RunPath,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Discard the compressed model that is there.")
    ] = False,
    as_json: AsJson = False,
    **given: Any,
) -> None:
    """Compress the whole model until the mobile can run it alone: a rival of splitting it.

    Makes RUN/compressed-METHOD with the pruned model and two traces, which the systems
    pruned-magnitude, pruned-heads, int8-mobile and distilled-student replay, each on the first
    tier alone. Pruning can be killed at any moment: the same command goes on after the last
    finished epoch.

    Examples:

        dimec compress runs/mine --method magnitude

        dimec compress runs/mine --method student --student runs/own

        dimec evaluate runs/mine --systems pruned-magnitude,distilled-student
    """
    from dimec.runs.compression import CompressedFolder, CompressionSettings

    run = open_run(path)
    settings = CompressionSettings(**given)
    run.training()
    run.require_model()
    with progress_bar() as progress:
        progress.say("loading torch")
        from dimec.training.compression.make import compress_run

        folder = compress_run(run, settings, overwrite=overwrite, progress=progress)
        record = CompressedFolder(folder).record()
    if as_json:
        print_json({"path": str(folder), **record})
        return
    _show(record)
    print(f"compressed: {folder}")
    print_next("evaluate", path, "--systems", _SYSTEMS[settings.method])


def _show(record: dict[str, Any]) -> None:
    settings, scores = record["settings"], record["scores"]
    if "student" in record:
        student = record["student"]
        print(f"the tier {student['tier']} of {settings['student']}, {student['layers']} layers")
    if settings["method"] == "magnitude":
        print(f"{100 * record['sparsity']:.1f} % of the layers' weights are zero")
    if settings["method"] == "heads":
        print(f"{100 * record['sparsity']:.1f} % of the heads are gone")
    print(
        f"charged for {record['layers_worth']:.3g} of {record['layers']} layers; the mobile runs "
        f"{settings['layer']}"
    )
    if settings["sparsity"] is None and record["layers_worth"] > settings["layer"] + _ROUNDING:
        print(f"  {_WHY_MORE[settings['method']]}")
    names = {
        "exit": f"the mobile's exit, layer {settings['layer']}",
        "compressed": "the compressed model",
        "whole": "the last exit of the whole model",
    }
    for split, table in scores.items():
        print(f"accuracy on the {split} split, {record['rows'][split]:,} rows")
        for key, name in names.items():
            if key in table:
                print(f"  {name}: {100 * table[key]['accuracy']:.1f} %")
        print(f"  same answer as the whole model: {100 * table['same_answer']:.1f} %")
