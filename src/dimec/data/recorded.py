"""Tables of what others recorded, by their columns: what kind of table one is, and its cells.

Three kinds are read: a row for each sample and exit (:mod:`dimec.data.recorded_long`), a row for
each sample with a column for each exit (:mod:`dimec.data.recorded_wide`), and a row for each prompt
with a column for each model, which says whether the model was right
(:mod:`dimec.data.recorded_models`).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from dimec.base.arrays import FloatArray, IntArray
from dimec.base.errors import ConfigError, DataError, option, quoted
from dimec.data.labels import label_texts, read_splits
from dimec.data.sources import shown_names
from dimec.data.tables import ABSENT, Table

FORMS = ("long", "wide", "correctness")
# What a column is called where nobody names it.
_CALLED = {
    "sample_column": ("sample", "id", "guid", "idx", "sample_id"),
    "exit_column": ("exit", "layer"),
    "prediction_column": ("prediction", "pred"),
    "label_column": ("label", "gold"),
    "confidence_column": ("confidence", "score"),
}
# Where a column is of one form only.
_OF_FORM = {
    **dict.fromkeys(
        ("exit_column", "prediction_column", "confidence_column", "cost_column"), "long"
    ),
    **dict.fromkeys(("exits", "confidences"), "wide"),
    "threshold": "correctness",
}
_LAYER = re.compile(r"(?:(?:exit|layer|pred|prediction)[ _-]?)?(\d{1,4})(?:\.0+)?", re.IGNORECASE)


@dataclass(frozen=True)
class Columns:
    """Names of columns, as far as they are given.

    Attributes:
        sample_column, exit_column, prediction_column, label_column, confidence_column: by default
            what they are mostly called, such as ``id`` or ``pred``.
        split_column: puts each sample into a split; none by default.
        length_column: tokens of each sample; none by default.
        cost_column: of a long table, what an answer from the exit cost; none by default.
        exits: of a wide table, column of answers → layer.
        confidences: of a wide table, column of confidences → layer.
        models: of a correctness table, name → column; a column stands for itself by default.
        threshold: from which score on an answer is right, where scores are not 0 and 1.
    """

    sample_column: str | None = None
    exit_column: str | None = None
    prediction_column: str | None = None
    label_column: str | None = None
    confidence_column: str | None = None
    split_column: str | None = None
    length_column: str | None = None
    cost_column: str | None = None
    exits: Mapping[str, int] = field(default_factory=dict)
    confidences: Mapping[str, int] = field(default_factory=dict)
    models: Mapping[str, str] = field(default_factory=dict)
    threshold: float | None = None

    def find(self, table: Table, keyword: str) -> str | None:
        """The column of that keyword in a table; None where it has none by the usual names.

        Raises:
            DataError: a name that is given is none of the table's.
        """
        if (given := getattr(self, keyword)) is not None:
            table.position(given, keyword)
            return str(given)
        return next((name for name in _CALLED.get(keyword, ()) if name in table.columns), None)

    def need(self, table: Table, keyword: str) -> str:
        """The same.

        Raises:
            DataError: there is none; says how it may be called.
        """
        if (name := self.find(table, keyword)) is None:
            raise DataError(
                f"{table.path}: expected a column {' or '.join(map(quoted, _CALLED[keyword]))}, "
                f"the file has {shown_names(table.columns) or 'no rows'}; name it with "
                f"{option(keyword)}"
            )
        return name


def refuse_idle_columns(form: str, columns: Columns) -> None:
    """Refuse names of columns that a table of this form does not have.

    Raises:
        ConfigError: names the first.
    """
    for keyword, only in _OF_FORM.items():
        if form != only and getattr(columns, keyword) not in (None, {}):
            raise ConfigError(
                f"{option(keyword)} is of {only} tables, and this is read as a {form} one; leave "
                f"it out, or say {option('form')} {only}"
            )
    if form == "correctness" and columns.label_column is not None:
        raise ConfigError(
            f"{option('label_column')} does nothing for a table of which models were right; leave "
            "it out"
        )


def form_of(table: Table, columns: Columns, *, models: bool = False) -> str:
    """Which of :data:`FORMS` a table is, where its columns make that plain.

    Args:
        table: the rows.
        columns: as far as they are given.
        models: whether columns of models are named.

    Raises:
        ConfigError: they do not.
    """
    if columns.find(table, "exit_column") and columns.find(table, "sample_column"):
        return "long"
    labelled = columns.find(table, "label_column") is not None
    if labelled and (columns.exits or exit_columns(table.columns)):
        return "wide"
    if not labelled and (models or len(model_columns(table, columns)) > 1):
        return "correctness"
    raise ConfigError(
        f"{table.path}: its columns, {shown_names(table.columns) or 'none'}, do not tell what it "
        f"is; say with {option('form')} long (a row for a sample and exit), wide (a column for an "
        "exit) or correctness (a column for a model)"
    )


def exit_columns(names: Sequence[str]) -> dict[str, int]:
    """Column → layer of those that are called as exits are, such as ``exit_2`` or ``pred_6``."""
    return {name: layer for name in names if (layer := layer_in(name)) is not None}


def layer_in(value: Any) -> int | None:
    """The layer that a cell or a name says: 3 for ``3``, ``"3"`` and ``"exit_3"``."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int | str):
        return None
    match = _LAYER.fullmatch(str(value).strip())
    return None if match is None else int(match[1])


