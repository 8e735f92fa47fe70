"""The multi-exit classifier: a Hugging Face encoder whose layers are a list, and linear exits."""

from __future__ import annotations

import copy
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from transformers import AutoConfig, PretrainedConfig, PreTrainedModel

from dimec.base.errors import ConfigError
from dimec.base.progress import Progress
from dimec.data.backbones import backbone_source
from dimec.settings.exits import resolve_exits
from dimec.tiers.tier import check_tiers
from dimec.training.encoders import (
    drop_final_norms,
    encoder_class,
    layer_count,
    lower_layers,
    shallower,
)
from dimec.training.pretrained import load_encoder

Pooling = Literal["cls", "mean", "max"]


class MultiExitConfig(PretrainedConfig):  # type: ignore[misc]  # untyped library
    """Configuration of a :class:`MultiExitClassifier`: the encoder's own, and the exits."""

    model_type = "dimec_multi_exit"
    sub_configs = {"encoder": AutoConfig}  # noqa: RUF012 (the base class asks for a plain dict)

    def __init__(
        self,
        encoder: Any = None,
        exits: Sequence[int] = (),
        tiers: Sequence[int] = (),
        head_pooling: Pooling = "mean",
        embedding_pooling: Pooling = "mean",
        head_dropout: float = 0.1,
        max_tokens: int = 128,
        whole: bool = True,
        **kwargs: Any,
    ) -> None:
        # First, because it resets the attention implementation of any part that it finds.
        super().__init__(**kwargs)
        if isinstance(encoder, dict):
            encoder = AutoConfig.for_model(**encoder)
        self.encoder = encoder
        self.exits = list(exits)
        self.tiers = list(tiers)
        self.head_pooling = head_pooling
        self.embedding_pooling = embedding_pooling
        self.head_dropout = head_dropout
        self.max_tokens = max_tokens
        self.whole = whole  # not cut: what the encoder does behind its last layer is done


@dataclass(frozen=True)
class MultiExitOutput:
    """What one pass gives.

    Attributes:
        logits: (B, X, C), at each of the X exits.
        embedding: (B, D), the embedding layer's output pooled over the real tokens.
        mapped: (B, X, D'), what each exit reads, behind the maps to a teacher's width; None where
            nothing is learnt from a teacher's hidden states.
    """

    logits: Tensor
    embedding: Tensor
    mapped: Tensor | None = None


