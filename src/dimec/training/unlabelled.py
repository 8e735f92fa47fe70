"""Texts without labels that join a distillation: :func:`read_unlabelled`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from dimec.base.errors import DataError, option, shown
from dimec.base.progress import Progress
from dimec.data.dataset import Dataset, Splits
from dimec.data.files import default_text_column, texts_of
from dimec.data.sources import read_lines, shown_names
from dimec.data.tables import Table, kind_of, read_table
from dimec.settings.data import DataSettings
from dimec.training.lesson import UnlabelledTexts

_PAIR_COLUMNS = ("pair", "sentence2")
_EVALUATED = "of the validation or test rows"
_BEFORE = "repeated or of the training rows"
_EMPTY = "empty"

_Row = tuple[str, str | None]


def read_unlabelled(
    path: Path, splits: Splits, data: DataSettings, progress: Progress
) -> UnlabelledTexts:
    """The texts of a file that a teacher is to label, without those that must not be learnt from.

    A table (.csv, .tsv, .json, .jsonl, .parquet) has the columns that the labelled rows have, or
    the usual ones; any other file has a text a line, and of pairs a tab between the two. A column
    of labels is not looked at.

    Left out, and counted: texts of the validation and the test split, since scores of a student
    that has seen them say nothing; texts that came before or are trained on already, but for case
    and white space; and empty ones.

    Args:
        path: the file.
        splits: of the run.
        data: how the labelled rows were written, and what their columns are called.
        progress: told what was left out.

    Raises:
        DataError: the file cannot be read, has no column of texts, or of second texts where the
            run has pairs, has a row without a text, or nothing that is left.
    """
    pairs, kind = splits.train.pairs is not None, kind_of(path)
    if kind is None:
        rows = _of_lines(path, data, pairs)
    else:
        table = read_table(
            path,
            kind,
            delimiter=data.delimiter if kind == "csv" else None,
            encoding=data.encoding if kind not in ("parquet", "arrow") else None,
            header=data.header or kind not in ("csv", "tsv"),
        )
        rows = _of_table(table, data, pairs)
        if (label := data.label_column or "label") in table.columns:
            progress.say(f"{_called(path)} has a column {label!r}, which is not looked at")
    if not rows:
        raise DataError(f"{path} has no texts; give a file with some, or leave it out")
    kept, left_out = _chosen(rows, splits)
    why = ", ".join(f"{count:,} {reason}" for reason, count in left_out.items())
    if not kept:
        raise DataError(
            f"none of the {len(rows):,} texts of {path} can be learnt from: {why}; give others"
        )
    progress.say(
        f"{_of(len(kept), 'text')} without labels, of {_called(path)}, "
        f"join{'s' if len(kept) == 1 else ''} the distillation"
        + (f"; left out: {why}" if why else "")
    )
    texts, seconds = zip(*kept, strict=True)
    return UnlabelledTexts(texts, seconds if pairs else None)


def _chosen(rows: Iterable[_Row], splits: Splits) -> tuple[list[_Row], Counter[str]]:
    """The rows to learn from, and how many were left out for which reason."""
    evaluated = {*_keys(splits.validation), *_keys(splits.test)}
    seen = set(_keys(splits.train))
    kept, left_out = [], Counter[str]()
    for row in rows:
        key = _key(row)
        if not any(key):
            left_out[_EMPTY] += 1
        elif key in evaluated:
            left_out[_EVALUATED] += 1
        elif key in seen:
            left_out[_BEFORE] += 1
        else:
            kept.append(row)
        seen.add(key)
    return kept, left_out


def _keys(part: Dataset) -> Iterable[_Row]:
    seconds = part.pairs if part.pairs is not None else [None] * len(part)
    return map(_key, zip(part.texts, seconds, strict=True))


def _key(row: _Row) -> _Row:
    text, second = row
    return _plain(text), None if second is None else _plain(second)


def _plain(text: str) -> str:
    """What is left of a text when case and white space say nothing."""
    return " ".join(text.split()).casefold()


def _of_lines(path: Path, data: DataSettings, pairs: bool) -> list[_Row]:
    rows: list[_Row] = []
    for number, line in read_lines(path, data.encoding):
        text, tab, second = line.partition("\t")
        if not pairs:
            rows.append((line, None))
        elif tab:
            rows.append((text, second))
        else:
            raise DataError(
                f"{path}, line {number}: expected a pair of texts with a tab between them, as the "
                "run has pairs; give a table with two columns, or put the tab in"
            )
    return rows


def _of_table(table: Table, data: DataSettings, pairs: bool) -> list[_Row]:
    if not table.columns:
        return []
    text = data.text_column if data.text_column in table.columns else None
    text = text or default_text_column(table.columns)
    if text is None and len(table.columns) == 1 and not pairs and not table.headed:
        text = table.columns[0]
    if text is None:
        raise DataError(
            f"{table.path}: no column called {data.text_column or 'text, sentence or sentence1'}, "
            f"as in the labelled rows; the file has {shown_names(table.columns, 4)}: rename one"
        )
    texts = texts_of(table, text, "text_column")
    if not pairs:
        return [(one, None) for one in texts]
    usual = (data.pair_column, *_PAIR_COLUMNS)
    second = next((name for name in usual if name in table.columns and name != text), None)
    if second is None:
        raise DataError(
            f"{table.path}: no column called {data.pair_column or 'pair or sentence2'} for the "
            f"second text, and the run has pairs; the file has {shown_names(table.columns, 4)}: "
            f"rename one, or leave {option('unlabelled')} out"
        )
    return list(zip(texts, texts_of(table, second, "pair_column"), strict=True))


def _called(path: Path) -> str:
    return shown(path.name, 40)


def _of(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
