"""A table of which models were right, and what they took: a row for each prompt."""

from __future__ import annotations

import re

import numpy as np

from dimec.base.arrays import BoolArray
from dimec.base.errors import ConfigError, DataError, option, quoted
from dimec.data.recorded import (
    Columns,
    cost_column_of,
    each_once,
    model_columns,
    names_in,
    numbers_in,
    sample_columns,
)
from dimec.data.sources import shown_names
from dimec.data.tables import Table
from dimec.tiers.tier import check_tier_name
from dimec.traces.records import Records

OUTCOMES = ("wrong", "right")


def read_models(table: Table, columns: Columns) -> Records:
    """The prompts of a table, with whether each model was right, in the order of the table.

    A model is a source of its own, with one exit at layer 1; its name is a tier's
    (:func:`tier_name_of`). The classes are ``wrong`` and ``right``, and the label is ``right``.

    Args:
        table: the rows.
        columns: what they are called; models are by default the columns beside which there is one
            of costs (``MODEL|total_cost``, ``MODEL_cost``), or else all of 0 and 1.

    Raises:
        DataError: in one line, the table, its row and what to do.
    """
    models = _models(table, columns)
    if not table.rows:
        raise DataError(f"{table.path} has no rows; expected one for each prompt")
    sample = columns.find(table, "sample_column")
    guids = names_in(table, sample) if sample else [f"row-{n}" for n in range(len(table.rows))]
    if sample:
        each_once(table, guids, sample)
    lengths, splits = sample_columns(table, columns, range(len(guids)))
    right = np.stack([_right(table, name, columns.threshold) for name in models.values()], axis=1)
    costs = np.full(right.shape, np.nan)
    for at, name in enumerate(models.values()):
        if (cost := cost_column_of(table.columns, name)) is not None:
            costs[:, at] = numbers_in(table, cost)
    return Records(
        guids=tuple(guids),
        labels=np.ones(len(guids), np.int64),
        label_names=OUTCOMES,
        exits=(1,) * len(models),
        sources=tuple(models),
        probabilities=np.stack([~right, right], axis=-1).astype(np.float32),
        lengths=lengths,
        costs=costs,
        splits=splits,
        answers_only=True,
        outcomes_only=True,
    )


def _models(table: Table, columns: Columns) -> dict[str, str]:
    """Name → column of each model."""
    if columns.models:
        for column in columns.models.values():
            table.position(column, "tiers")
        return dict(columns.models)
    found: dict[str, str] = {}
    for column in model_columns(table, columns):
        name = tier_name_of(column)
        if name in found:
            raise DataError(
                f"{table.path}: the columns {quoted(found[name])} and {quoted(column)} would both "
                f"be called {name}; name them with {option('tiers')} NAME=COLUMN,..."
            )
        found[name] = column
    if len(found) < 2:
        raise DataError(
            f"{table.path}: expected two or more columns of models, of 0 and 1 or beside one like "
            f"MODEL_cost, the file has {shown_names(table.columns)}; name them with "
            f"{option('tiers')} COLUMN,..."
        )
    return found


def models_called(table: Table, words: str) -> dict[str, str]:
    """Name → column of the models that are listed: ``COLUMN``, or ``NAME=COLUMN``.

    Args:
        table: with the columns.
        words: separated by commas; a column may be told as its tier would be called.

    Raises:
        DataError: no such column.
        ConfigError: a name twice.
    """
    found: dict[str, str] = {}
    for word in (part.strip() for part in words.split(",")):
        name, equals, column = word.partition("=")
        if word in table.columns or not equals:
            like = [one for one in table.columns if one == word or tier_name_of(one) == word]
            name, column = tier_name_of(word), word if word in like or not like else like[0]
        table.position(column, "tiers")
        if name in found:
            raise ConfigError(
                f"{option('tiers')}: two models would be called {quoted(name)}; name them as "
                "NAME=COLUMN,..."
            )
        found[check_tier_name(name)] = column
    return found


def tier_name_of(column: str) -> str:
    """What a tier can be called that stands for a column.

    Example:
        >>> tier_name_of("mistralai/Mixtral-8x7B"), tier_name_of("7b")
        ('mistralai-mixtral-8x7b', 'm-7b')
    """
    name = re.sub(r"[^a-z0-9_-]+", "-", column.lower()).strip("-_") or "model"
    return (name if name[0].isalpha() else f"m-{name}")[:32]


def _right(table: Table, name: str, threshold: float | None) -> BoolArray:
    """(N,) whether a model was right."""
    scores = numbers_in(table, name)
    wrong: BoolArray = (scores < 0) | (scores > 1)
    if threshold is None:
        wrong = (scores != 0) & (scores != 1)
    for row in np.flatnonzero(wrong)[:1].tolist():
        told = (
            f"expected a score from 0 to 1 in column {quoted(name)}, got {scores[row]:g}; scale it"
            if threshold is not None
            else f"expected 0 or 1 in column {quoted(name)}, got {scores[row]:g}; for scores, say "
            f"from which on an answer is right with {option('threshold')}"
        )
        raise table.error(table.rows[row][0], told)
    right: BoolArray = scores >= (0.5 if threshold is None else threshold)
    return right
