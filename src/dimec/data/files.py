"""A user's own labelled texts: one CSV, TSV, JSON, JSON lines or Parquet file.

Labels follow the one rule of :mod:`dimec.data.labels`; their names are sorted, integers by value.
Identifiers are ``row-0``, ``row-1`` … in the file's order, unless its rows have their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

import numpy as np

from dimec.base.errors import DataError, option, quoted
from dimec.data.dataset import Dataset
from dimec.data.labels import is_unicode, read_labels, read_splits, sorted_names
from dimec.data.sources import shown_names
from dimec.data.tables import Table

_TEXT_COLUMNS = ("text", "sentence", "sentence1")


def labelled(
    table: Table,
    task: str,
    *,
    text_column: str | None = None,
    pair_column: str | None = None,
    label_column: str | None = None,
    split_column: str | None = None,
    metric: str = "accuracy",
) -> Dataset:
    """The data set of a table.

    Args:
        table: the rows.
        task: what the data set is called.
        text_column: default: ``text``, ``sentence`` or ``sentence1``, the first that is there.
        pair_column: the second text; default: ``sentence2`` beside ``sentence1``, else none.
        label_column: default ``label``.
        split_column: holds ``train``, ``validation`` (or ``val``, ``dev``, ``eval``) and ``test``,
            in any case; default none.
        metric: the score beside accuracy.

    Raises:
        DataError: in one line, the table, the row and what to do.
    """
    text_column = text_column or default_text_column(table.columns) or _no_text_column(table)
    pair_column = pair_column or default_pair_column(table.columns, text_column)
    texts = texts_of(table, text_column, "text_column")
    labels = read_labels(table, label_column or "label")
    names = sorted_names(labels)
    codes = {name: code for code, name in enumerate(names)}
    return Dataset(
        task=task,
        texts=texts,
        pairs=None if pair_column is None else texts_of(table, pair_column, "pair_column"),
        labels=np.array([codes[label] for label in labels], dtype=np.int64),
        label_names=names,
        guids=table.guids or tuple(f"row-{row}" for row in range(len(labels))),
        metric=metric,
        predefined=None if split_column is None else read_splits(table, split_column),
    )


def default_text_column(columns: Sequence[str]) -> str | None:
    """The column of the text where none is named."""
    return next((name for name in _TEXT_COLUMNS if name in columns), None)


def default_pair_column(columns: Sequence[str], text_column: str) -> str | None:
    """The column of the second text where none is named."""
    both = text_column == "sentence1" and "sentence2" in columns
    return "sentence2" if both else None


def _no_text_column(table: Table) -> NoReturn:
    if not table.columns:
        raise DataError(f"{table.path} has no rows; expected labelled texts")
    raise DataError(
        f"{table.path}: no column called {', '.join(_TEXT_COLUMNS)}; name the text's with "
        f"{option('text_column')}: the file has {shown_names(table.columns, 4)}"
        f"{header_hint(table)}"
    )


def header_hint(table: Table) -> str:
    """What else may be the matter where the names in the first line are not those looked for."""
    if not table.headed:
        return ""
    if len(table.columns) == 1:
        return f"; where it has more columns, read it as csv with its {option('delimiter')}"
    return f"; where its first line is a row already, say {option('header')}"


def texts_of(table: Table, column: str, keyword: str) -> tuple[str, ...]:
    """The texts of a column.

    Args:
        table: its rows.
        column: its name.
        keyword: of the option that names another one.

    Raises:
        DataError: no such column, or the row in which there is none, or half a surrogate pair.
    """
    position = table.position(column, keyword)
    texts = []
    for number, cells in table.rows:
        text = cells[position]
        if not isinstance(text, str):
            raise table.error(
                number,
                f"expected a text in column {quoted(column)}, got "
                f"{'nothing' if text is None else quoted(text)}; an empty text is "
                'written as ""',
            )
        if not text.isascii() and not is_unicode(text):
            raise table.error(
                number,
                f"the text in column {quoted(column)} holds half a surrogate pair; remove it",
            )
        texts.append(text)
    return tuple(texts)
