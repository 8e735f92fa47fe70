"""Data maps as columns of a trace: what is left of training dynamics where only traces are kept."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from dimec.base.arrays import FloatArray
from dimec.cartography import DataMap, TrainingDynamics
from dimec.traces.trace import Trace

_PREFIX = "map."
_COORDINATES = ("confidence", "variance", "correctness")


def maps_as_columns(dynamics: TrainingDynamics) -> dict[str, FloatArray]:
    """The data map of N samples at each exit, as extra columns of their trace.

    Args:
        dynamics: of the samples.

    Returns:
        ``map.LAYER.NAME`` → (N,): confidence, variance and correctness at each recorded exit.
    """
    columns: dict[str, FloatArray] = {}
    for layer in dynamics.exits:
        data_map = dynamics.data_map(layer)
        for name in _COORDINATES:
            columns[_column(layer, name)] = np.asarray(getattr(data_map, name), np.float64)
    return columns


def data_map_in(trace: Trace, layer: int) -> DataMap | None:
    """The data map at an exit that a trace's extra columns hold; None where they do not.

    Args:
        trace: of N samples.
        layer: of the exit.
    """
    columns = [trace.extra.get(_column(layer, name)) for name in _COORDINATES]
    if any(column is None for column in columns):
        return None
    confidence, variance, correctness = (np.asarray(column, np.float64) for column in columns)
    return DataMap(confidence, variance, np.sqrt(variance), correctness)


def without_maps(trace: Trace) -> Trace:
    """The same trace without the columns that are data maps."""
    kept = {name: v for name, v in trace.extra.items() if not name.startswith(_PREFIX)}
    return replace(trace, extra=kept)


def _column(layer: int, name: str) -> str:
    return f"{_PREFIX}{layer}.{name}"
