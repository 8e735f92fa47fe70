"""A small trace collection, written by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from dimec.runs.mapped import maps_as_columns, without_maps
from dimec.traces.card import Card, CardShape, CardTier
from dimec.traces.collection import write_entry, write_index
from dimec.traces.trace import Trace
from support.builders import dynamics, make_trace

ROWS = 30
TIERS = (2, 4, 6)


def small_card(**fields: Any) -> Card:
    """Of one model on three tiers; any field can be given instead."""
    values: dict[str, Any] = {
        "task": "glue/sst2",
        "source": "some reviews",
        "licence": "none stated",
        "backbone": "tiny",
        "recipe": "joint",
        "seed": 3,
        "model": make_trace(1).model,
        "exits": TIERS,
        "tiers": [
            CardTier(name=name, layer=layer)
            for name, layer in zip(("mobile", "edge", "cloud"), TIERS, strict=True)
        ],
        "shapes": {"": CardShape(width=4, intermediate=16)},
        "rows": {"train": 100, "validation": ROWS, "test": ROWS},
        "epochs": 3,
        "best_epoch": 1,
        "test_accuracy": {"2": 0.5, "4": 0.625, "6": 0.75},  # until it is written with traces
        "versions": {"torch": "2"},
        "date": "2026-01-02",
        "sha256": {},
    }
    return Card(**{**values, **fields})


def small_traces(seed: int = 0, rows: int = ROWS) -> tuple[Trace, Trace]:
    """Of the validation split, with its data map, and of the test split."""
    validation, test = (
        make_trace(
            rows, split=split, seed=seed + k, guids=tuple(f"{split}-{i}" for i in range(rows))
        )
        for k, split in enumerate(("validation", "test"))
    )
    logits = np.random.default_rng(seed).standard_normal((3, len(TIERS), rows, 2))
    columns = maps_as_columns(dynamics(logits, validation.labels.tolist(), TIERS))
    return replace(validation, extra=columns), test


def small_entry(folder: Path, seed: int = 0, *, mapped: bool = True, **fields: Any) -> Card:
    """Write traces with their card into a folder; those of the validation split with data maps."""
    validation, test = small_traces(seed)
    kept = validation if mapped else without_maps(validation)
    return write_entry(folder, small_card(**fields), kept, test)


def small_collection(folder: Path) -> Path:
    """``sst2/tiny-joint/3`` and ``sst2/tiny-own/3``, with their index; returns the folder."""
    for seed, recipe in enumerate(("joint", "own")):
        small_entry(folder / "sst2" / f"tiny-{recipe}" / "3", seed, recipe=recipe)
    write_index(folder)
    return folder
