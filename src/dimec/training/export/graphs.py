"""From the trained model to ONNX graphs: one trace of the whole model, cut into the tiers' parts.

The model is traced once, with the hidden states and the probabilities at every exit as outputs, and
each tier's graph is the part of that trace which leads to its output. So the tiers cannot differ
in what they share, and any encoder that training takes goes the same way. The first tier's layers
are several such parts, one behind the other: it may stop between them.

What makes the graphs quick was measured: a key mask in place of the general mask of transformers,
embeddings without look-ups that always give the same, and means as matrix products. onnxruntime's
fused operators (attention, skip-layer normalisation, bias and GELU) gave nothing or cost time.
"""

from __future__ import annotations

import io
import logging
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from dimec.base.errors import ConfigError, MissingExtraError
from dimec.bundle.graphs import HIDDEN, MASK
from dimec.data.backbones import short
from dimec.training.batching import Encoded
from dimec.training.export.cuts import POOLED, hidden_at, initializer, probabilities_at
from dimec.training.model import MultiExitClassifier, Pooling, pool
from dimec.training.ready import ReadyClassifier, RunModel

_OPSET = 20  # the first with Gelu; onnxruntime runs it since 1.17
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def require_exporter() -> None:
    """Raise MissingExtraError unless what torch needs to export is installed."""
    for package in ("onnx", "onnxscript"):
        try:
            __import__(package)
        except ModuleNotFoundError as error:
            if error.name != package:
                raise
            raise MissingExtraError(package, "export", "exporting a run") from None


def graph_inputs(encoded: Encoded, pairs: bool) -> list[str]:
    """Names of the graphs' inputs; token types only where they say something."""
    types = encoded.columns.get("token_type_ids")
    told = types is not None and (pairs or bool(types.any()))
    return ["input_ids", MASK, *(["token_type_ids"] if told else [])]


def trace_graph(model: RunModel, inputs: Sequence[str], max_tokens: int) -> Any:
    """The whole model as one ONNX graph, an ``onnx_ir.Model``.

    Its outputs are ``hidden`` (B, T, D), the embeddings, ``pooled`` (B, D), and of every exit the
    hidden states behind its layer (B, T, D) and the class probabilities (B, C). Of a classifier
    that was taken as it is, which no first tier runs, it is the probabilities alone.

    Args:
        model: with ``attn_implementation="eager"``. It is changed, and of no use afterwards.
        inputs: names of the graph's inputs, each (B, T) int64.
        max_tokens: the longest text that the graph takes.

    Raises:
        ConfigError: torch cannot export this encoder.
        MissingExtraError: onnx or onnxscript is not installed.
    """
    require_exporter()
    simplify_embeddings(model.encoder, max_tokens, "token_type_ids" in inputs)
    # Two rows of two tokens: sizes of 1 would be taken for constants.
    ids = torch.ones((2, 2), dtype=torch.int64)
    traced = _Ready(model, inputs) if isinstance(model, ReadyClassifier) else _Traced(model, inputs)
    example = {name: ids * int(name == MASK) for name in inputs}
    # With a bound on the length, the positions need no check of their own in the graph.
    tokens = torch.export.Dim("tokens", min=2, max=max(max_tokens, 3))
    axes = {0: torch.export.Dim.DYNAMIC, 1: tokens}
    try:
        with quiet(), _key_masks(), torch.no_grad():
            program = torch.onnx.export(
                traced.eval(),
                tuple(example.values()),
                dynamo=True,
                dynamic_shapes=(tuple(axes for _ in inputs),),
                input_names=list(inputs),
                output_names=traced.outputs,
                opset_version=_OPSET,
                verbose=False,
            )
    except Exception as error:
        raise ConfigError(
            f"torch cannot export the encoder {type(model.encoder).__name__} to ONNX "
            f"({reason_of(error)}); its runs give a ledger, but no bundle"
        ) from None
    whole = program.model  # type: ignore[union-attr]  # None only where dynamo is not used
    _tidy(whole)
    return whole


class _Traced(nn.Module):
    """All that the tiers compute, in one pass; ``outputs`` are its names."""

    def __init__(self, model: MultiExitClassifier, names: Sequence[str]) -> None:
        super().__init__()
        self.model = model
        self.names = tuple(names)
        ends = [name(layer) for layer in model.exits for name in (hidden_at, probabilities_at)]
        self.outputs = [HIDDEN, POOLED, *ends]

    def forward(self, *values: Tensor) -> tuple[Tensor, ...]:
        inputs = dict(zip(self.names, values, strict=True))
        config, mask = self.model.config, inputs[MASK]
        layers = self.model.encoder(**inputs, output_hidden_states=True).hidden_states
        exits: list[Tensor] = []
        for layer in self.model.exits:
            logits = self.model.heads[str(layer)](_pool(layers[layer], mask, config.head_pooling))
            exits += [layers[layer], torch.softmax(logits, -1)]
        return (layers[0], _pool(layers[0], mask, config.embedding_pooling), *exits)


class _Ready(nn.Module):
    """What a tier of a ready classifier computes."""

    def __init__(self, model: ReadyClassifier, names: Sequence[str]) -> None:
        super().__init__()
        self.model = model
        self.names = tuple(names)
        self.outputs = [probabilities_at(model.exits[-1])]

    def forward(self, *values: Tensor) -> Tensor:
        inputs = self.model.inputs(**dict(zip(self.names, values, strict=True)))
        return torch.softmax(self.model.in_order(self.model.classifier(**inputs).logits), -1)


