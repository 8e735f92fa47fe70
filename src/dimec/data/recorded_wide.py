"""A wide table of records: a row for each sample, with a column of answers for each exit."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from dimec.base.arrays import FloatArray
from dimec.base.errors import DataError, option, quoted
from dimec.data.labels import read_labels
from dimec.data.recorded import (
    Columns,
    cost_column_of,
    each_once,
    exit_columns,
    names_in,
    numbers_in,
    sample_columns,
)
from dimec.data.recorded_classes import Answered
from dimec.data.sources import shown_names
from dimec.data.tables import Table


def read_wide(table: Table, columns: Columns) -> Answered:
    """The samples of a table that has a row for each of them.

    Args:
        table: the rows.
        columns: what they are called; exits are by default the columns called as such, like
            ``exit_2``, ``layer3`` or ``pred_6``, with confidences in ``exit_2_confidence`` or
            ``confidence_2``, and costs in ``exit_2_cost``.

    Raises:
        DataError: in one line, the table, its row and what to do.
    """
    label = columns.need(table, "label_column")
    exits = _exits(table, columns)
    if not table.rows:
        raise DataError(f"{table.path} has no rows; expected one for each sample")
    sample = columns.find(table, "sample_column")
    guids = names_in(table, sample) if sample else [f"row-{n}" for n in range(len(table.rows))]
    if sample:
        each_once(table, guids, sample)
    sure = _confidences(table, columns, exits)
    lengths, splits = sample_columns(table, columns, range(len(guids)))
    by_exit = [read_labels(table, name) for name in exits.values()]
    lines = np.array([number for number, _ in table.rows], np.int64)
    return Answered(
        table=table,
        guids=tuple(guids),
        labels=read_labels(table, label),
        exits=tuple(exits),
        answers=[answer for answers in zip(*by_exit, strict=True) for answer in answers],
        confidences=None if sure is None else _numbers(table, sure),
        probabilities={},
        rows=np.repeat(lines[:, None], len(exits), axis=1),
        lengths=lengths,
        costs=_costs(table, exits),
        splits=splits,
    )


def _exits(table: Table, columns: Columns) -> dict[int, str]:
    """Layer → column of answers, ascending."""
    named = dict(columns.exits) or exit_columns(table.columns)
    if not named:
        raise DataError(
            f"{table.path}: no column is called as an exit is, such as exit_2; the file has "
            f"{shown_names(table.columns)}; name them with {option('exits', 'COLUMN=LAYER')}"
        )
    return _by_layer(table, named, "exits")


def _by_layer(table: Table, named: Mapping[str, int], keyword: str) -> dict[int, str]:
    found: dict[int, str] = {}
    for name, layer in named.items():
        table.position(name, keyword)
        if layer in found:
            raise DataError(
                f"{table.path}: the columns {quoted(found[layer])} and {quoted(name)} are both of "
                f"layer {layer}; say which it is with {option(keyword, f'{name}={layer}')}"
            )
        found[layer] = name
    return dict(sorted(found.items()))


def _confidences(table: Table, columns: Columns, exits: Mapping[int, str]) -> list[str] | None:
    """The column of confidences of each exit; None where there are none."""
    if columns.confidences:
        found = _by_layer(table, columns.confidences, "confidences")
    else:
        found = {}
        for layer, name in exits.items():
            called = (f"{name}_confidence", f"{name}_conf", f"confidence_{layer}", f"conf_{layer}")
            if there := [one for one in called if one in table.columns]:
                found[layer] = there[0]
    if missing := [layer for layer in exits if found and layer not in found]:
        raise DataError(
            f"{table.path}: the exit {missing[0]} has no column of confidences, and others have; "
            f"name one for each with {option('confidences', 'COLUMN=LAYER')}"
        )
    return [found[layer] for layer in exits] if found else None


def _costs(table: Table, exits: Mapping[int, str]) -> FloatArray:
    """(N, X); NaN where no column says."""
    found = np.full((len(table.rows), len(exits)), np.nan)
    for at, name in enumerate(exits.values()):
        if (cost := cost_column_of(table.columns, name)) is not None:
            found[:, at] = numbers_in(table, cost)
    return found


def _numbers(table: Table, names: list[str]) -> FloatArray:
    return np.stack([numbers_in(table, name) for name in names], axis=1)
