"""Tiny random encoders of every kind that training takes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

WORDS, WIDTH, POSITIONS = 60, 16, 40
KINDS = ("bert", "roberta", "distilbert", "electra", "mpnet")
PADS = {"roberta": 1, "mpnet": 1}  # where it is not 0
_SHAPE: dict[str, Any] = {
    "hidden_size": WIDTH,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "vocab_size": WORDS,
    "max_position_embeddings": POSITIONS,
    # Large enough that the layers change what they get by more than rounding.
    "initializer_range": 0.3,
}


def make_encoder(kind: str, layers: int = 2, **options: Any) -> Any:
    """A random encoder; ``options`` go over the configuration's own."""
    import torch
    import transformers as hf

    torch.manual_seed(0)
    shape = {**_SHAPE, "num_hidden_layers": layers, **options}
    if kind == "bert":
        return hf.BertModel(hf.BertConfig(**shape))
    if kind == "roberta":
        return hf.RobertaModel(hf.RobertaConfig(**shape, pad_token_id=1, type_vocab_size=1))
    if kind == "electra":
        # As in the published ones, the embeddings are narrower than the layers.
        return hf.ElectraModel(hf.ElectraConfig(**shape, embedding_size=8))
    if kind == "mpnet":
        special = {"pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2}
        return hf.MPNetModel(hf.MPNetConfig(**shape, **special))
    kept = {
        name: shape[name] for name in ("vocab_size", "max_position_embeddings", "initializer_range")
    }
    config = hf.DistilBertConfig(dim=WIDTH, n_layers=layers, n_heads=2, hidden_dim=32, **kept)
    return hf.DistilBertModel(config)


def save_encoder(folder: Path, kind: str, layers: int = 2, **options: Any) -> Path:
    """The same in ``save_pretrained`` form; returns the folder."""
    make_encoder(kind, layers, **options).save_pretrained(folder)
    return folder