class MultiExitClassifier(PreTrainedModel):  # type: ignore[misc]  # untyped library
    """An encoder with a linear classifier after each of its exits' layers (paper, section IV).

    ``save_pretrained`` and ``from_pretrained`` are Hugging Face's. Use :meth:`from_backbone` to
    put fresh exits on a pretrained encoder.

    Example (not run, needs a packaged encoder):
        >>> model = MultiExitClassifier.from_backbone(
        ...     "minilm-l6", labels=("negative", "positive"), exits=(2, 3, 6)
        ... )  # doctest: +SKIP
    """

    config: MultiExitConfig
    config_class = MultiExitConfig
    base_model_prefix = ""
    _supports_sdpa = True
    supports_gradient_checkpointing = False

    def __init__(self, config: MultiExitConfig, encoder: nn.Module | None = None) -> None:
        super().__init__(config)
        if encoder is None:
            encoder = encoder_class(config.encoder).from_config(config.encoder)
        self.encoder = encoder
        # The pooler (a dense layer over the last CLS vector) belongs to the pretraining task; no
        # exit uses it, and parameters without a gradient would stop training on several processes.
        if getattr(self.encoder, "pooler", None) is not None:
            self.encoder.pooler = nn.Identity()  # some encoders call it unasked
        # RoFormer's table of sines: nothing learns it, and it never has a gradient.
        self._fixed = {
            f"{name}.weight"
            for name, module in self.encoder.named_modules()
            if "Sinusoidal" in type(module).__name__
        }
        if not config.whole:
            drop_final_norms(self.encoder)
        self.dropout = nn.Dropout(config.head_dropout)
        width = config.encoder.hidden_size
        self.heads = nn.ModuleDict(
            {str(layer): nn.Linear(width, config.num_labels) for layer in config.exits}
        )
        # To a teacher's width, while a student learns from its hidden states; not saved.
        self.maps: nn.ModuleDict | None = None
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=0.02)
            if module.bias is not None:
                nn.init.zeros_(module.bias)

    @classmethod
    def from_backbone(
        cls,
        backbone: str | Path,
        *,
        labels: Sequence[str],
        exits: Sequence[int] | Literal["all"] | None = None,
        tiers: Sequence[int] | None = None,
        layers: int | None = None,
        progress: Progress | None = None,
        **options: Any,
    ) -> MultiExitClassifier:
        """Put fresh exits on a pretrained encoder.

        Args:
            backbone: a folder, a hub name, or a packaged encoder, ``minilm-l6`` or ``mpnet-base``.
            labels: names of the C classes.
            exits, tiers: see :func:`dimec.settings.exits.resolve_exits`.
            layers: how many of the encoder's layers to take, from the first on; None: all.
            progress: told of what was put right in the encoder's weights.
            options: head_pooling, embedding_pooling, head_dropout, max_tokens.

        Raises:
            ConfigError: no such encoder, weights that do not fit it, layers that are not a list, or
                exits that do not fit its number of layers.
        """
        encoder = load_encoder(backbone_source(str(backbone)), progress)
        whole = layers in (None, depth := layer_count(encoder))
        if layers is not None and not whole:
            encoder = lower_layers(encoder, layers)
        layers = depth if layers is None else layers
        heads, chosen = resolve_exits(
            exits if exits is None or exits == "all" else tuple(exits),
            None if tiers is None else check_tiers(tiers),
            layers,
        )
        config = MultiExitConfig(
            encoder=encoder.config,
            exits=heads,
            tiers=chosen,
            id2label=dict(enumerate(labels)),
            label2id={name: code for code, name in enumerate(labels)},
            whole=whole,
            **options,
        )
        model = cls(config, encoder)
        for head in model.heads.values():
            model._init_weights(head)
        return model

    @property
    def exits(self) -> tuple[int, ...]:
        """The layers with a classifier, ascending."""
        return tuple(self.config.exits)

    @property
    def label_names(self) -> tuple[str, ...]:
        """The names of the classes."""
        return tuple(self.config.id2label[code] for code in range(self.config.num_labels))

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        token_type_ids: Tensor | None = None,
        exits: Collection[int] | None = None,
    ) -> MultiExitOutput:
        """Run the encoder once and read every exit, or only some.

        Args:
            input_ids: (B, T) token ids.
            attention_mask: (B, T), 1 at real tokens.
            token_type_ids: (B, T), for encoders that tell the two texts of a pair apart.
            exits: the layers whose classifiers to read; all by default.
        """
        inputs = {"input_ids": input_ids, "attention_mask": attention_mask}
        if token_type_ids is not None:
            inputs["token_type_ids"] = token_type_ids
        hidden = self.encoder(**inputs, output_hidden_states=True).hidden_states
        read = {
            layer: pool(hidden[int(layer)], attention_mask, self.config.head_pooling)
            for layer in self.heads
            if exits is None or int(layer) in exits
        }
        logits = [self.heads[layer](self.dropout(values)) for layer, values in read.items()]
        embedding = pool(hidden[0], attention_mask, self.config.embedding_pooling)
        mapped = None
        if self.maps is not None:
            mapped = torch.stack([self.maps[layer](read[layer]) for layer in read], dim=1)
        return MultiExitOutput(torch.stack(logits, dim=1), embedding, mapped)

    def freeze_all_but(self, exits: Collection[int], encoder: bool) -> None:
        """Let the classifiers of these layers learn, and the encoder or not; freeze the rest."""
        self.requires_grad_(False)
        for name, parameter in self.encoder.named_parameters():
            parameter.requires_grad_(encoder and name not in self._fixed)
        for layer in exits:
            self.heads[str(layer)].requires_grad_(True)

    def truncate(self, layer: int) -> MultiExitClassifier:
        """The first ``layer`` layers with the exits among them: what a smaller tier runs.

        Its logits equal those of this model's exits bit for bit. The weights are copies.

        Raises:
            ConfigError: no exit at that layer.
        """
        if layer not in self.exits:
            raise ConfigError(
                f"can only cut after an exit: layer {layer} has none, "
                f"the model has exits {list(self.exits)}"
            )
        config = copy.deepcopy(self.config)
        config.encoder = shallower(config.encoder, layer)
        config.whole = self.config.whole and layer == self.exits[-1]
        config.exits = [exit_ for exit_ in self.exits if exit_ <= layer]
        # A tier that lies deeper than the cut is not part of the smaller model.
        config.tiers = [min(exit_, layer) for exit_ in self.config.tiers]
        small = type(self)(config)
        wanted = small.state_dict().keys()
        small.load_state_dict({k: v for k, v in self.state_dict().items() if k in wanted})
        small.to(self.device).train(self.training)
        return small


def pool(hidden: Tensor, attention_mask: Tensor, how: Pooling) -> Tensor:
    """(B, D) from (B, T, D): the first token, or the mean or maximum over the real tokens."""
    if how == "cls":
        return hidden[:, 0]
    mask = attention_mask.unsqueeze(-1)
    if how == "max":
        return hidden.masked_fill(mask == 0, float("-inf")).amax(dim=1)
    weights = mask.to(hidden.dtype)
    return (hidden * weights).sum(dim=1) / weights.sum(dim=1)
