"""Traces of trained models for tests that export one model again and again.

Nearly all of an export's time goes into torch's trace of the model, which depends on the model, the
inputs and the longest text alone, and which what is cut from it leaves as it is. The first export
of a model traces it as ever; those of the same model for other tiers, looks or precisions take that
trace.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest

_TRACES: dict[tuple[str, tuple[str, ...], int], Any] = {}


def trace_once(model: Any, inputs: Sequence[str], max_tokens: int) -> Any:
    """What :func:`dimec.training.export.graphs.trace_graph` gives; not to be changed."""
    from dimec.training.export.graphs import trace_graph

    key = _digest(model), tuple(inputs), max_tokens
    if key not in _TRACES:
        _TRACES[key] = trace_graph(model, inputs, max_tokens)
    return _TRACES[key]


@contextmanager
def traced_once() -> Iterator[None]:
    """Let exports take the trace of the same model that an earlier one in this process made."""
    from dimec.training import scorer
    from dimec.training.export import writing

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(writing, "trace_graph", trace_once)
        patch.setattr(scorer, "trace_graph", trace_once)
        yield


def _digest(model: Any) -> str:
    """Of all that the model computes: its configuration, which has its exits, and its weights."""
    config = _without_paths(_as_dict(model.config))
    digest = hashlib.sha256(json.dumps(config, sort_keys=True, default=str).encode())
    for name, values in sorted(model.state_dict().items()):
        digest.update(f"{name} {values.dtype} {tuple(values.shape)}".encode())
        digest.update(values.detach().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _as_dict(config: Any) -> dict[str, Any]:
    """A configuration of ours, or of a classifier that was taken as it is."""
    if hasattr(config, "to_dict"):
        return dict(config.to_dict())
    return {**vars(config), "encoder": config.encoder.to_dict()}


def _without_paths(config: Any) -> Any:
    """Where a model lies does not matter, nor where its encoder did."""
    if not isinstance(config, dict):
        return config
    kept = {key: value for key, value in config.items() if key != "_name_or_path"}
    return {key: _without_paths(value) for key, value in kept.items()}