def _pool(hidden: Tensor, mask: Tensor, how: Pooling) -> Tensor:
    """As :func:`dimec.training.model.pool`; the mean as a product, a third of its time."""
    if how != "mean":
        return pool(hidden, mask, how)
    weights = mask.to(hidden.dtype)
    return torch.bmm(weights.unsqueeze(1), hidden).squeeze(1) / weights.sum(dim=1, keepdim=True)


class _NoTypes(nn.Module):
    """In place of a table of token types that has become part of the positions."""

    def forward(self, _ids: Tensor) -> Tensor:
        return torch.zeros(())


class _Positions(nn.Module):
    """In place of a table of positions that is read from its start: a slice, not a look-up."""

    def __init__(self, table: Tensor) -> None:
        super().__init__()
        self.table = nn.Parameter(table.clone(), requires_grad=False)

    def forward(self, ids: Tensor) -> Tensor:
        return self.table[: ids.shape[1]]


def simplify_embeddings(encoder: nn.Module, max_tokens: int, types: bool) -> None:
    """Leave out what a table of token types or positions does not need to be asked for.

    Where a text stands alone, every token has the first type, which is added to every position
    once and for all. Where the positions are 0, 1, 2, …, they need no look-up. RoBERTa's and
    MPNet's, which depend on the padding, stay as they are.

    Args:
        encoder: is changed.
        max_tokens: the longest text; positions behind it are left out.
        types: whether the graph gets token types.
    """
    for parent in list(encoder.modules()):
        positions = getattr(parent, "position_embeddings", None)
        if not isinstance(positions, nn.Embedding):
            continue
        table = positions.weight.detach()
        kinds = getattr(parent, "token_type_embeddings", None)
        if isinstance(kinds, nn.Embedding) and not types:
            table = table + kinds.weight.detach()[0]
            positions.weight = nn.Parameter(table, requires_grad=False)
            parent.token_type_embeddings = _NoTypes()
        order = getattr(parent, "position_ids", None)
        if positions.padding_idx is not None or not isinstance(order, Tensor):
            continue
        if torch.equal(order.flatten(), torch.arange(len(table))):
            parent.position_embeddings = _Positions(table[:max_tokens])


@contextmanager
def _key_masks() -> Iterator[None]:
    """Let transformers make the mask of ordinary attention as (B, 1, 1, T), without a (T, T) part.

    Its own general mask takes twenty operators, for kinds of attention that no encoder here has;
    where one does, its own mask is what it gets.
    """
    from transformers.masking_utils import (
        ALL_MASK_ATTENTION_FUNCTIONS,
        bidirectional_mask_function,
        eager_mask,
    )

    def key_mask(*sizes: Any, **options: Any) -> Any:
        mask = options.get(MASK)
        plain = options.get("mask_function") is bidirectional_mask_function
        if mask is None or mask.ndim != 2 or not plain:
            return eager_mask(*sizes, **options)
        dtype = options.get("dtype", torch.float32)
        return torch.where(mask[:, None, None, :].bool(), 0.0, torch.finfo(dtype).min)

    ALL_MASK_ATTENTION_FUNCTIONS["eager"] = key_mask
    try:
        yield
    finally:
        del ALL_MASK_ATTENTION_FUNCTIONS["eager"]


@contextmanager
def quiet() -> Iterator[None]:
    """Keep the exporter's warnings and pages of notes from the user; what goes wrong is raised.

    They come from several of torch's loggers, and some are printed.
    """
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with (
            warnings.catch_warnings(),
            redirect_stdout(io.StringIO()),
            redirect_stderr(io.StringIO()),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def reason_of(error: BaseException) -> str:
    """Why torch could not export, in a line: what first went wrong, not what came of it."""
    while error.__cause__ is not None:
        error = error.__cause__
    return _COLOUR.sub("", short(error, 150))


def _tidy(model: Any) -> None:
    """Prepare a trace for being cut: one source of sizes, no notes of where a node came from."""
    from onnx_ir.passes.common import ClearMetadataAndDocStringPass

    ClearMetadataAndDocStringPass()(model)
    mask = next(value for value in model.graph.inputs if value.name == MASK)
    for value in model.graph.inputs:
        for node in value.consumers():
            # Every part of the graph has the mask, but not every part has the token ids.
            if node.op_type == "Shape" and value is not mask:
                node.replace_input_with(0, mask)
    _fix_reshapes(model.graph)
    kept = {*model.graph.inputs, *model.graph.outputs, *model.graph.initializers.values()}
    for node in model.graph:
        for value in node.outputs:
            if value not in kept:
                value.shape = None


def _fix_reshapes(graph: Any) -> None:
    """Give reshapes whose batch and length stay as they are a constant shape.

    ONNX takes 0 for "this size of the input"; computing the sizes would be four operators in every
    graph that is cut, as much as a tenth of what a cut costs.
    """
    for node in graph:
        if node.op_type != "Reshape" or node.inputs[1].const_value is not None:
            continue
        before, after = node.inputs[0].shape, node.outputs[0].shape
        if before is None or after is None:
            continue
        sizes = [
            size if isinstance(size, int) else 0 if before[i] == size else None
            for i, size in enumerate(after)
            if isinstance(size, int) or i < len(before)
        ]
        if len(sizes) == len(after) and None not in sizes:
            name = f"shape_{'_'.join(map(str, sizes))}"
            node.replace_input_with(1, initializer(graph, name, np.array(sizes, np.int64)))
            node.attributes.pop("allowzero", None)
