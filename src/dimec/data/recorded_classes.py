"""Answers in words, from tables of either kind, to probabilities of classes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from dimec.base.arrays import Float32Array, FloatArray, IntArray
from dimec.base.errors import ConfigError, DataError, option, quoted
from dimec.data.labels import label_texts, sorted_names
from dimec.data.sources import shown_names
from dimec.data.tables import Table
from dimec.traces.records import Records, kept, spread

_ROUNDED = 5e-3  # by which probabilities of two digits are off
_LEVEL = 1e-6  # what is so near to the largest probability is as large
_PREFIXES = ("prob_", "p_")


@dataclass(frozen=True, eq=False)
class Answered:
    """N samples of a table as its X exits answered them, in words.

    Attributes:
        table: where they are from.
        guids, labels: N names, and N right classes.
        exits: X layers, ascending.
        answers: (N · X) classes, sample by sample; none where only probabilities are there.
        confidences: (N, X) of the answers; None where nobody says.
        probabilities: class → (N, X); none where nobody says.
        rows: (N, X) the number of the row that each answer is in.
        lengths, costs, splits: see :class:`dimec.traces.records.Records`.
    """

    table: Table
    guids: tuple[str, ...]
    labels: Sequence[str]
    exits: tuple[int, ...]
    answers: Sequence[str]
    confidences: FloatArray | None
    probabilities: Mapping[str, FloatArray]
    rows: IntArray
    lengths: IntArray
    costs: FloatArray
    splits: tuple[str, ...]

    @property
    def classes(self) -> set[str]:
        """All that are named."""
        return {*self.labels, *self.answers, *self.probabilities}

    def error(self, at: tuple[int, int], problem: str) -> DataError:
        """About the answer of an exit to a sample, by their positions."""
        return self.table.error(int(self.rows[at]), problem)


def classes_of(parts: Sequence[Answered], given: Sequence[str] = ()) -> tuple[str, ...]:
    """The names of the classes of tables that belong together, in order.

    Args:
        parts: the tables.
        given: the order that is wanted; by default integers by value, else as texts.

    Raises:
        ConfigError: names that are given and lack one that the tables have.
        DataError: fewer than two classes.
    """
    found: set[str] = set().union(*(part.classes for part in parts))
    if given and (missing := found - set(given)):
        raise ConfigError(
            f"{option('label_names')}: the table has the class {quoted(min(missing))} too; name "
            "each class"
        )
    if given and len(set(given)) < len(given):
        raise ConfigError(f"{option('label_names')}: a class is there twice; name each once")
    names = tuple(given) or sorted_names(found)
    if len(names) < 2:
        raise DataError(
            f"{parts[0].table.path} has one class only, {shown_names(names)}; name the others with "
            f"{option('label_names')}"
        )
    return names


def records_of(part: Answered, names: Sequence[str]) -> Records:
    """The records of a table, once it is known what its classes are called.

    Raises:
        DataError: the row in which probabilities, confidence and answer do not fit each other.
    """
    codes = {name: code for code, name in enumerate(names)}
    answers = None
    if part.answers:
        answers = np.array([codes[name] for name in part.answers]).reshape(part.rows.shape)
    return Records(
        guids=part.guids,
        labels=np.array([codes[name] for name in part.labels], np.int64),
        label_names=tuple(names),
        exits=part.exits,
        sources=("",) * len(part.exits),
        probabilities=_probabilities(part, names, answers),
        lengths=part.lengths,
        costs=part.costs,
        splits=part.splits,
        answers_only=part.confidences is None and not part.probabilities,
    )


def _probabilities(part: Answered, names: Sequence[str], answers: IntArray | None) -> Float32Array:
    if part.probabilities:
        return _of_all_classes(part, names, answers)
    assert answers is not None  # the readers refuse tables without either
    confidences = np.ones(part.rows.shape)
    if part.confidences is not None:
        least = 1 / len(names)
        told = part.confidences
        _refuse(
            part,
            (told < least - _ROUNDED) | (told > 1 + _LEVEL),
            lambda at: (
                f"expected a confidence from {least:.3g} to 1 of an answer among {len(names)} "
                f"classes, got {told[at]:g}; correct or remove the row"
            ),
        )
        confidences = np.clip(told, least, 1.0)
    return kept(spread(answers, confidences, len(names)), answers)


def _of_all_classes(part: Answered, names: Sequence[str], answers: IntArray | None) -> Float32Array:
    if missing := [name for name in names if name not in part.probabilities]:
        raise DataError(
            f"{part.table.path}: no column has the probability of the class {quoted(missing[0])}; "
            f"add {_PREFIXES[0]}{missing[0]}"
        )
    told = np.stack([part.probabilities[name] for name in names], axis=-1)
    total = told.sum(axis=-1)
    _refuse(
        part,
        (told < 0).any(axis=-1) | (np.abs(total - 1) > _ROUNDED * len(names)),
        lambda at: (
            f"expected probabilities from 0 that add up to 1, got {_listed(told[at])}; correct or "
            "remove the row"
        ),
    )
    largest = told.argmax(axis=-1)
    if answers is None:
        return kept(told / total[..., None], largest)
    own = np.take_along_axis(told, answers[..., None], axis=-1)[..., 0]
    _refuse(
        part,
        own < told.max(axis=-1) - _LEVEL,
        lambda at: (
            f"the prediction is {quoted(names[answers[at]])}, and the class "
            f"{quoted(names[largest[at]])} has a larger probability; correct or remove the row"
        ),
    )
    return kept(told / total[..., None], answers)


def _listed(values: FloatArray) -> str:
    shown = ", ".join(f"{value:g}" for value in values[:5].tolist())
    return shown + (", …" if len(values) > 5 else "")


def _refuse(part: Answered, wrong: np.ndarray, problem: Callable[[tuple[int, int]], str]) -> None:
    """Raise DataError about the first answer that is wrong."""
    for at in np.argwhere(wrong)[:1].tolist():
        place = (at[0], at[1])
        raise part.error(place, problem(place))


def probability_columns(table: Table) -> dict[str, str]:
    """Column → class of those that are called ``prob_CLASS``, or else ``p_CLASS``."""
    for prefix in _PREFIXES:
        found = {name: name.removeprefix(prefix) for name in table.columns if _is(name, prefix)}
        if len(found) > 1:
            called = label_texts(found.values()) or list(found.values())
            return dict(zip(found, called, strict=True))
    return {}


def _is(name: str, prefix: str) -> bool:
    return name.startswith(prefix) and len(name) > len(prefix)
