"""What is asked of an encoder of any architecture: its layers, and the longest text it takes."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import nn
from transformers import AutoModel, AutoModelForTextEncoding

from dimec.base.errors import ConfigError
from dimec.data.backbones import short

# Of models with a decoder, of which the encoder alone is taken.
_TEXT_ENCODERS = {"t5", "mt5", "umt5"}


def layer_count(encoder: nn.Module) -> int:
    """The number of layers: those of the encoder's list, or the passes through a shared one.

    Raises:
        ConfigError: the layers are not a list, and not one that is run again and again either.
    """
    config: Any = encoder.config
    if config.model_type == "albert":
        if (config.num_hidden_groups, config.inner_group_num) != (1, 1):
            raise ConfigError(
                "dimec needs an ALBERT whose layers share one set of weights, got "
                f"{config.num_hidden_groups} groups of {config.inner_group_num}"
            )
        return int(config.num_hidden_layers)
    return len(layer_list(encoder))


def layer_list(encoder: nn.Module) -> nn.ModuleList:
    """The encoder's list of layers: the one ModuleList as long as its number of hidden layers.

    Lists inside of one that is as long count as its parts.

    Raises:
        ConfigError: there is none, or more than one.
    """
    config: Any = encoder.config
    if config.model_type == "albert":
        raise ConfigError(
            "ALBERT's layers share their weights: it can be trained and exported, but its layers "
            "cannot be measured or changed one by one"
        )
    expected = config.num_hidden_layers
    found: dict[str, nn.ModuleList] = {}
    for name, module in encoder.named_modules():
        inside = any(name.startswith(f"{outer}.") for outer in found)
        if isinstance(module, nn.ModuleList) and len(module) == expected and not inside:
            found[name] = module
    if len(found) != 1:
        raise ConfigError(
            f"{type(encoder).__name__} has {len(found)} lists of {expected} layers; dimec needs an "
            "encoder with exactly one, such as BERT, RoBERTa, DistilBERT, ELECTRA or MPNet"
        )
    return next(iter(found.values()))


@torch.no_grad()
def hooked_layers(encoder: Any) -> nn.ModuleList:
    """As :func:`layer_list`, of an encoder that runs the hooks of its layers.

    Raises:
        ConfigError: it calls the layers' ``forward`` past them, as SqueezeBERT.
    """
    layers, seen = layer_list(encoder), set[nn.Module]()
    ids = torch.full((1, 1), word_table(encoder).num_embeddings - 1, device=encoder.device)
    handles = [
        layer.register_forward_pre_hook(lambda layer, _: seen.add(layer)) for layer in layers
    ]
    try:
        encoder(input_ids=ids, attention_mask=torch.ones_like(ids))
    finally:
        for handle in handles:
            handle.remove()
    if len(seen) < len(layers):
        raise ConfigError(
            f"{type(encoder).__name__} calls its layers past torch's hooks: it can be trained and "
            "exported, but its layers cannot be measured or changed one by one"
        )
    return layers


def word_table(encoder: Any) -> nn.Embedding:
    """The encoder's table of words.

    Raises:
        ConfigError: it has none, as CANINE, or one that is no plain look-up, as I-BERT.
    """
    try:
        table = encoder.get_input_embeddings()
    except (AttributeError, NotImplementedError):  # transformers finds none under a known name
        table = None
    if not isinstance(table, nn.Embedding):
        raise ConfigError(
            f"{type(encoder).__name__} has no table with a row for every token; dimec needs an "
            "encoder with one, such as BERT, RoBERTa, DistilBERT, ELECTRA or MPNet"
        )
    return table


def shallower(config: Any, layers: int) -> Any:
    """The configuration of an encoder that has only the first ``layers`` layers of this one's."""
    config = copy.deepcopy(config)
    config.num_hidden_layers = layers
    if types := getattr(config, "layer_types", None):  # ModernBERT's, one a layer
        config.layer_types = types[:layers]
    return config


def lower_layers(encoder: Any, layers: int) -> Any:
    """An encoder of copies of the first layers of this one, and all that lies before them.

    Args:
        encoder: of any architecture.
        layers: how many, at least 1.

    Raises:
        ConfigError: it has fewer.
    """
    if layers > (depth := layer_count(encoder)):
        raise ConfigError(
            f"expected at most the {depth} layers of {type(encoder).__name__}, got {layers}"
        )
    small = encoder_class(encoder.config).from_config(shallower(encoder.config, layers))
    wanted = small.state_dict().keys()
    small.load_state_dict({k: v for k, v in encoder.state_dict().items() if k in wanted})
    return small


def encoder_class(config: Any) -> Any:
    """The auto class that makes the encoder of a configuration."""
    return AutoModelForTextEncoding if config.model_type in _TEXT_ENCODERS else AutoModel


def drop_final_norms(encoder: nn.Module) -> None:
    """Leave out the norm behind the last layer (ModernBERT's, T5's), which a cut never reaches."""
    for parent in (encoder, *encoder.children()):
        for name in ("final_norm", "final_layer_norm"):
            if isinstance(getattr(parent, name, None), nn.Module):
                setattr(parent, name, nn.Identity())


@torch.no_grad()
def token_limit(encoder: nn.Module, wanted: int) -> int:
    """The longest text, up to ``wanted`` tokens, that the encoder has positions for.

    It is tried and not read from the encoder, whose table of positions may have any name and any
    reserve (RoBERTa and MPNet count from behind the padding token's id).

    Args:
        encoder: on the processor: an accelerator does not survive a missing position.
        wanted: tokens, at least 1.

    Raises:
        ConfigError: not even one token goes through, or there is no table of words.
    """
    training, fits, fails, error = encoder.training, 0, wanted + 1, None
    # The last word: never the padding, from which some count positions.
    word = word_table(encoder).num_embeddings - 1
    encoder.eval()
    length = wanted
    try:
        while fails - fits > 1:
            error = _try_length(encoder, word, length)
            fits, fails = (length, fails) if error is None else (fits, length)
            length = (fits + fails) // 2
    finally:
        encoder.train(training)
    if fits == 0 and error is not None:
        raise ConfigError(f"the encoder {type(encoder).__name__} cannot be run ({short(error)})")
    return fits


def _try_length(encoder: Any, word: int, length: int) -> Exception | None:
    ids = torch.full((1, length), word, dtype=torch.int64)
    try:
        encoder(input_ids=ids, attention_mask=torch.ones_like(ids))
    except Exception as error:  # of whatever architecture, whatever it raises
        return error
    return None
