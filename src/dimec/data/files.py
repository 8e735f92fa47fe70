"""A user's own labelled texts: one CSV, TSV, JSON lines or Parquet file.

Labels are strings or integers, without surrounding white space; their names are sorted, integers
by value. Identifiers are ``row-0``, ``row-1`` … in the file's order.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from dimec.data.dataset import SPLITS, Dataset
from dimec.data.tables import ABSENT, Table, read_table
from dimec.errors import DataError

FILE_KINDS = ("csv", "tsv", "jsonl", "parquet")
_TEXT_COLUMNS = ("text", "sentence", "sentence1")
_SPLIT_NAMES = {name: name for name in SPLITS} | {"dev": "validation"}
_INTEGER = re.compile(r"[+-]?[0-9]{1,18}")


def load_file(
    kind: str,
    path: Path,
    *,
    text_column: str | None = None,
    pair_column: str | None = None,
    label_column: str | None = None,
    split_column: str | None = None,
    metric: str = "accuracy",
) -> Dataset:
    """Read a labelled file; the task is called ``KIND:PATH``.

    Args:
        kind: ``"csv"``, ``"tsv"``, ``"jsonl"`` or ``"parquet"``; see
            :func:`dimec.data.tables.read_table` for their forms.
        path: the file; the text kinds may be compressed (``.gz``).
        text_column: default: ``text``, ``sentence`` or ``sentence1``, the first that is there.
        pair_column: the second text; default: ``sentence2`` beside ``sentence1``, else none.
        label_column: default ``label``.
        split_column: holds ``train``, ``validation`` (or ``dev``) and ``test``; default none.
        metric: the score beside accuracy.

    Raises:
        DataError: in one line, the file, the line and what to do.
        MissingExtraError: Parquet without pyarrow.
    """
    table = read_table(path, kind)
    text = text_column or next((c for c in _TEXT_COLUMNS if c in table.columns), None)
    if text is None:
        raise DataError(
            f"{path}: no column called {', '.join(_TEXT_COLUMNS)}; name the text's column with "
            f"text_column, the file has {', '.join(map(repr, table.columns)) or 'no rows'}"
        )
    if pair_column is None and text == "sentence1" and "sentence2" in table.columns:
        pair_column = "sentence2"
    labels = _labels(table, label_column or "label")
    names = _sorted_names(set(labels))
    codes = {name: code for code, name in enumerate(names)}
    return Dataset(
        task=f"{kind}:{path}",
        texts=_texts(table, text),
        pairs=None if pair_column is None else _texts(table, pair_column),
        labels=np.array([codes[label] for label in labels], dtype=np.int64),
        label_names=names,
        guids=tuple(f"row-{row}" for row in range(len(labels))),
        metric=metric,
        predefined=None if split_column is None else _splits(table, split_column),
    )


def _texts(table: Table, column: str) -> tuple[str, ...]:
    position = table.position(column)
    texts = []
    for number, cells in table.rows:
        text = cells[position]
        if not isinstance(text, str):
            raise table.error(
                number,
                f"expected a text in column {column!r}, got {_shown(text)}; an empty text is "
                'written as ""',
            )
        if not _is_unicode(text):
            raise table.error(
                number, f"the text in column {column!r} holds half a surrogate pair; remove it"
            )
        texts.append(text)
    return tuple(texts)


def _labels(table: Table, column: str) -> list[str]:
    position = table.position(column)
    labels = []
    for number, cells in table.rows:
        value = cells[position]
        if isinstance(value, bool) or not isinstance(value, str | int):
            raise table.error(
                number,
                f"expected a string or an integer in column {column!r}, got {_shown(value)}; "
                "correct or remove the row",
            )
        label = str(value).strip()
        if not label or not _is_unicode(label):
            raise table.error(
                number,
                f"the label in column {column!r} is empty or not valid text; correct or remove "
                "the row",
            )
        labels.append(label)
    return labels


def _splits(table: Table, column: str) -> tuple[str, ...]:
    position = table.position(column)
    splits = []
    for number, cells in table.rows:
        value = cells[position]
        name = _SPLIT_NAMES.get(value.strip().lower()) if isinstance(value, str) else None
        if name is None:
            raise table.error(
                number,
                f"expected train, validation (or dev) or test in column {column!r}, got "
                f"{_shown(value)}; correct or remove the row",
            )
        splits.append(name)
    return tuple(splits)


def _sorted_names(names: set[str]) -> tuple[str, ...]:
    if all(_INTEGER.fullmatch(name) for name in names):
        return tuple(sorted(names, key=lambda name: (int(name), name)))
    return tuple(sorted(names))


def _is_unicode(text: str) -> bool:
    """JSON can spell half a surrogate pair, which no tokenizer and no file accepts."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _shown(value: object) -> str:
    if value is ABSENT or value is None:
        return "nothing"
    shown = repr(value)
    return shown if len(shown) <= 40 else shown[:37] + "..."
