"""Labelled texts that are in memory: tables of other libraries, mappings and lists."""

from __future__ import annotations

import importlib
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dimec.base.errors import DataError, MissingExtraError, quoted, shown
from dimec.data.delimited import distinct
from dimec.data.tables import ABSENT, Table, arrow_table, arrow_values, class_names_of

_ACCEPTED = (
    "a table with __arrow_c_stream__ (pandas, polars, pyarrow), a split of datasets, a mapping of "
    "column names to lists, or a list of rows as mappings"
)
_PLAIN = (str, int, bool, type(None))


def table_of(source: Any, name: str = "the table") -> Table:
    """The rows of a table in memory, counted from 1.

    Args:
        source: a table of pandas, anything with ``__arrow_c_stream__`` (polars, pyarrow), a split
            of ``datasets``, also one that streams, a mapping of column names to values, or a
            sequence of rows that are mappings.
        name: what errors call it.

    Raises:
        DataError: it is none of these, its columns differ in length, or Arrow cannot take it.
        MissingExtraError: it is to be read by pyarrow, which is not installed.
    """
    if isinstance(source, Mapping):
        return _of_columns(source, name)
    if _is_split(source):
        return _of_split(source, name)
    if hasattr(source, "iloc") and hasattr(source, "columns"):
        return _of_frame(source, name)
    if hasattr(source, "__arrow_c_stream__"):
        return _of_stream(source, name)
    if isinstance(source, Sequence) and not isinstance(source, str | bytes):
        return _of_rows(source, name)
    hint = "; collect it first" if hasattr(source, "collect") else ""
    raise DataError(f"{name}: expected {_ACCEPTED}, got {type(source).__name__}{hint}")


def is_table(source: Any) -> bool:
    """Whether something is rows rather than one column of values."""
    return isinstance(source, Mapping) or hasattr(source, "columns") or _is_split(source)


def _is_split(source: Any) -> bool:
    return hasattr(source, "column_names") and hasattr(source, "with_format")


def _of_split(source: Any, name: str) -> Table:
    """A split of datasets, whatever form it is set to give its values in."""
    features = source.features or {}  # unknown where a stream was not looked into
    if hasattr(source, "__len__"):
        # Through Arrow: in the split's own order, and no picture or sound is decoded.
        table = source.with_format("arrow")[:]
        columns = {column: arrow_values(table.column(column)) for column in table.column_names}
    else:
        # One pass for all columns: a stream may give its rows in another order the next time.
        rows = list(source.with_format(None))
        called = dict.fromkeys(column for row in rows for column in row)
        columns = {column: [row.get(column, ABSENT) for row in rows] for column in called}
    for column, values in columns.items():
        columns[column] = class_names_of(values, getattr(features.get(column), "names", None))
    return _of_columns(columns, name)


def _of_frame(source: Any, name: str) -> Table:
    """A table of pandas, whose columns may hold values of several types, as Arrow's may not."""
    names = [str(column) for column in source.columns]
    distinct(tuple(names), name)
    columns = {column: source.iloc[:, at] for at, column in enumerate(names)}
    for level, called in enumerate(source.index.names):
        if called is not None:  # an index that was a column
            columns.setdefault(str(called), source.index.get_level_values(level))
    return _of_columns(columns, name)


def _of_stream(source: Any, name: str) -> Table:
    try:
        pyarrow = importlib.import_module("pyarrow")
    except ImportError:
        raise MissingExtraError("pyarrow", "train", "reading tables in memory") from None
    try:
        return arrow_table(pyarrow.table(source), Path(name))
    except (pyarrow.ArrowException, TypeError, ValueError) as error:
        reason = shown(" ".join(str(error).split()), 120)
        raise DataError(f"{name} cannot be read as an Arrow table ({reason})") from None


def _of_columns(source: Mapping[Any, Any], name: str) -> Table:
    columns = {
        str(column): _values(values, f"{name}: {column}") for column, values in source.items()
    }
    by_length = sorted(columns, key=lambda column: len(columns[column]))
    if columns and len(columns[by_length[0]]) < len(columns[by_length[-1]]):
        fewer, more = by_length[0], by_length[-1]
        raise DataError(
            f"{name}: column {quoted(fewer)} has {len(columns[fewer])} values, {quoted(more)} has "
            f"{len(columns[more])}; give as many of each"
        )
    rows = list(enumerate(zip(*columns.values(), strict=True), 1))
    return Table(Path(name), tuple(columns), rows, unit="row")


def _of_rows(source: Sequence[Any], name: str) -> Table:
    columns: dict[str, None] = {}
    for number, row in enumerate(source, 1):
        if not isinstance(row, Mapping):
            raise DataError(
                f"{name}, row {number}: expected a mapping such as {{'text': ..., 'label': ...}}, "
                f"got {type(row).__name__}; or give {_ACCEPTED}"
            )
        columns.update(dict.fromkeys(row))
    rows = [
        (number, tuple(_plain(row.get(column, ABSENT)) for column in columns))
        for number, row in enumerate(source, 1)
    ]
    return Table(Path(name), tuple(columns), rows, unit="row")


def _values(values: Any, name: str) -> list[Any]:
    """Plain values of a list, or of an array of numpy, pandas, polars or Arrow."""
    for method in ("tolist", "to_list", "to_pylist"):
        if hasattr(values, method):
            return [_plain(value) for value in getattr(values, method)()]
    if isinstance(values, Sequence) and not isinstance(values, str | bytes):
        return [_plain(value) for value in values]
    raise DataError(f"{name}: expected a list of values, got {type(values).__name__}")


def _plain(value: Any) -> Any:
    """A value as Python has it: numbers and texts of numpy, and what pandas calls missing."""
    if type(value) in _PLAIN:
        return value
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and math.isnan(value):
        return None
    pandas = sys.modules.get("pandas")  # where it was not loaded nothing is of it
    missing = () if pandas is None else (pandas.NA, pandas.NaT)
    return None if any(value is none for none in missing) else value
