"""Training rows chosen by name: a JSON lines file with a ``guid`` a line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from dimec.base.errors import DataError
from dimec.data.dataset import Dataset, Splits
from dimec.data.splits import check_labels
from dimec.data.tables import read_jsonl


@dataclass(frozen=True)
class ChosenRows:
    """The rows that a file names.

    Attributes:
        path: the file.
        guids: their identifiers, in the file's order.
        texts: their texts, where the file has them; they are held against the data set's.
    """

    path: Path
    guids: tuple[str, ...]
    texts: tuple[str, ...] | None


def read_chosen(path: Path) -> ChosenRows:
    """Read a file such as ``dimec map select`` writes; only ``guid`` has to be there.

    Raises:
        DataError: the file is missing or damaged, names no row, or names one twice.
    """
    table = read_jsonl(path)
    if not table.rows:
        raise DataError(f"{path} names no rows; expected one JSON object with a guid a line")
    position = table.position("guid")
    seen: dict[str, int] = {}
    for number, cells in table.rows:
        guid = cells[position]
        if not isinstance(guid, str):
            raise table.error(number, f"expected a string as guid, got {guid!r}")
        if guid in seen:
            raise table.error(number, f"the guid {guid!r} stands in line {seen[guid]} already")
        seen[guid] = number
    texts = None
    if "text" in table.columns:
        at = table.position("text")
        texts = tuple(str(cells[at]) for _, cells in table.rows)
    return ChosenRows(path, tuple(seen), texts)


def keep_training_rows(splits: Splits, chosen: ChosenRows) -> Splits:
    """The splits with only the chosen rows for training, in the order that they had.

    Raises:
        DataError: a row is not in the training split or has another text there, or the chosen
            rows lack a label that validation or test have.
    """
    train = splits.train
    rows = {guid: row for row, guid in enumerate(train.guids)}
    for line, guid in enumerate(chosen.guids):
        if guid not in rows:
            where = _found_in(splits, guid)
            raise DataError(
                f"{chosen.path}: {guid!r} is not in the training split of {train.task}{where}; "
                "choose rows with the same task, seed and splits as those of this training"
            )
        if chosen.texts is not None and chosen.texts[line] != train.texts[rows[guid]]:
            raise DataError(
                f"{chosen.path}: the text of {guid!r} is not the one in {train.task}; the rows "
                "were chosen from other data"
            )
    kept = train.take(np.sort([rows[guid] for guid in chosen.guids]).astype(np.int64))
    check_labels(kept, splits.validation, splits.test)
    return replace(splits, train=kept)


def _found_in(splits: Splits, guid: str) -> str:
    others: Sequence[tuple[str, Dataset]] = (
        ("validation", splits.validation),
        ("test", splits.test),
    )
    return "".join(f" but in {name}" for name, part in others if guid in part.guids)
