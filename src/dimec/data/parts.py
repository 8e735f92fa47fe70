"""Training, validation and test rows in tables of their own, as one data set."""

from __future__ import annotations

import itertools
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from dimec.base.errors import DataError
from dimec.data.dataset import SPLITS, Dataset
from dimec.data.files import labelled
from dimec.data.labels import check_labelled
from dimec.data.tables import ABSENT, Table


@dataclass(frozen=True)
class _Joined(Table):
    """Tables one below the other, with the columns of the first; errors name the one they are in.

    The rows are counted through, from 0.
    """

    parts: tuple[Table, ...] = ()

    def position(self, column: str, keyword: str | None = None) -> int:
        for part in self.parts:
            part.position(column, keyword)
        return self.columns.index(column)

    def error(self, number: int, problem: str) -> DataError:
        starts = list(itertools.accumulate((len(part.rows) for part in self.parts), initial=0))
        at = bisect_right(starts, number) - 1
        return self.parts[at].error(self.parts[at].rows[number - starts[at]][0], problem)


def labelled_parts(parts: Mapping[str, Table], task: str, **columns: Any) -> Dataset:
    """One data set of several tables, which its predefined splits are.

    One rule of columns and labels holds for all of them. Identifiers are ``train-0``, ``train-1``
    … ``test-0`` …; where a table's rows have their own, these behind the split's name.

    Args:
        parts: split → its rows.
        task: what the data set is called.
        columns: as :func:`dimec.data.files.labelled` takes them.

    Raises:
        DataError: as there, with the name of the table; or a table has no label at all.
    """
    ordered = {split: parts[split] for split in SPLITS if split in parts}
    for table in ordered.values():
        check_labelled(table, columns.get("label_column") or "label")
    dataset = labelled(_join(tuple(ordered.values())), task, **columns)
    names = {split: part.guids or range(len(part.rows)) for split, part in ordered.items()}
    return replace(
        dataset,
        guids=tuple(f"{split}-{name}" for split, own in names.items() for name in own),
        predefined=tuple(split for split, own in names.items() for _ in own),
    )


def _join(parts: tuple[Table, ...]) -> Table:
    first = parts[0]
    cells = itertools.chain.from_iterable(_cells(part, first.columns) for part in parts)
    rows = list(enumerate(cells))
    return _Joined(first.path, first.columns, rows, first.unit, first.headed, parts=parts)


def _cells(part: Table, columns: tuple[str, ...]) -> list[tuple[Any, ...]]:
    if part.columns == columns:
        return [cells for _, cells in part.rows]
    where = [part.columns.index(name) if name in part.columns else None for name in columns]
    return [tuple(ABSENT if at is None else cells[at] for at in where) for _, cells in part.rows]
