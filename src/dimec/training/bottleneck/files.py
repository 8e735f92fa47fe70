"""A bottleneck's settings, its folder, its traces, and what is written down about it."""

from __future__ import annotations

import datetime
import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dimec.base.metrics import accuracy, confusion_matrix, score
from dimec.policies.literature.bottleneck import (
    CODE_BYTES,
    CODE_LAYER,
    token_code_bytes,
)
from dimec.runs.bottleneck import BottleneckSettings
from dimec.runs.side_folder import SideFolder
from dimec.runs.workspace import RunDirectory
from dimec.tiers.usage import FLOAT_BYTES, TOKEN_BYTES
from dimec.traces.trace import Trace
from dimec.training.bottleneck.code import Bottleneck
from dimec.training.finish import versions

AGAIN = "train the bottleneck again with: dimec bottleneck --overwrite"
_KEYS = {"model", "bottleneck", "fingerprint", "settings", "history", "best_epoch", "scores"}


class BottleneckFolder(SideFolder):
    """Paths and readers of one bottleneck's folder; it has ``weights.safetensors`` too."""

    RECORD = "bottleneck.json"
    KEYS = _KEYS
    COMMAND = "dimec bottleneck"
    WHAT = "bottleneck"
    CHANGED = "the run was trained again since"

    @property
    def weights_path(self) -> Path:
        return self.path / "weights.safetensors"


def weights_sha256(arrays: Mapping[str, npt.NDArray[Any]]) -> str:
    """Hexadecimal SHA-256 over named arrays: their names, types, shapes and values."""
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(json.dumps([name, array.dtype.str, list(array.shape)]).encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def behind_trace(
    whole: Trace,
    probabilities: npt.NDArray[np.float32],
    settings: BottleneckSettings,
    fingerprint: str,
) -> Trace:
    """The run's trace with the last exit's probabilities from behind the bottleneck.

    Args:
        whole: the run's own, N samples.
        probabilities: (N, C) of the last exit behind the bottleneck.
        settings: of the bottleneck.
        fingerprint: of the model and the bottleneck together.
    """
    replaced = whole.probabilities.copy()
    replaced[:, -1] = probabilities
    size = token_code_bytes(settings.width, settings.bits)
    columns = {
        CODE_BYTES: size * whole.lengths.astype(np.float64),
        CODE_LAYER: np.full(len(whole), settings.split, np.float64),
    }
    extra = {**whole.extra, **columns}
    return replace(whole, probabilities=replaced, model=fingerprint, extra=extra)


def describe(
    run: RunDirectory,
    settings: BottleneckSettings,
    traces: Mapping[str, tuple[Trace, Trace]],
    train_rows: int,
    bottleneck: Bottleneck,
) -> dict[str, Any]:
    """What the record says of data, scores and bytes.

    Args:
        run: whose bottleneck it is.
        settings: of the bottleneck.
        traces: split → the run's own trace and that behind the bottleneck.
        train_rows: how many it was trained on.
        bottleneck: the trained one.
    """
    training = run.training()
    hidden = bottleneck.up.out_features
    token = {
        "code": bottleneck.token_bytes,
        "hidden_states": FLOAT_BYTES * hidden,
        "text": TOKEN_BYTES,
    }
    tokens = {split: float(whole.lengths.mean()) for split, (whole, _) in traces.items()}
    return {
        "task": training["task"],
        "metric": training["metric"],
        "layers": training["exits"][-1],
        "hidden": hidden,
        "parameters": sum(one.numel() for one in bottleneck.parameters()),
        "rows": {
            "train": train_rows,
            "train_available": training["rows"]["train"],
            **{split: len(whole) for split, (whole, _) in traces.items()},
        },
        "scores": {split: _scores(settings, *pair) for split, pair in traces.items()},
        "bytes_per_token": token,
        "bytes_per_sample": {
            split: {name: size * mean for name, size in token.items()}
            for split, mean in tokens.items()
        },
        "versions": versions(),
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
    }


def _scores(settings: BottleneckSettings, whole: Trace, behind: Trace) -> dict[str, Any]:
    """Accuracy and metric of the split's exit, the last exit and that behind the bottleneck."""
    last = len(whole.exits) - 1
    heads = {"whole": (whole, last), "bottleneck": (behind, last)}
    if settings.split in whole.exits:
        heads["split"] = (whole, whole.exits.index(settings.split))
    result: dict[str, Any] = {}
    for name, (trace, column) in heads.items():
        said = trace.predictions[:, column]
        confusion = confusion_matrix(trace.labels, said, len(trace.label_names))
        result[name] = {
            "accuracy": accuracy(confusion),
            "metric": score(trace.metric, confusion),
        }
    same = whole.predictions[:, last] == behind.predictions[:, last]
    result["same_answer"] = float(same.mean())
    return result
