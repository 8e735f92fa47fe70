"""A long table of records: a row for each sample and exit."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dimec.base.arrays import FloatArray, IntArray
from dimec.base.errors import DataError, option, quoted
from dimec.data.labels import read_labels
from dimec.data.recorded import Columns, layer_in, names_in, numbers_in, sample_columns
from dimec.data.recorded_classes import Answered, probability_columns
from dimec.data.tables import Table


def read_long(table: Table, columns: Columns) -> Answered:
    """The samples of a table that has a row for each of them at each exit, in any order.

    Args:
        table: the rows; samples keep the order in which they first occur.
        columns: what they are called. Probabilities are in ``prob_CLASS`` or ``p_CLASS``, and go
            before a confidence.

    Raises:
        DataError: in one line, the row and what to do: a sample without an exit, or with one twice,
            with two labels, lengths or splits, or a cell that is none.
    """
    sample = columns.need(table, "sample_column")
    layer = columns.need(table, "exit_column")
    label = columns.need(table, "label_column")
    probable = probability_columns(table)
    answer = columns.find(table, "prediction_column")
    if answer is None and not probable:
        answer = columns.need(table, "prediction_column")
    sure = None if probable else columns.find(table, "confidence_column")
    cost = columns.find(table, "cost_column")
    guids = names_in(table, sample)
    exits, places = _grid(table, guids, _layers(table, layer))
    first = places[:, 0].tolist()
    flat = places.ravel().tolist()
    labels = read_labels(table, label)
    _check_same(table, places, labels, f"the label of column {quoted(label)}")
    lengths, splits = sample_columns(table, columns, range(len(table.rows)))
    _check_same(table, places, lengths.tolist(), "the length")
    if splits:
        _check_same(table, places, splits, "the split")

    def numbers(name: str) -> FloatArray:
        found: FloatArray = numbers_in(table, name)[places]
        return found

    answers = [] if answer is None else read_labels(table, answer)
    return Answered(
        table=table,
        guids=tuple(guids[row] for row in first),
        labels=[labels[row] for row in first],
        exits=exits,
        answers=[answers[row] for row in flat] if answers else [],
        confidences=None if sure is None else numbers(sure),
        probabilities={name: numbers(column) for column, name in probable.items()},
        rows=np.array([number for number, _ in table.rows], np.int64)[places],
        lengths=lengths[first],
        costs=np.full(places.shape, np.nan) if cost is None else numbers(cost),
        splits=tuple(splits[row] for row in first) if splits else (),
    )


def _layers(table: Table, name: str) -> list[int]:
    at = table.position(name)
    found = []
    for number, cells in table.rows:
        if (layer := layer_in(cells[at])) is None:
            raise table.error(
                number,
                f"expected a layer such as 3 in column {quoted(name)}, got {quoted(cells[at])}; "
                f"where columns are models, see {option('form')} correctness",
            )
        found.append(layer)
    return found


def _grid(
    table: Table, guids: Sequence[str], layers: Sequence[int]
) -> tuple[tuple[int, ...], IntArray]:
    """The exits, ascending, and (N, X) the position of each sample's row at each of them."""
    if not guids:
        raise DataError(f"{table.path} has no rows; expected one for each sample and exit")
    exits = tuple(sorted(set(layers)))
    columns = {layer: column for column, layer in enumerate(exits)}
    known = {guid: place for place, guid in enumerate(dict.fromkeys(guids))}
    places = np.full((len(known), len(exits)), -1, np.int64)
    for row, (guid, layer) in enumerate(zip(guids, layers, strict=True)):
        at = known[guid], columns[layer]
        if places[at] >= 0:
            raise table.error(
                table.rows[row][0],
                f"the sample {quoted(guid)} has the exit {layer} in {table.unit} "
                f"{table.rows[int(places[at])][0]} already; keep one of them",
            )
        places[at] = row
    for sample, column in np.argwhere(places < 0)[:1].tolist():
        row = int(places[sample].max())
        raise table.error(
            table.rows[row][0],
            f"the sample {quoted(guids[row])} lacks the exit {exits[column]}, which others have; "
            "add its row, or remove the sample",
        )
    return exits, places


def _check_same(table: Table, places: IntArray, values: Sequence[object], what: str) -> None:
    """Refuse a sample that has two values of what it can have one of."""
    codes = {value: code for code, value in enumerate(dict.fromkeys(values))}
    told = np.array([codes[value] for value in values], np.int64)[places]
    for sample, column in np.argwhere(told != told[:, :1])[:1].tolist():
        number, before = (table.rows[int(places[sample, at])][0] for at in (column, 0))
        raise table.error(
            number,
            f"{what} is another than that of the same sample in {table.unit} {before}; correct "
            "one of them",
        )
