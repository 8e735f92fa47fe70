"""Training rows that a run does not train on, for what learns from texts without labels."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from dimec.base.errors import ConfigError
from dimec.base.storage import atomic_write
from dimec.data import Dataset, split_dataset
from dimec.runs.rows import read_dataset
from dimec.settings.run import RunSettings


def unused_rows(settings: RunSettings, rows: int) -> Dataset:
    """Some of the training rows that a run leaves out, by its seed.

    Args:
        settings: of the run, with a limit on its training rows.
        rows: how many.

    Raises:
        ConfigError: fewer are left out.
        DimecError: the rows cannot be read or split.
    """
    data = settings.data
    both = [
        split_dataset(
            read_dataset(data),
            seed=settings.seed,
            predefined=data.predefined_splits,
            max_train_rows=limit,
        ).train
        for limit in (None, data.max_train_rows)
    ]
    used = set(both[1].guids)
    left = np.array([row for row, guid in enumerate(both[0].guids) if guid not in used], np.int64)
    if len(left) < rows:
        raise ConfigError(
            f"{rows:,} training rows without their labels are wanted, and {data.task} has "
            f"{len(left):,} beyond those that are trained on; ask for fewer, or train on fewer"
        )
    chosen = np.random.default_rng(settings.seed).choice(left, rows, replace=False)
    return both[0].take(np.sort(chosen))


def write_unused(path: Path, settings: RunSettings, rows: int) -> None:
    """Write the texts of such rows as JSON lines, without their labels.

    Raises:
        DimecError: as :func:`unused_rows` raises it, or the file cannot be written.
    """
    unused = unused_rows(settings, rows)
    pairs: Sequence[str | None] = unused.pairs or [None] * len(unused)
    lines = [
        json.dumps({"text": text} | ({} if pair is None else {"pair": pair}))
        for text, pair in zip(unused.texts, pairs, strict=True)
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    atomic_write(path, "".join(f"{line}\n" for line in lines))
