"""Tiny random encoders of every kind that training takes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

WORDS, WIDTH, POSITIONS = 60, 16, 40
KINDS = (
    "albert",
    "bert",
    "camembert",
    "deberta",
    "deberta-v2",
    "distilbert",
    "electra",
    "mobilebert",
    "modernbert",
    "mpnet",
    "roberta",
    "roformer",
    "t5",
    "xlm-roberta",
)
PADS = {"roberta": 1, "mpnet": 1, "camembert": 1, "xlm-roberta": 1}  # where it is not 0
UNBOUNDED = ("deberta-v2", "modernbert", "t5")  # positions without a table
_SHAPE: dict[str, Any] = {
    "hidden_size": WIDTH,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "vocab_size": WORDS,
    "max_position_embeddings": POSITIONS,
    # Large enough that the layers change what they get by more than rounding.
    "initializer_range": 0.3,
}
_RELATIVE = {"relative_attention": True, "pos_att_type": ["c2p", "p2c"]}
_OWN: dict[str, dict[str, Any]] = {
    # As in the published ones, the embeddings are narrower than the layers.
    "albert": {"embedding_size": 8, "pad_token_id": 0},
    "deberta": _RELATIVE,
    "deberta-v2": {**_RELATIVE, "position_biased_input": False, "position_buckets": 8},
    "electra": {"embedding_size": 8},
    # Without norms, large weights would grow whatever rounding leaves.
    "mobilebert": {
        "embedding_size": WIDTH,
        "intra_bottleneck_size": 8,
        "initializer_range": 0.15,
    },
    "modernbert": {
        "pad_token_id": 0,
        **dict.fromkeys(("bos_token_id", "cls_token_id"), 2),
        **dict.fromkeys(("eos_token_id", "sep_token_id"), 3),
        "local_attention": 8,
    },
    "mpnet": {"pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2},
    "roberta": {"pad_token_id": 1, "type_vocab_size": 1},
    "roformer": {"embedding_size": WIDTH},
}


def make_config(kind: str, layers: int = 2, **options: Any) -> Any:
    """The configuration of a tiny encoder; ``options`` go over its own."""
    from transformers import AutoConfig

    shape = {**_SHAPE, **_OWN.get(kind, {}), "num_hidden_layers": layers, **options}
    if kind == "distilbert":
        names = ("vocab_size", "max_position_embeddings", "initializer_range")
        kept = {name: shape[name] for name in names}
        own = {"dim": WIDTH, "n_layers": layers, "n_heads": 2, "hidden_dim": 32}
        return AutoConfig.for_model(kind, **own, **kept)
    if kind == "t5":
        own = {"d_model": WIDTH, "d_kv": 8, "d_ff": 32, "num_layers": layers, "num_heads": 2}
        return AutoConfig.for_model(kind, vocab_size=shape["vocab_size"], **own)
    return AutoConfig.for_model(kind, **shape)


def make_encoder(kind: str, layers: int = 2, **options: Any) -> Any:
    """A random encoder; ``options`` go over the configuration's own."""
    import torch
    import transformers as hf

    torch.manual_seed(0)
    config = make_config(kind, layers, **options)
    return hf.T5EncoderModel(config) if kind == "t5" else hf.AutoModel.from_config(config)


def save_encoder(folder: Path, kind: str, layers: int = 2, **options: Any) -> Path:
    """The same in ``save_pretrained`` form; returns the folder."""
    make_encoder(kind, layers, **options).save_pretrained(folder)
    return folder
