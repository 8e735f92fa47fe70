"""Tiny random encoders as programs, beside the models that they are of.

Run by the Python of .executorch: ``phone_encoders.py FOLDER KIND…``. Prints kind → the largest
difference, at lengths of which one only occurred when the programs were made.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from dimec.training.export.phone.cutting import phone_parts
from dimec.training.export.phone.runtime import PhonePrograms, lower
from dimec.training.model import MultiExitClassifier
from support.encoders import WORDS, save_encoder

EXITS, MOST = (1, 2), 30


def difference(folder: Path, kind: str) -> float:
    """How far programs are from the model, at any exit or in the pooled embedding."""
    types = kind == "bert"  # one kind with token types, as for pairs of texts
    names = ("input_ids", "token_type_ids") if types else ("input_ids",)
    save_encoder(folder / "encoder", kind)
    torch.manual_seed(1)
    model: Any = MultiExitClassifier.from_backbone(
        folder / "encoder", labels=("a", "b", "c"), exits=EXITS, tiers=(1, 1, 2)
    ).eval()
    model.save_pretrained(folder / "model")
    traced = MultiExitClassifier.from_pretrained(folder / "model", attn_implementation="eager")
    for part in phone_parts(traced.eval(), names, EXITS, MOST):
        (folder / part.file).write_bytes(lower(part.program)[0])
    files = ("embed.pte", "layers-1.pte", "layers-2.pte")
    told: Any = SimpleNamespace(
        segments=EXITS, inputs=names, programs=[SimpleNamespace(file=file) for file in files]
    )
    programs = PhonePrograms(folder, told, None)
    rng, worst = np.random.default_rng(0), 0.0
    for tokens in (2, 3, 7, 16, MOST, 5, 1):
        inputs = {"input_ids": rng.integers(5, WORDS, (1, tokens))}
        if types:
            inputs["token_type_ids"] = rng.integers(0, 2, (1, tokens))
        said, pooled = programs(inputs)
        given = {name: torch.from_numpy(values) for name, values in inputs.items()}
        with torch.no_grad():
            wanted = model(**given, attention_mask=torch.ones((1, tokens), dtype=torch.int64))
        rows = wanted.logits.softmax(-1)[0].numpy()
        found = np.concatenate(said)
        worst = max(worst, float(np.abs(found - rows).max()))
        worst = max(worst, float(np.abs(pooled - wanted.embedding.numpy()).max()))
    return worst


def main() -> None:
    """Try each kind, and print."""
    folder, *kinds = sys.argv[1:]
    found = {}
    for kind in kinds:
        place = Path(folder) / kind
        place.mkdir()
        found[kind] = difference(place, kind)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
