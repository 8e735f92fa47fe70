"""The first tier's model, traced once and cut into the parts that a phone runs.

As for the bundle's graphs (:mod:`dimec.training.export.graphs`), the whole model is traced, and
each part is what leads from some of its values to others, so that any encoder goes the same way.
Two things differ: a phone runs one text at a time, so no part has padding or a mask, and the trace
is torch's own, which ExecuTorch takes.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn

from dimec.base.errors import ConfigError
from dimec.bundle.graphs import HIDDEN, HIDDEN_OUT, MASK, PROBABILITIES
from dimec.bundle.phone import program_names
from dimec.training.export.cuts import POOLED, hidden_at, probabilities_at
from dimec.training.export.graphs import quiet, reason_of, simplify_embeddings
from dimec.training.model import MultiExitClassifier, Pooling

_EXAMPLE = 7  # tokens of the text that is traced; any number would do
_SIZE = torch.ops.aten.sym_size.int


@dataclass(frozen=True)
class PhonePart:
    """A part of the model, as torch exports it.

    Attributes:
        file: of the program that it becomes.
        start, stop: the layers that it runs, as of :class:`dimec.bundle.phone.ProgramRecord`.
        inputs, outputs: names, in order.
        program: a ``torch.export.ExportedProgram``, of any number of tokens up to the limit.
    """

    file: str
    start: int
    stop: int
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    program: Any


def phone_parts(
    model: MultiExitClassifier, inputs: Sequence[str], segments: Sequence[int], max_tokens: int
) -> list[PhonePart]:
    """The embedding layer, and the layers cut behind some exits.

    Args:
        model: with ``attn_implementation="eager"``. It is changed, and of no use afterwards.
        inputs: names of what the embedding layer takes, each (1, T) int64.
        segments: exits, ascending; layers behind the last are left out.
        max_tokens: the longest text.

    Raises:
        ConfigError: torch cannot export this encoder, or its layers read more than hidden states.
    """
    simplify_embeddings(model.encoder, max_tokens, "token_type_ids" in inputs)
    whole = _Whole(model, inputs, segments).eval()
    # Sizes of 0 and 1 would be taken for constants; the runtime takes texts of one token all the
    # same, which the parity check tries where there are such.
    most = max(max_tokens, 3)
    tokens = torch.export.Dim("tokens", min=2, max=most)
    size = min(_EXAMPLE, most)
    # A tensor each: torch takes one that is given twice for one input.
    ids = tuple(torch.zeros((1, size), dtype=torch.int64) for _ in inputs)
    hidden = torch.zeros((1, size, model.config.encoder.hidden_size))
    try:
        with quiet(), _no_masks(), torch.no_grad():
            # Of the whole, all inputs are one argument: a tuple of tensors.
            shapes = (tuple({1: tokens} for _ in inputs),)
            traced = torch.export.export(whole, ids, dynamic_shapes=shapes).module()
            found = []
            for file, cut in zip(
                program_names(segments), _cuts(traced, whole.outputs, inputs, segments), strict=True
            ):
                given = ids if cut.stop == 0 else (hidden,)
                axes = tuple({1: tokens} for _ in given)
                program = torch.export.export(cut.module, given, dynamic_shapes=axes)
                names = tuple(inputs) if cut.stop == 0 else (HIDDEN,)
                found.append(PhonePart(file, cut.start, cut.stop, names, cut.outputs, program))
            return found
    except ConfigError:
        raise
    except Exception as error:
        raise ConfigError(
            f"torch cannot export the encoder {type(model.encoder).__name__} for a phone "
            f"({reason_of(error)}); leave out --executorch"
        ) from None


@contextmanager
def _no_masks() -> Iterator[None]:
    """Let transformers make no mask of ordinary attention, where no token is padding.

    Its own would be eight operators a part that are left to kernels, and add zeros. What kinds of
    attention need one get it.
    """
    from transformers.masking_utils import (
        ALL_MASK_ATTENTION_FUNCTIONS,
        bidirectional_mask_function,
        eager_mask,
    )

    def no_mask(*sizes: Any, **options: Any) -> Any:
        plain = options.get("mask_function") is bidirectional_mask_function
        if options.get(MASK) is None and plain:
            return None
        return eager_mask(*sizes, **options)

    ALL_MASK_ATTENTION_FUNCTIONS["eager"] = no_mask
    try:
        yield
    finally:
        del ALL_MASK_ATTENTION_FUNCTIONS["eager"]


class _Whole(nn.Module):
    """All that the phone computes of one text, in one pass; ``outputs`` are the values' names."""

    def __init__(
        self, model: MultiExitClassifier, names: Sequence[str], segments: Sequence[int]
    ) -> None:
        super().__init__()
        self.model = model
        self.names = tuple(names)
        self.segments = tuple(segments)
        ends = [name(layer) for layer in segments for name in (hidden_at, probabilities_at)]
        self.outputs = (HIDDEN, POOLED, *ends)

    def forward(self, *values: Tensor) -> tuple[Tensor, ...]:
        config = self.model.config
        inputs = dict(zip(self.names, values, strict=True))
        layers = self.model.encoder(**inputs, output_hidden_states=True).hidden_states
        ends: list[Tensor] = []
        for layer in self.segments:
            logits = self.model.heads[str(layer)](_pool(layers[layer], config.head_pooling))
            ends += [layers[layer], torch.softmax(logits, -1)]
        return (layers[0], _pool(layers[0], config.embedding_pooling), *ends)


