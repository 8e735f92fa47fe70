"""``dimec bottleneck``: a narrow code at the split of a trained run."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dimec.cli.common import AsJson, RunPath, open_run, print_json, progress_bar
from dimec.cli.options import Taken, takes

if TYPE_CHECKING:
    from dimec.settings.option import Setting


def _settings() -> Iterable[Setting]:
    from dimec.runs.bottleneck import BottleneckSettings
    from dimec.settings.option import settings_in

    return settings_in(BottleneckSettings).values()


@takes(Taken(_settings, before="overwrite", defaults=True))
def bottleneck(
    path: RunPath,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Discard the bottleneck that is there.")
    ] = False,
    as_json: AsJson = False,
    **given: Any,
) -> None:
    """Train a bottleneck at the split: what the mobile sends in place of hidden states.

    Makes RUN/bottleneck-LAYER-WIDTH-BITS-OBJECTIVE with the weights and two traces, which the
    systems bottlenet++, bottlefit, cde and hnd replay. It can be killed at any moment: the same
    command goes on after the last finished epoch.

    Examples:

        dimec bottleneck runs/mine

        dimec bottleneck runs/mine --width 8 --bits 4 --objective distil --train-tail
    """
    from dimec.runs.bottleneck import BottleneckSettings

    run = open_run(path)
    settings = BottleneckSettings(**given)
    run.require_model()
    tiers = run.training()["tiers"]
    settings.for_tiers(tiers).check_fit(tiers[-1], run.shape().width)
    with progress_bar() as progress:
        progress.say("loading torch")
        from dimec.training.bottleneck.files import BottleneckFolder
        from dimec.training.bottleneck.train import train_bottleneck

        folder = train_bottleneck(run, settings, overwrite=overwrite, progress=progress)
        record = BottleneckFolder(folder).record()
    if as_json:
        print_json({"path": str(folder), **record})
        return
    _show(record)
    print(f"bottleneck: {folder}")


def _show(record: dict[str, Any]) -> None:
    settings, scores = record["settings"], record["scores"]
    best = record["history"][record["best_epoch"]]
    print(
        f"split behind layer {settings['layer']} of {record['layers']}, {record['hidden']} numbers "
        f"a token to {settings['width']} of {settings['bits']} bits; best epoch "
        f"{best['epoch'] + 1} of {len(record['history'])}"
    )
    names = {
        "split": f"the exit at the split, layer {settings['layer']}",
        "bottleneck": "the last exit behind the bottleneck",
        "whole": "the last exit of the whole model",
    }
    for split, table in scores.items():
        print(f"accuracy on the {split} split, {record['rows'][split]:,} rows")
        for key, name in names.items():
            if key in table:
                print(f"  {name}: {100 * table[key]['accuracy']:.1f} %")
        print(f"  same answer with and without it: {100 * table['same_answer']:.1f} %")
    token, sample = record["bytes_per_token"], record["bytes_per_sample"]["test"]
    print("bytes to send, a token and a text of the test split on average")
    for key, name in (("code", "code"), ("hidden_states", "hidden states"), ("text", "text")):
        print(f"  {name}: {token[key]:,} and {sample[key]:,.0f}")
    print(
        f"the code takes 1/{token['hidden_states'] / token['code']:.0f} of the hidden states and "
        f"{token['code'] / token['text']:.2g} times the text itself"
    )
