"""The data set of large files, without a string and a tuple for each of their rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dimec.data.columnar import Choice, Columns, read_columns
from dimec.data.columns import TextColumn
from dimec.data.dataset import SPLITS, Dataset
from dimec.data.files import default_pair_column, default_text_column
from dimec.data.label_studio import is_export
from dimec.data.labels import label_texts, sorted_names, split_called

LARGE = 4 << 20  # bytes; for less it is not worth the import of Arrow


def large_dataset(
    files: Mapping[str, tuple[str, Path]],
    task: str,
    columns: Mapping[str, str | None],
    form: Mapping[str, Any],
) -> Dataset | None:
    """What :func:`dimec.data.files.labelled` makes of a file, and ``labelled_parts`` of several.

    None where a file is small or anything about one is out of the ordinary: only row by row can it
    be said what, and where.

    Args:
        files: split → kind and path, in the order of the splits; of one file, "" → them.
        task: what the data set is called.
        columns: names by option, as ``labelled`` takes them.
        form: options of :func:`dimec.data.tables.read_table`.
    """
    try:
        if sum(path.stat().st_size for _, path in files.values()) < LARGE:
            return None
    except OSError:
        return None
    parts: list[Columns] = []
    for kind, path in files.values():
        part = read_columns(path, kind, lambda names: _choice(names, columns), **form)
        if part is None or part.names != (parts or [part])[0].names:
            return None
        parts.append(part)
    choice = _choice(parts[0].names, columns)
    if choice is None:
        return None
    joined = parts[0] if len(parts) == 1 else _joined(parts, choice)
    return _dataset(joined, choice, task, {s: _rows(p) for s, p in zip(files, parts, strict=True)})


def _choice(names: tuple[str, ...], columns: Mapping[str, str | None]) -> Choice | None:
    text = columns["text_column"] or default_text_column(names)
    if text is None or is_export(names):  # of those, rows are told together
        return None
    pair = columns["pair_column"] or default_pair_column(names, text)
    split = columns["split_column"]
    texts = (text,) if pair is None else (text, pair)
    values = (columns["label_column"] or "label", *([] if split is None else [split]))
    known = {*texts, *values} <= set(names)
    return Choice(texts, values) if known else None


def _rows(part: Columns) -> int:
    return len(next(iter(part.texts.values())))


def _joined(parts: Sequence[Columns], choice: Choice) -> Columns:
    """The rows of all parts, one below the other."""
    texts = {name: TextColumn.joined([part.texts[name] for part in parts]) for name in choice.texts}
    values = {}
    for name in choice.values:
        known: dict[tuple[type, Any], int] = {}
        codes = []
        for part in parts:
            distinct, own = part.values[name]
            new = [known.setdefault((type(value), value), len(known)) for value in distinct]
            codes.append(np.array(new, np.int64)[own])
        values[name] = ([value for _, value in known], np.concatenate(codes))
    return Columns(parts[0].names, texts, values)


def _dataset(
    columns: Columns, choice: Choice, task: str, sizes: Mapping[str, int]
) -> Dataset | None:
    label, *split = choice.values
    values, codes = columns.values[label]
    labels = label_texts(values)
    if not labels:
        return None
    names = sorted_names(labels)
    place = {name: code for code, name in enumerate(names)}
    code_of = np.array([place[label] for label in labels], np.int64)
    predefined: tuple[str, ...] | None = None
    if split:
        values, places = columns.values[split[0]]
        called = [split_called(value) for value in values]
        if None in called:
            return None
        predefined = tuple(str(called[at]) for at in places.tolist())
    elif set(sizes) <= set(SPLITS):
        predefined = tuple(name for name, size in sizes.items() for _ in range(size))
    text, *pair = (columns.texts[name] for name in choice.texts)
    return Dataset(
        task=task,
        texts=text,
        pairs=pair[0] if pair else None,
        labels=code_of[codes],
        label_names=names,
        guids=TextColumn.of(
            f"{name or 'row'}-{row}" for name, size in sizes.items() for row in range(size)
        ),
        predefined=predefined,
    )
