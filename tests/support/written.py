"""A trained run that was written by hand: no torch, no training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from dimec.base.storage import write_json
from dimec.cartography import TrainingDynamics
from dimec.runs.run import Run
from support.builders import make_trace

EXITS = (1, 2, 3, 6)
MODEL = "c" * 64
N = 60


def written_run(folder: Path) -> Run:
    """A run whose samples are easy, medium and hard by thirds, as their embeddings tell.

    Easy samples are right everywhere, medium ones from the second exit on, hard ones at the last
    exit only; the first two embeddings' coordinates give the third away.
    """
    run = Run(folder)
    rng = np.random.default_rng(0)
    third = np.arange(N) % 3
    labels = rng.integers(0, 2, N)
    gold_at = {1: (0.9, 0.6, 0.2), 2: (0.9, 0.8, 0.3), 3: (0.95, 0.85, 0.4), 6: (0.97, 0.9, 0.9)}
    gold = np.stack([np.array(gold_at[layer])[third] for layer in EXITS], axis=1)
    probabilities = np.empty((N, len(EXITS), 2), np.float32)
    rows = np.arange(N)[:, None]
    probabilities[rows, np.arange(len(EXITS)), labels[:, None]] = gold
    probabilities[rows, np.arange(len(EXITS)), 1 - labels[:, None]] = 1 - gold
    centres = np.array([[0.0, 0.0], [4.0, 0.0], [0.0, 4.0]])
    embeddings = (centres[third] + 0.1 * rng.standard_normal((N, 2))).astype(np.float32)
    for split in ("validation", "test"):
        make_trace(
            N,
            exits=EXITS,
            tiers=(1, 2, 6),
            embeddings=embeddings,
            probabilities=probabilities,
            labels=labels,
            model=MODEL,
            split=split,
        ).save(run.trace_path(split))

    # Medium samples waver over the epochs around their confidence at each exit.
    epochs = np.array([-1.0, 1.0, 0.0])[:, None, None] * np.where(third == 1, 0.3, 0.01)
    p = np.clip(gold.T[None] + epochs, 0.01, 0.99)
    logits = np.zeros((3, len(EXITS), N, 2), np.float32)
    logits[:, :, np.arange(N), labels] = np.log(p / (1 - p))
    guids = tuple(f"test-{i}" for i in range(N))
    run.save_dynamics(TrainingDynamics(logits, labels, EXITS, guids), {"model": MODEL})
    write_json(run.training_path, _record())
    config = {"encoder": {"hidden_size": 2, "intermediate_size": 8}}
    write_json(run.model_path / "config.json", config)
    return run


def _record() -> dict[str, Any]:
    rows = {"train": 480, "validation": N, "test": N}
    return {
        "model": MODEL,
        "task": "csv:x",
        "source": "",
        "backbone": "tiny",
        "exits": list(EXITS),
        "rows": rows,
        "best_epoch": 1,
        "history": [{}, {}, {}],
        "seed": 4,
        "versions": {"torch": "2"},
    }
