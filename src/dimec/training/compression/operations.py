"""Operations of an encoder's layers, what is left of them in a compressed one, and its worth.

As in :meth:`dimec.tiers.latency.ModelShape.layer_flops`, of a text of T tokens: two operations for
each weight of the linear layers and each token, 2·T·P, and 4·T²·w a layer for the attention's two
products, of queries with keys and of weights with values. Here they are counted from a model's own
weights, so that what was taken out of it can be left out.

The *worth* of a compressed model is how many layers of the whole one take as many operations:

    worth = l · (operations left) / (operations of the whole model's l layers)

and it is charged for so many layers.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from torch import nn

from dimec.base.errors import ConfigError
from dimec.tiers.latency import RATE_TOKENS
from dimec.training.encoders import layer_list
from dimec.training.model import MultiExitClassifier

# More than this is never taken out of a matrix: a layer must have something to compute with.
MOST_SPARSE = 0.99
# A processor's vectors hold four times as many 8-bit numbers as fp32 ones.
_INT8_SHARE = 8 / 32
# The projection behind the heads: BERT and its kin, DistilBERT, MPNet, ModernBERT, T5.
_OUTPUTS = re.compile(
    r"(attention\.output\.dense|attention\.out_lin|attention\.attn\.o|attn\.Wo|SelfAttention\.o)$"
)


@dataclass(frozen=True)
class Operations:
    """Operations of the l layers of an encoder on a text of T tokens.

    Attributes:
        layers: l.
        linear: of all linear layers, those of the attention included.
        projections: of the attention's four projections alone.
        products: of the attention's two products.
    """

    layers: int
    linear: float
    projections: float
    products: float

    @property
    def total(self) -> float:
        """Of the whole model."""
        return self.linear + self.products

    def worth(self, left: float) -> float:
        """How many of the model's layers take ``left`` operations."""
        return self.layers * left / self.total

    def with_weights(self, share: float) -> float:
        """Operations left where that share of the linear layers' weights is not zero.

        The attention's products have no weights, and stay.
        """
        return share * self.linear + self.products

    def with_heads(self, share: float) -> float:
        """Operations left with that share of the heads: feed-forward networks stay."""
        return self.linear - self.projections + share * (self.projections + self.products)

    def with_int8(self) -> float:
        """Operations of fp32 that take as long as the model with 8-bit linear layers, at best.

        Four products of 8 bits stand for one of 32; the attention's products stay in fp32.
        """
        return _INT8_SHARE * self.linear + self.products

    def weight_sparsity(self, layer: int) -> float:
        """The share s of weights that has to go for the operations of m of the l layers.

        (1 - s)·linear + products = (m/l)·total, so s = (1 - m/l)·total / linear, 0.99 at most.

        Args:
            layer: m, 1 … l.

        Example:
            >>> Operations(4, linear=80.0, projections=30.0, products=20.0).weight_sparsity(2)
            0.625
        """
        wanted = (1 - layer / self.layers) * self.total / self.linear
        return min(wanted, MOST_SPARSE)

    def head_sparsity(self, layer: int) -> float:
        """The share of heads that has to go for the operations of m of the l layers.

        Of the attention's operations, projections and products, each head has its part:
        s = (1 - m/l)·total / (projections + products). Above 1 heads alone do not suffice.
        """
        return (1 - layer / self.layers) * self.total / (self.projections + self.products)


def operations_of(model: MultiExitClassifier, tokens: int = RATE_TOKENS) -> Operations:
    """The operations of a model's layers on a text of T tokens, by its weights.

    Raises:
        ConfigError: an encoder whose layers or attention cannot be told apart.
    """
    matrices = [module.weight.numel() for module in linear_layers(model)]
    outputs = attention_outputs(model)
    projections = [4 * module.weight.numel() for module in outputs]
    widths = [module.in_features for module in outputs]
    return Operations(
        len(layer_list(model.encoder)),
        2.0 * tokens * sum(matrices),
        2.0 * tokens * sum(projections),
        4.0 * tokens**2 * sum(widths),
    )


def linear_layers(model: MultiExitClassifier) -> list[nn.Linear]:
    """Every linear layer inside of the encoder's layers, in their order.

    Embeddings and classifiers are none of them: the one is looked up, the other is tiny.
    """
    modules = layer_list(model.encoder).modules()
    return [module for module in modules if isinstance(module, nn.Linear)]


def attention_outputs(model: MultiExitClassifier) -> list[nn.Linear]:
    """The projection behind each layer's heads, whose input is all heads side by side.

    Raises:
        ConfigError: an encoder of another architecture.
    """
    found: list[nn.Linear] = []
    for layer in layer_list(model.encoder):
        named: dict[str, Any] = dict(layer.named_modules())
        own = [module for name, module in named.items() if _OUTPUTS.search(name)]
        if len(own) != 1 or not isinstance(own[0], nn.Linear):
            raise ConfigError(
                f"cannot tell the attention heads of {type(model.encoder).__name__} apart; use an "
                "encoder such as BERT, RoBERTa, DistilBERT, ELECTRA, MPNet or ModernBERT"
            )
        found.append(own[0])
    return found
