"""Labelled texts that are in memory: tables of other libraries, mappings and lists."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dimec.data.tables import ABSENT, Table, arrow_table, class_names_of
from dimec.errors import DataError, MissingExtraError, quoted, shown

_ACCEPTED = (
    "a table with __arrow_c_stream__ (pandas, polars, pyarrow), a split of datasets, a mapping of "
    "column names to lists, or a list of rows as mappings"
)


def table_of(source: Any, name: str = "the table") -> Table:
    """The rows of a table in memory, counted from 1.

    Args:
        source: anything with ``__arrow_c_stream__`` (pandas from 2.2, polars, pyarrow), a split of
            ``datasets``, a mapping of column names to values, or a sequence of rows that are
            mappings.
        name: what errors call it.

    Raises:
        DataError: it is none of these, its columns differ in length, or Arrow cannot take it.
        MissingExtraError: it is to be read by pyarrow, which is not installed.
    """
    if isinstance(source, Mapping):
        return _of_columns(source, name)
    if hasattr(source, "column_names") and hasattr(source, "features"):
        # A split of datasets keeps an order of its own beside its table, so columns are asked for.
        columns = {
            column: class_names_of(
                list(source[column]), getattr(source.features.get(column), "names", None)
            )
            for column in source.column_names
        }
        return _of_columns(columns, name)
    if hasattr(source, "__arrow_c_stream__"):
        return _of_stream(source, name)
    if isinstance(source, Sequence) and not isinstance(source, str | bytes):
        return _of_rows(source, name)
    raise DataError(f"{name}: expected {_ACCEPTED}, got {type(source).__name__}")


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
        (number, tuple(row.get(column, ABSENT) for column in columns))
        for number, row in enumerate(source, 1)
    ]
    return Table(Path(name), tuple(columns), rows, unit="row")


def _values(values: Any, name: str) -> list[Any]:
    """Plain values of a list, or of an array of numpy, pandas, polars or Arrow."""
    for method in ("tolist", "to_list", "to_pylist"):
        if hasattr(values, method):
            return list(getattr(values, method)())
    if isinstance(values, Sequence) and not isinstance(values, str | bytes):
        return list(values)
    raise DataError(f"{name}: expected a list of values, got {type(values).__name__}")
