"""Pruning attention heads by how much the loss depends on them, without training on.

Source: Michel, Levy and Neubig, Are Sixteen Heads Really Better than One? (NeurIPS 2019, arXiv
1905.10650), section 4. Each head h gets a mask ξ_h, 1 where it is there, which multiplies its
output before the projection behind the heads. Its importance is the mean over texts

    I_h = E_x |∂L(x) / ∂ξ_h|     (equation 2)

of the loss of the labels, divided by the Euclidean norm of the importances of its layer (Molchanov
et al., arXiv 1611.06440). The heads of the least importance go, a tenth of all at a time, and after
each tenth the importances are computed anew.

Here the loss is the last exit's, and the texts are training rows. Departures: one head of each
layer always stays; and the paper sets shares of heads, here the share follows from operations.
Heads are at most the attention's part of a layer's operations, about a third at the usual shapes:
where all but one of each layer do not suffice, these go, and what is left is charged.

transformers prunes heads no longer by itself. The columns of the projection that read a head are
masked by torch's ``prune.custom_from_mask``, which gives the answers of a model without it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn.utils import prune

from dimec.base.arrays import FloatArray
from dimec.base.progress import Progress
from dimec.training.batching import Encoded, inference_batches
from dimec.training.compression.operations import attention_outputs
from dimec.training.model import MultiExitClassifier

STEP = 0.1  # of all heads, that go before importances are computed anew

Kept = npt.NDArray[np.bool_]


def head_count(model: MultiExitClassifier) -> int:
    """H, heads of each layer."""
    return int(model.config.encoder.num_attention_heads)


def wanted_heads(sparsity: float, layers: int, heads: int) -> int:
    """How many of all heads go: the least number that is that share, but one a layer stays.

    Example:
        >>> wanted_heads(0.5, 2, 3), wanted_heads(0.51, 2, 3), wanted_heads(2.0, 2, 3)
        (3, 4, 4)
    """
    return min(math.ceil(round(sparsity * layers * heads, 9)), layers * (heads - 1))


@contextmanager
def masked_heads(outputs: Sequence[nn.Linear], masks: Sequence[Tensor]) -> Iterator[None]:
    """Multiply each head's output by its mask, for as long as the block runs.

    Args:
        outputs: the projection behind the heads of each layer.
        masks: for each layer (B, H), or (1, H) for all texts alike.
    """

    def hook(mask: Tensor) -> Any:
        def multiply(_: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            size = args[0].shape[-1] // mask.shape[1]
            return (args[0] * mask.repeat_interleave(size, dim=1)[:, None], *args[1:])

        return multiply

    handles = [
        output.register_forward_pre_hook(hook(mask))
        for output, mask in zip(outputs, masks, strict=True)
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def head_importance(
    model: MultiExitClassifier,
    kept: Kept,
    rows: tuple[Encoded, npt.NDArray[np.int64]],
    progress: Progress,
    stage: str = "how much heads matter",
) -> FloatArray:
    """(L, H) importances, each layer's of norm 1; see the module.

    Args:
        model: without dropout.
        kept: (L, H) heads that are there; the others' masks are 0.
        rows: tokenised texts, and their labels.
        progress: told of each batch.
        stage: what it is called there.
    """
    encoded, labels = rows
    outputs, last = attention_outputs(model), model.exits[-1]
    model.eval().requires_grad_(False)
    total = np.zeros(kept.shape)
    progress.start(stage, len(encoded))
    for batch in inference_batches(encoded.lengths):
        masks = [
            torch.tensor(np.tile(row, (len(batch), 1)), dtype=torch.float32, device=model.device)
            for row in kept
        ]
        for mask in masks:
            mask.requires_grad_(True)
        with masked_heads(outputs, masks):
            inputs = encoded.batch(batch, model.device)
            logits = model(**inputs, exits=(last,)).logits[:, 0]
        gold = torch.from_numpy(labels[batch]).to(model.device)
        # The sum over texts: each has masks of its own, and so its own gradient.
        loss = nn.functional.cross_entropy(logits, gold, reduction="sum")
        gradients = torch.autograd.grad(loss, masks)
        total += np.stack([g.abs().sum(dim=0).double().cpu().numpy() for g in gradients])
        progress.advance(len(batch))
    progress.end()
    return by_layer(total / len(encoded))


def by_layer(importance: FloatArray) -> FloatArray:
    """Importances (L, H) divided by the Euclidean norm of their layer's; zeros stay zeros."""
    norms = np.sqrt((importance**2).sum(axis=1, keepdims=True))
    scaled: FloatArray = np.divide(
        importance, norms, out=np.zeros_like(importance), where=norms > 0
    )
    return scaled


def least_important(importance: FloatArray, kept: Kept, count: int) -> Kept:
    """The heads that are kept when the ``count`` least important go, but for one of each layer.

    Args:
        importance: (L, H).
        kept: (L, H) heads that are there now.
        count: how many are to go; fewer do where no layer has two left.
    """
    left = kept.copy()
    for place in np.argsort(importance, axis=None, kind="stable"):
        layer, head = np.unravel_index(place, kept.shape)
        if count > 0 and left[layer, head] and left[layer].sum() > 1:
            left[layer, head] = False
            count -= 1
    return left


def choose_heads(
    model: MultiExitClassifier,
    sparsity: float,
    rows: tuple[Encoded, npt.NDArray[np.int64]],
    progress: Progress,
) -> Kept:
    """(L, H) heads that stay when that share of all goes, a tenth of them at a time.

    Args:
        model: whose heads they are.
        sparsity: share of all heads.
        rows: tokenised texts, and their labels, that tell importances.
        progress: told of each tenth.
    """
    layers, heads = len(attention_outputs(model)), head_count(model)
    kept = np.ones((layers, heads), bool)
    wanted, step = wanted_heads(sparsity, layers, heads), math.ceil(STEP * layers * heads)
    while (gone := int((~kept).sum())) < wanted:
        stage = f"how much heads matter, {gone} of {wanted} gone"
        importance = head_importance(model, kept, rows, progress, stage)
        kept = least_important(importance, kept, min(step, wanted - gone))
    return kept


def remove_heads(model: MultiExitClassifier, kept: Kept) -> None:
    """Set the weights to zero that read the heads which are not kept, for good."""
    for output, row in zip(attention_outputs(model), kept, strict=True):
        columns = np.repeat(row, output.in_features // len(row))
        mask = torch.from_numpy(columns).to(output.weight).expand_as(output.weight)
        prune.custom_from_mask(output, "weight", mask)  # type: ignore[no-untyped-call]  # untyped in torch
        prune.remove(output, "weight")  # type: ignore[no-untyped-call]  # untyped in torch
