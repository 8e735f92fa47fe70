"""A trained model with a bottleneck between two of its layers, and what it says."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from dimec.training.bottleneck.code import Bottleneck
from dimec.training.encoders import hooked_layers
from dimec.training.model import MultiExitClassifier, pool


class BottleneckedModel(nn.Module):
    """A trained model with a bottleneck at a split, and all of it frozen but what a stage trains.

    Args:
        model: the run's; frozen, and without dropout, from here on.
        bottleneck: fresh or trained.
        layer: m, of the split; the bottleneck stands between the layers m and m + 1.
    """

    def __init__(self, model: MultiExitClassifier, bottleneck: Bottleneck, layer: int) -> None:
        super().__init__()
        self.model = model.requires_grad_(False).eval()
        self.bottleneck = bottleneck
        layers = hooked_layers(model.encoder)
        self.layer = layer
        self.before = layers[:layer]
        self.behind = layers[layer:]
        self.head = model.heads[str(model.exits[-1])]
        self.restored: Tensor | None = None

    def trained(self, tail: bool, front: bool = False) -> nn.ModuleDict:
        """All that training may change.

        The bottleneck; the layers behind it with ``tail``; those before it with ``front``.
        """
        parts: dict[str, nn.Module] = {"bottleneck": self.bottleneck}
        if front:
            parts["front"] = self.before
        if tail:
            parts |= {"tail": self.behind, "head": self.head}
        return nn.ModuleDict(parts)

    @contextmanager
    def spliced(self) -> Iterator[MultiExitClassifier]:
        """The model with the bottleneck between its layers; without it again behind the block.

        Its exits up to the split answer as ever. What the bottleneck gave back last is kept in
        ``restored``.
        """

        def replace(_: nn.Module, args: Any, kwargs: Any) -> tuple[Any, Any]:
            if args:
                self.restored = self.bottleneck(args[0])
                return (self.restored, *args[1:]), kwargs
            self.restored = self.bottleneck(kwargs["hidden_states"])
            return args, {**kwargs, "hidden_states": self.restored}

        # In front of the next layer: what the layer before it hands to its exit stays untouched.
        handle = self.behind[0].register_forward_pre_hook(replace, with_kwargs=True)
        try:
            yield self.model
        finally:
            handle.remove()
            self.restored = None


def answer(
    model: MultiExitClassifier, inputs: dict[str, Tensor]
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Logits (B, C) of the last exit, and the hidden states (B, T, D) after each layer."""
    hidden = model.encoder(**inputs, output_hidden_states=True).hidden_states
    last = model.exits[-1]
    pooled = pool(hidden[last], inputs["attention_mask"], model.config.head_pooling)
    return model.heads[str(last)](model.dropout(pooled)), hidden[1:]
