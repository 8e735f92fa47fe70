"""The parts of a trace that the tiers run, and their files.

A trace is what :func:`dimec.training.export.graphs.trace_graph` gives.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy.typing as npt

from dimec.base.storage import storage_errors
from dimec.bundle.graphs import HIDDEN, HIDDEN_OUT, MASK, PROBABILITIES, SEGMENT, segment_name

POOLED = "pooled"

_IR_VERSION = 10  # of the file format; the newest that the oldest supported onnxruntime reads
_EXTERNAL = 4096  # bytes; larger tensors lie beside the graph, where they can be memory-mapped
_DIMENSIONS = ("batch", "tokens")


def cut_embeddings(whole: Any, inputs: Sequence[str]) -> Any:
    """The part of a trace from the token ids to the embeddings and their pooled mean."""
    return _cut(whole, {name: name for name in inputs}, {HIDDEN: HIDDEN, POOLED: POOLED})


def cut_tier(whole: Any, inputs: Sequence[str], exit_: int) -> Any:
    """The part of a trace from the token ids to the probabilities at an exit."""
    ends = {probabilities_at(exit_): PROBABILITIES}
    return _cut(whole, {name: name for name in inputs}, ends)


def cut_segments(whole: Any, exits: Sequence[int]) -> dict[int, Any]:
    """The layers between the embeddings and the last of some exits, cut behind each of them.

    Args:
        whole: a trace.
        exits: ascending, some of the model's.

    Returns:
        exit → graph from ``hidden`` (B, T, D) and ``attention_mask`` (B, T) to ``probabilities``
        (B, C) and, but for the last, ``hidden_out`` (B, T, D), which is the next one's ``hidden``.
        Each says in its metadata which layers it runs.
    """
    segments = {}
    for before, exit_ in itertools.pairwise((0, *exits)):
        ends = {probabilities_at(exit_): PROBABILITIES}
        if exit_ != exits[-1]:
            ends[hidden_at(exit_)] = HIDDEN_OUT
        segment = _cut(whole, {hidden_at(before): HIDDEN, MASK: MASK}, ends)
        segment.metadata_props[SEGMENT] = segment_name(before, exit_)
        segments[exit_] = segment
    return segments


def _cut(whole: Any, inputs: Mapping[str, str], outputs: Mapping[str, str]) -> Any:
    """The part of a graph between some of its values, an ``onnx_ir.Model``.

    Args:
        whole: an ``onnx_ir.Model``; it is left as it is.
        inputs: name of a value that becomes an input → its name as such.
        outputs: name of a value → its name as an output.
    """
    import onnx_ir as ir

    graph = ir.convenience.extract(whole.graph, list(inputs), list(outputs))
    for values, names in ((graph.inputs, inputs), (graph.outputs, outputs)):
        for value in values:
            value.name = names[str(value.name)]
    for value in (*graph.inputs, *graph.outputs):
        # What depends on the batch and the length is free, and named; the rest is fixed.
        sizes = value.shape or ()
        free = iter(_DIMENSIONS)
        value.shape = ir.Shape([s if isinstance(s, int) else next(free) for s in sizes])
    return ir.Model(graph, ir_version=_IR_VERSION, producer_name="dimec")


def save_graph(model: Any, path: Path) -> None:
    """Write a graph to ``path``, and its large tensors to ``path`` with ``.data`` behind its name.

    Raises:
        StorageError: the disk is full or refuses to write.
    """
    save_graphs({path: model}, path.with_name(f"{path.name}.data"))


def save_graphs(models: Mapping[Path, Any], beside: Path) -> None:
    """Write graphs to their paths in one folder, and the large tensors of all to ``beside``.

    A tensor that several graphs use, as in an encoder whose layers share their weights, is written
    once. In the models the tensors are replaced by those in the file.

    Raises:
        StorageError: the disk is full or refuses to write.
    """
    import onnx_ir as ir

    if places := _large_tensors(models.values()):
        with storage_errors(beside):
            outside = ir.external_data.convert_tensors_to_external(
                [values[0].const_value for values in places],
                beside.parent,
                beside.name,
                alignment=_EXTERNAL,
                align_threshold=0,
            )
        for tensor, values in zip(outside, places, strict=True):
            for value in values:
                value.const_value = tensor
    for path, model in models.items():
        with storage_errors(path):
            ir.save(model, path)


def _large_tensors(models: Iterable[Any]) -> list[list[Any]]:
    """The large initial values of some graphs; those of the same content together."""
    places: dict[tuple[Any, ...], list[Any]] = {}
    for model in models:
        for value in model.graph.initializers.values():
            tensor = value.const_value
            if tensor.nbytes >= _EXTERNAL:
                digest = hashlib.sha256(tensor.tobytes()).digest()
                places.setdefault((tensor.dtype, tuple(tensor.shape), digest), []).append(value)
    return list(places.values())


def hidden_at(layer: int) -> str:
    """The name in a trace of the hidden states behind a layer; of the embeddings for 0."""
    return f"{HIDDEN}_{layer}" if layer else HIDDEN


def probabilities_at(layer: int) -> str:
    """The name in a trace of the class probabilities at an exit."""
    return f"{PROBABILITIES}_{layer}"


def initializer(graph: Any, name: str, array: npt.NDArray[Any]) -> Any:
    """The constant of a graph of that name, made of an array where there is none yet."""
    import onnx_ir as ir

    if name not in graph.initializers:
        tensor = ir.tensor(array, name=name)
        value = ir.Value(name=name, const_value=tensor)
        value.shape, value.dtype = ir.Shape(array.shape), tensor.dtype
        graph.register_initializer(value)
    return graph.initializers[name]
