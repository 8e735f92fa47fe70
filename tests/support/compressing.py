"""A tiny model with an exit behind each of two layers, and tokenised texts for it."""

from __future__ import annotations

import numpy as np
import torch

from dimec.training import MultiExitClassifier, MultiExitConfig
from dimec.training.batching import Encoded
from support.encoders import KINDS, WORDS, make_encoder

ROWS = 12
LABELS = np.arange(ROWS) % 2
APART = [kind for kind in KINDS if kind != "albert"]  # layers that can be told apart


def make_model(kind: str = "bert", layers: int = 2) -> MultiExitClassifier:
    """Random, with an exit behind each layer."""
    encoder = make_encoder(kind, layers)
    config = MultiExitConfig(
        encoder=encoder.config, exits=range(1, layers + 1), tiers=[1, layers, layers]
    )
    torch.manual_seed(1)
    model = MultiExitClassifier(config, encoder)
    model.eval()
    return model


def make_encoded(seed: int = 0) -> Encoded:
    """``ROWS`` texts of 3 to 10 tokens."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(3, 11, ROWS)
    tokens = rng.integers(5, WORDS, lengths.sum()).astype(np.int32)
    offsets = np.cumsum([0, *lengths]).astype(np.int64)
    return Encoded({"input_ids": tokens}, offsets, {"input_ids": 0})
