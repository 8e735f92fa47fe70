"""The end of a compression: the traces of the compressed model, and what is written down of it."""

from __future__ import annotations

import datetime
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from dimec.base.arrays import Float32Array
from dimec.base.metrics import accuracy, confusion_matrix, score
from dimec.base.storage import write_json
from dimec.policies.literature.compression import LAYERS_WORTH
from dimec.runs.compression import CompressedFolder, CompressionSettings
from dimec.runs.workspace import RunDirectory
from dimec.traces.trace import Trace
from dimec.training.finish import TRACED, versions


@dataclass(frozen=True, eq=False)
class Made:
    """A compressed model, as its traces and its record need it.

    Attributes:
        fingerprint: of it.
        worth: layers of the run's model that take as many operations.
        said: split → (N, C) probabilities.
        told: what else the record says.
    """

    fingerprint: str
    worth: float
    said: Mapping[str, Float32Array]
    told: Mapping[str, Any] = field(default_factory=dict)


def finish(
    run: RunDirectory, folder: CompressedFolder, settings: CompressionSettings, made: Made
) -> None:
    """Write the two traces; ``compressed.json`` last, then it is finished.

    Args:
        run: whose model was compressed; its lock is held.
        folder: of the compressed model.
        settings: of it.
        made: the compressed model.
    """
    training, pairs = run.training(), {}
    for split in TRACED:
        whole = run.trace(split)
        trace = compressed_trace(whole, made.said[split], made.worth, made.fingerprint)
        trace.save(folder.trace_path(split))
        pairs[split] = (whole, trace)
    record = {
        "model": training["model"],
        "fingerprint": made.fingerprint,
        "settings": asdict(settings),
        "layers": training["exits"][-1],
        "layers_worth": made.worth,
        **made.told,
        "task": training["task"],
        "metric": training["metric"],
        "rows": {split: len(whole) for split, (whole, _) in pairs.items()},
        "scores": {split: _scores(settings, *pair) for split, pair in pairs.items()},
        "versions": versions(),
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
    }
    write_json(folder.record_path, record)
    shutil.rmtree(folder.checkpoint_path, ignore_errors=True)


def compressed_trace(
    whole: Trace, probabilities: Float32Array, worth: float, fingerprint: str
) -> Trace:
    """The run's trace with one exit, the last, of which a compressed model speaks.

    Args:
        whole: the run's own, N samples.
        probabilities: (N, C).
        worth: layers that the compressed model stands for, kept with each sample.
        fingerprint: of the compressed model.
    """
    last = whole.exits[-1]
    return replace(
        whole,
        probabilities=probabilities[:, None],
        exits=(last,),
        tiers=(last,),
        sources=(),
        tier_sources=(),
        models={},
        model=fingerprint,
        extra={**whole.extra, LAYERS_WORTH: np.full(len(whole), worth)},
    )


def _scores(settings: CompressionSettings, whole: Trace, small: Trace) -> dict[str, Any]:
    """Accuracy and metric of the mobile's exit, the last exit and the compressed model."""
    last = len(whole.exits) - 1
    heads = {"whole": (whole, last), "compressed": (small, 0)}
    if settings.fitted_layer in whole.exits:
        heads["exit"] = (whole, whole.exits.index(settings.fitted_layer))
    result: dict[str, Any] = {}
    for name, (trace, column) in heads.items():
        confusion = confusion_matrix(
            trace.labels, trace.predictions[:, column], len(trace.label_names)
        )
        result[name] = {
            "accuracy": accuracy(confusion),
            "metric": score(trace.metric, confusion),
        }
    same = whole.predictions[:, last] == small.predictions[:, 0]
    result["same_answer"] = float(same.mean())
    return result