def _pool(hidden: Tensor, how: Pooling) -> Tensor:
    """(1, D) from (1, T, D), as :func:`dimec.training.model.pool` where no token is padding."""
    if how == "cls":
        return hidden[:, 0]
    return hidden.amax(dim=1) if how == "max" else hidden.mean(dim=1)


@dataclass(frozen=True)
class _Cut:
    module: fx.GraphModule
    start: int
    stop: int
    outputs: tuple[str, ...]


def _cuts(
    traced: Any, names: Sequence[str], inputs: Sequence[str], segments: Sequence[int]
) -> list[_Cut]:
    """The parts of a trace, as graphs that can be exported by themselves."""
    nodes = list(traced.graph.nodes)
    given = [node for node in nodes if node.op == "placeholder"]
    values = dict(zip(names, nodes[-1].args[0], strict=True))
    ends = [values[HIDDEN], values[POOLED]]
    embed = cut_graph(traced, dict(zip(given, inputs, strict=True)), ends)
    found = [_Cut(embed, 0, 0, (HIDDEN, POOLED))]
    for start, stop in itertools.pairwise((0, *segments)):
        ends, told = [values[probabilities_at(stop)]], [PROBABILITIES]
        if stop != segments[-1]:
            ends, told = [*ends, values[hidden_at(stop)]], [*told, HIDDEN_OUT]
        module = cut_graph(traced, {values[hidden_at(start)]: HIDDEN}, ends)
        found.append(_Cut(module, start, stop, tuple(told)))
    return found


def cut_graph(
    traced: fx.GraphModule, sources: Mapping[fx.Node, str], ends: Sequence[fx.Node]
) -> fx.GraphModule:
    """The part of a graph between some of its values.

    A size of an input that the part does not have is taken of its own first input: the number of
    texts and of tokens are the first two sizes of both.

    Args:
        traced: it is left as it is.
        sources: a value that becomes an input → its name as such.
        ends: the values that become the outputs, in order.

    Raises:
        ConfigError: the part needs an input of the whole that it does not have.
    """
    wanted: set[fx.Node] = set()
    waiting = list(ends)
    while waiting:
        node = waiting.pop()
        if node in wanted or node in sources:
            continue
        wanted.add(node)
        if not _is_size(node):
            waiting += node.all_input_nodes
    graph = fx.Graph()
    copies = {node: graph.placeholder(name) for node, name in sources.items()}
    first = next(iter(copies.values()))
    for node in traced.graph.nodes:
        if node not in wanted:
            continue
        if node.op == "placeholder":
            raise ConfigError(
                "the encoder reads its token ids again behind the embedding layer, so its layers "
                "cannot be run from hidden states on a phone; leave out --executorch"
            )
        if _is_size(node):
            copies[node] = graph.call_function(_SIZE, (first, node.args[1]))
        else:
            copies[node] = graph.node_copy(node, lambda one: copies[one])
    graph.output(tuple(copies[node] for node in ends))
    return fx.GraphModule(traced, graph)


def _is_size(node: fx.Node) -> bool:
    """Whether it is a size of an input of the whole."""
    if node.op != "call_function" or node.target is not _SIZE:
        return False
    of: Any = node.args[0]
    return bool(of.op == "placeholder")
