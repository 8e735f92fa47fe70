"""The model in 8 bits: its numbers beside a plain loop."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from dimec.training.compression.int8 import quantise_model, round_tokens
from dimec.training.compression.operations import linear_layers
from support.compressing import ROWS, make_encoded, make_model


def test_a_token_is_rounded_to_127ths_of_its_largest_value() -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 3, 5)
    x[1, 2] = 0.0
    got = round_tokens(x)
    for text in range(2):
        for token in range(3):
            values = x[text, token].tolist()
            size = max(abs(value) for value in values)
            for d, value in enumerate(values):
                wanted = 0.0 if size == 0 else round(value / size * 127) / 127 * size
                assert abs(got[text, token, d].item() - wanted) < 1e-6


def test_weights_have_255_values_an_output_and_words_255_a_word() -> None:
    model = make_model()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    quantise_model(model)
    encoder: Any = model.encoder
    table = encoder.get_input_embeddings().weight
    named = dict(model.named_parameters())
    rounded = [layer.weight for layer in linear_layers(model)] + [table]
    changed = {name for name, value in named.items() if not torch.equal(value, before[name])}
    assert changed == {n for n, v in named.items() if any(v is one for one in rounded)}
    for name in changed:
        for row, old in zip(named[name].tolist(), before[name].tolist(), strict=True):
            scale = max(abs(value) for value in old) / 127 or 1.0  # the padding is all zeros
            for value, was in zip(row, old, strict=True):
                assert abs(value - was) <= scale / 2 * 1.001
                assert abs(value / scale - round(value / scale)) < 1e-3


def test_the_linear_layers_get_rounded_tokens() -> None:
    model, inputs = make_model(), make_encoded().batch(np.arange(ROWS), torch.device("cpu"))
    quantise_model(model)
    seen: list[torch.Tensor] = []
    # Behind the hook that rounds: what the layer gets.
    linear_layers(model)[0].register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    with torch.no_grad():
        model(**inputs)
    assert torch.allclose(seen[0], round_tokens(seen[0]), atol=1e-6)
    with torch.no_grad():
        exact = make_model()(**inputs).logits
        assert 0 < (model(**inputs).logits - exact).abs().max() < 0.2 * exact.abs().max()
