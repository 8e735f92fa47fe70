"""One rule of labels for every format: what a cell is called as a class, and in which split it is.

The same values have the same names, whether they were written to CSV, JSON or Parquet:

- text is taken without surrounding white space;
- where every label of the column is true or false, in any case, they are ``true`` and ``false``
  (Python writes ``True``, JSON ``true``, a spreadsheet ``TRUE``);
- where every label is a whole number, 1.0 is ``1``; other numbers are written as they are (0.5);
- class names that ``datasets`` keeps beside a column of numbers stand for the numbers.

A text has one label: lists and objects are refused, and so is a row without a label (an empty cell,
null, NaN, or -1 where there are class names).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from decimal import Decimal

from dimec.base.errors import DataError, quoted
from dimec.data.dataset import SPLITS
from dimec.data.tables import ABSENT, Table

_WHOLE = re.compile(r"([+-]?[0-9]+)(?:\.0+)?")
_INTEGER = re.compile(r"[+-]?[0-9]{1,18}")
_SPLIT_NAMES = {
    "train": "train training",
    "validation": "val valid validation validate dev devel development eval evaluation",
    "test": "test testing",
}
_SPLIT_OF = {name: split for split in SPLITS for name in _SPLIT_NAMES[split].split()}


def read_labels(table: Table, column: str) -> list[str]:
    """The label of every row by the rule above.

    Raises:
        DataError: there is no such column; a row has no label, several, or one that is no value.
    """
    position = table.position(column, "label_column")
    texts: dict[str, str] = {}  # a few labels stand for all rows
    labels = []
    for number, cells in table.rows:
        value = cells[position]
        label = texts.get(value) if isinstance(value, str) else None
        if label is None:
            label, problem = _spelled(value, f"in column {quoted(column)}")
            if problem:
                raise table.error(number, f"{problem}; give the text one label, or remove the row")
            if isinstance(value, str):
                texts[value] = label
        labels.append(label)
    called = _as_one_kind(set(labels))
    return [called[label] for label in labels] if called else labels


def check_labelled(table: Table, column: str) -> None:
    """Refuse a table where no row has a label, as the test rows of many tasks are published.

    Raises:
        DataError: it has rows and the column, and no label.
    """
    if not table.rows or column not in table.columns:
        return
    position = table.position(column)
    if not any(_has_label(cells[position]) for _, cells in table.rows):
        raise DataError(
            f"{table.path}: none of its {len(table.rows)} rows has a label in column "
            f"{quoted(column)}; leave this split out, or give its texts labels"
        )


def _has_label(value: object) -> bool:
    if isinstance(value, float):
        return not math.isnan(value)
    if isinstance(value, str):
        return bool(value.strip())
    return value is not None and value is not ABSENT


def label_texts(values: Iterable[object]) -> list[str] | None:
    """What the values of a column are called as labels by the rule above; None where one is none.

    Args:
        values: the distinct ones of the whole column.
    """
    spelled = [_spelled(value, "") for value in values]
    if any(problem for _, problem in spelled):
        return None
    called = _as_one_kind({label for label, _ in spelled})
    return [called.get(label, label) for label, _ in spelled]


def sorted_names(names: Iterable[str]) -> tuple[str, ...]:
    """Label names in order: integers by value, else as texts."""
    names = set(names)
    if all(_INTEGER.fullmatch(name) for name in names):
        return tuple(sorted(names, key=lambda name: (int(name), name)))
    return tuple(sorted(names))


def read_splits(table: Table, column: str) -> tuple[str, ...]:
    """The split of every row, as people write them, in any case: train, val, dev, eval, test …

    Raises:
        DataError: there is no such column, or it holds something else.
    """
    position = table.position(column, "split_column")
    known: dict[str, str] = {}
    splits = []
    for number, cells in table.rows:
        value = cells[position]
        name = known.get(value) if isinstance(value, str) else None
        if name is None:
            name = split_called(value)
            if name is None:
                raise table.error(
                    number,
                    f"expected train, validation (or val, dev, eval) or test in column "
                    f"{quoted(column)}, got {quoted(value)}; correct or remove the row",
                )
            known[value] = name
        splits.append(name)
    return tuple(splits)


def split_called(name: object) -> str | None:
    """The split that people write so: ``"validation"`` for ``"Dev"``; None where there is none."""
    return _SPLIT_OF.get(name.strip().lower()) if isinstance(name, str) else None


def _spelled(value: object, where: str) -> tuple[str, str]:
    """(the value as text, "") or ("", what is wrong with it)."""
    if isinstance(value, bool):
        return str(value).lower(), ""
    if isinstance(value, int) or (isinstance(value, Decimal) and value.is_finite()):
        return str(value), ""
    if isinstance(value, float) and math.isfinite(value):
        return repr(value + 0.0), ""  # no -0.0
    if value is None or value is ABSENT or (isinstance(value, float) and math.isnan(value)):
        return "", f"the label {where} is missing"
    if not isinstance(value, str):
        return "", f"expected a text or a number {where}, got {quoted(value)}"
    label = value.strip()
    if not label:
        return "", f"the label {where} is empty"
    return (label, "") if is_unicode(label) else ("", f"the label {where} is not valid text")


def _as_one_kind(labels: set[str]) -> dict[str, str]:
    """What each label is called where all are truth values or whole numbers; else nothing."""
    if {label.lower() for label in labels} <= {"true", "false"}:
        return {label: label.lower() for label in labels}
    whole = {label: _WHOLE.fullmatch(label) for label in labels}
    if any("." in label for label in labels) and all(whole.values()):
        names = {label: match[1] for label, match in whole.items() if match}
        return {label: "0" if name == "-0" else name for label, name in names.items()}
    return {}


def is_unicode(text: str) -> bool:
    """JSON can spell half a surrogate pair, which no tokenizer and no file accepts."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
