"""Tables of what others recorded, of a few rows."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

Row = dict[str, object]


def long_rows(samples: int, seed: int = 0) -> list[Row]:
    """Answers of six exits, the deeper the better."""
    rng = np.random.default_rng(seed)
    rows: list[Row] = []
    for i in range(samples):
        gold = int(rng.integers(2))
        for layer in range(1, 7):
            right = rng.random() < 0.5 + 0.08 * layer
            answer = ("no", "yes")[gold if right else 1 - gold]
            rows.append(
                {"id": f"s{i}", "layer": layer, "pred": answer, "gold": ("no", "yes")[gold]}
            )
    return rows


def correctness_rows(
    prompts: int, models: Mapping[str, float] | None = None, seed: int = 0
) -> list[Row]:
    """Whether models were right, with costs that differ from prompt to prompt.

    Args:
        prompts: how many.
        models: name → mean cost; the dearer the better.
        seed: of all.
    """
    rng = np.random.default_rng(seed)
    known = models or {"a": 0.02, "B": 0.3, "c": 0.001}
    rank = {name: place for place, name in enumerate(sorted(known, key=known.__getitem__))}
    rows: list[Row] = []
    for i in range(prompts):
        row: Row = {"id": f"p{i}"}
        for name, cost in known.items():
            row[name] = int(rng.random() < 0.4 + 0.5 * (rank[name] + 1) / len(known))
            row[f"{name}_cost"] = round(cost * rng.uniform(0.5, 1.5), 9)
        rows.append(row)
    return rows


def write_rows(path: Path, rows: Sequence[Row]) -> Path:
    """A CSV file of them."""
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path
