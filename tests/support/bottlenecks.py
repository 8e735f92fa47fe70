"""A small model with a bottleneck at its split, and rows to train it on."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from dimec.runs.bottleneck import BottleneckSchedule, Objective
from dimec.training import MultiExitClassifier, MultiExitConfig
from dimec.training.batching import Encoded
from dimec.training.bottleneck.code import Bottleneck
from dimec.training.bottleneck.spliced import BottleneckedModel, answer
from support.encoders import WIDTH, WORDS, make_encoder

LAYERS, SPLIT, CLASSES = 4, 2, 3


def make_model(kind: str = "bert", dropout: float = 0.0) -> MultiExitClassifier:
    encoder = make_encoder(kind, LAYERS)
    for module in encoder.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = dropout
    config = MultiExitConfig(
        encoder=encoder.config,
        exits=[1, 2, 3, 4],
        tiers=[2, 3, 4],
        head_dropout=dropout,
        id2label={code: f"class {code}" for code in range(CLASSES)},
    )
    torch.manual_seed(1)
    model = MultiExitClassifier(config, encoder)
    for parameter in model.heads.parameters():
        torch.nn.init.normal_(parameter)
    model.eval()
    return model


def make_encoded(rows: int = 12, seed: int = 0, pad: int = 0) -> Encoded:
    rng = np.random.default_rng(seed)
    lengths = rng.integers(3, 11, rows)
    tokens = rng.integers(5, WORDS, lengths.sum()).astype(np.int32)
    offsets = np.cumsum([0, *lengths]).astype(np.int64)
    return Encoded({"input_ids": tokens}, offsets, {"input_ids": pad})


def make_inputs(rows: int = 6) -> dict[str, Tensor]:
    return make_encoded(rows).batch(np.arange(rows), torch.device("cpu"))


def make_student(
    model: MultiExitClassifier, width: int = 3, bits: int = 4, layer: int = SPLIT
) -> BottleneckedModel:
    student = BottleneckedModel(model, Bottleneck(WIDTH, width, bits), layer)
    with torch.no_grad():
        hidden = answer(model, make_inputs())[1][layer - 1]
    student.bottleneck.start_from(hidden.flatten(0, 1).double().numpy())
    return student


def make_schedule(
    objective: Objective = "task", train_tail: bool = False, **others: Any
) -> BottleneckSchedule:
    values = {"epochs": 4, "batch_size": 4, "learning_rate": 1e-2, "tail_learning_rate": 1e-3}
    return BottleneckSchedule(objective, train_tail, **{**values, "seed": 0, **others})
