"""What TensorBoard shows of a run, by its own reader."""

from __future__ import annotations

from pathlib import Path
from typing import Any

Scalars = dict[str, list[tuple[int, float]]]


def _read(run: Path) -> Any:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(run / "tracking" / "tensorboard"))
    events.Reload()
    return events


def scalars(run: Path) -> Scalars:
    """Name → (step, value) of all numbers."""
    events = _read(run)
    return {
        tag: [(one.step, one.value) for one in events.Scalars(tag)]
        for tag in events.Tags()["scalars"]
    }


def texts(run: Path) -> dict[str, list[str]]:
    """Name → texts, each as it was told."""
    events = _read(run)
    return {
        tag.removesuffix("/text_summary"): [
            one.tensor_proto.string_val[0].decode() for one in events.Tensors(tag)
        ]
        for tag in events.Tags()["tensors"]
    }
