"""The whole model in 8 bits, as the export's ``--int8`` makes it, computed by torch.

The numbers are those of ``training/export/quantise``: weights of the linear layers in signed 8-bit
whole numbers with a scale for each output, their inputs in 8 bits with a scale for each token, the
table of words with a scale for each word; the rest in fp32. They are laid out here as fp32 numbers
that have only these values, and multiplied by torch: the answers are the exported graph's but for
rounding, without making a graph.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn

from dimec.training.compression.operations import linear_layers
from dimec.training.export.quantise import quantise_columns
from dimec.training.model import MultiExitClassifier

_LEVELS = 127


@torch.no_grad()
def quantise_model(model: MultiExitClassifier) -> None:
    """Give a model the weights of 8 bits, and its linear layers inputs of 8 bits, for good."""
    for layer in linear_layers(model):
        layer.weight.data = _eight_bits(layer.weight)
        layer.register_forward_pre_hook(_round_input)
    table = cast(Any, model.encoder).get_input_embeddings()
    table.weight.copy_(_eight_bits(table.weight))


def round_tokens(x: Tensor) -> Tensor:
    """(…, K) activations in 255 levels: each token's in steps of 1/127 of its largest value."""
    size = x.abs().amax(dim=-1, keepdim=True)
    unit = x / torch.where(size > 0, size, torch.ones_like(size))
    rounded: Tensor = (unit * _LEVELS).round() / _LEVELS * size
    return rounded


def _round_input(_: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return (round_tokens(args[0]), *args[1:])


def _eight_bits(weights: Tensor) -> Tensor:
    """(N, K) weights as 8-bit codes times a scale for each of the N outputs, or words."""
    codes, scales = quantise_columns(weights.detach().float().cpu().numpy().T)
    rounded = torch.from_numpy((codes.astype("float32") * scales).T.copy())
    return rounded.to(weights)