def cost_column_of(names: Sequence[str], model: str) -> str | None:
    """The column of what a model's answers cost, where it is called as such."""
    called = (f"{model}|total_cost", f"{model}_cost", f"{model}|cost", f"cost_{model}")
    return next((name for name in called if name in names), None)


def model_columns(table: Table, columns: Columns) -> tuple[str, ...]:
    """Columns of models: those with one of costs beside them, or else all of 0 and 1."""
    names = table.columns
    other = {columns.find(table, "sample_column"), columns.split_column, columns.length_column}
    if priced := tuple(name for name in names if cost_column_of(names, name)):
        return priced
    return tuple(
        name for at, name in enumerate(names) if name not in other and _is_binary(table, at)
    )


def _is_binary(table: Table, at: int) -> bool:
    cells = [cells[at] for _, cells in table.rows]
    if not all(isinstance(cell, str | int | float) for cell in cells):
        return False
    found = set(label_texts(set(cells)) or ("",))
    return found <= {"0", "1"} or found == {"false", "true"}


def numbers_in(table: Table, name: str) -> FloatArray:
    """(rows,) the numbers of a column.

    Raises:
        DataError: the row that has none.
    """
    at = table.position(name)
    return np.array([number_in(table, number, cells[at], name) for number, cells in table.rows])


def number_in(table: Table, number: int, cell: Any, name: str) -> float:
    """A cell's number; true and false are 1 and 0.

    Raises:
        DataError: the row, where it is none.
    """
    truth = cell.strip().lower() if isinstance(cell, str) else cell
    if truth in ("true", "false"):
        return float(truth == "true")
    try:
        value = float(cell)
    except (TypeError, ValueError, OverflowError):
        value = math.nan
    if not math.isfinite(value):
        got = "nothing" if cell in (None, ABSENT, "") else quoted(cell)
        raise table.error(
            number,
            f"expected a number in column {quoted(name)}, got {got}; correct or remove the row",
        )
    return value


def names_in(table: Table, name: str) -> list[str]:
    """The name of a sample in each row.

    Raises:
        DataError: the row that has none.
    """
    at = table.position(name)
    found = []
    for number, cells in table.rows:
        cell = cells[at]
        if cell is None or cell is ABSENT or isinstance(cell, list | dict) or not str(cell).strip():
            raise table.error(
                number, f"expected the name of a sample in column {quoted(name)}; name each sample"
            )
        found.append(str(cell).strip())
    return found


def sample_columns(
    table: Table, columns: Columns, first: Sequence[int]
) -> tuple[IntArray, tuple[str, ...]]:
    """Lengths and splits of samples, by the row that each is told in.

    Args:
        table: the rows.
        columns: which of them say it.
        first: positions of N rows.

    Returns:
        (N,) lengths, 0 where no column says, and N splits, or none.

    Raises:
        DataError: a row has no such value.
    """
    lengths = np.zeros(len(first), np.int64)
    if (name := columns.find(table, "length_column")) is not None:
        told = numbers_in(table, name)[list(first)]
        for row in np.flatnonzero((told < 0) | (told != np.rint(told)) | (told > 2**31))[:1]:
            raise table.error(
                table.rows[first[row]][0],
                f"expected a number of tokens in column {quoted(name)}, got {told[row]:g}; correct "
                "it",
            )
        lengths = told.astype(np.int64)
    if columns.split_column is None:
        return lengths, ()
    splits = read_splits(table, columns.split_column)
    return lengths, tuple(splits[row] for row in first)


def each_once(table: Table, guids: Sequence[str], name: str) -> None:
    """Refuse a table with a sample twice.

    Raises:
        DataError: the second row of it.
    """
    seen: dict[str, int] = {}
    for (number, _), guid in zip(table.rows, guids, strict=True):
        if guid in seen:
            raise table.error(
                number,
                f"the sample {quoted(guid)} of column {quoted(name)} was in {table.unit} "
                f"{seen[guid]} already; keep one row for each sample",
            )
        seen[guid] = number
