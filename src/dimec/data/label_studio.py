"""Exports of Label Studio, as tables of a text and a label a row.

Three of its formats hold texts with choices: JSON (tasks with their annotations), JSON-MIN and CSV
(a row for each annotation). One is known by its columns, whatever the file is called.

A task has the choice that most of its annotations made; one that an annotation marks as the ground
truth counts alone. Tasks without a choice, and those on which annotators are evenly divided, are
left out and counted. Cancelled annotations, drafts and predictions of models say nothing.

A row is called by its task's number there (``id``), so that it can be looked up in the project.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from dimec.base.errors import DataError, option, quoted
from dimec.data.files import default_pair_column, default_text_column
from dimec.data.recorded import each_once, names_in
from dimec.data.sources import shown_names
from dimec.data.tables import ABSENT, Table

_TASKS = {"data", "annotations"}
_FLAT = {"id", "annotator", "annotation_id", "lead_time"}
# What Label Studio adds to a row of JSON-MIN and CSV beside the data and the choices.
_ADDED = _FLAT | {"created_at", "updated_at", "agreement", "inner_id", "total_annotations"}


@dataclass(frozen=True)
class _Vote:
    """What an annotation chose, which is nothing, one name, or several."""

    choices: tuple[str, ...]
    is_truth: bool = False


@dataclass(frozen=True)
class _Task:
    """A text: its row in the export, its id, its cells by column, and the votes on it."""

    number: int
    id_: Any
    cells: Mapping[str, Any]
    votes: tuple[_Vote, ...]


def is_export(columns: Sequence[str]) -> bool:
    """Whether columns are those of an export."""
    return set(columns) >= _TASKS or set(columns) >= _FLAT


def labelled_rows(
    table: Table,
    *,
    label_column: str | None = None,
    text_column: str | None = None,
    pair_column: str | None = None,
) -> tuple[Table, str]:
    """The rows of an export that have one label.

    Args:
        table: of which :func:`is_export` holds.
        label_column: name of the choices in the labelling interface; default: the only ones.
        text_column, pair_column: what else is no label where a row does not say it.

    Returns:
        A row for each task that has a label, in the order of the export: its data, and the label in
        the column ``label_column``, by default ``label``; named by the task's id, or by nothing
        where no task has one. And what was left out, in words; empty where nothing was.

    Raises:
        DataError: it is of several choices and none is named, an annotation has several choices at
            once, no task has a label, or an id is missing or there twice.
    """
    if set(table.columns) >= _TASKS:
        control, tasks = _of_tasks(table, label_column)
    else:
        control = label_column or _flat_control(table, text_column, pair_column)
        tasks = _of_annotations(table, control)
    label = label_column or "label"
    kept, empty, divided = [], 0, 0
    for task in tasks:
        name = _decided(table, task, control)
        empty += name is None
        divided += name == ""
        if name:
            kept.append((task, name))
    if not kept:
        raise DataError(
            f"{table.path}: no task of this Label Studio export has a choice {quoted(control)} "
            f"that its annotators agree on ({empty} without one, {divided} divided); label some, "
            f"or name other choices with {option('label_column')}"
        )
    names = dict.fromkeys(name for task, _ in kept for name in task.cells if name != label)
    rows = [
        (task.number, (*(task.cells.get(name, ABSENT) for name in names), chosen))
        for task, chosen in kept
    ]
    guids = _guids(table, [task for task, _ in kept])
    labelled = Table(table.path, (*names, label), rows, table.unit, guids=guids)
    return labelled, _told(len(kept), empty, divided)


def _guids(table: Table, tasks: Sequence[_Task]) -> tuple[str, ...] | None:
    """Each task's id; None where nothing is said of any, which Label Studio itself never does."""
    if all(task.id_ is ABSENT for task in tasks):
        return None
    ids = Table(table.path, ("id",), [(task.number, (task.id_,)) for task in tasks], table.unit)
    found = names_in(ids, "id")
    each_once(ids, found, "id")
    return tuple(found)


def _told(kept: int, empty: int, divided: int) -> str:
    if not empty + divided:
        return ""
    parts = [f"{empty:,} without a choice"] * bool(empty)
    parts += [f"{divided:,} on which annotators are divided"] * bool(divided)
    return (
        f"{kept:,} of {kept + empty + divided:,} tasks of a Label Studio export; left out are "
        f"{' and '.join(parts)}"
    )


def _decided(table: Table, task: _Task, control: str) -> str | None:
    """The label of a task; None without a vote, and ``""`` where the votes are evenly divided."""
    votes = [vote for vote in task.votes if vote.is_truth] or task.votes
    for vote in votes:
        if len(vote.choices) > 1:
            raise table.error(
                task.number,
                f"expected one choice {quoted(control)} of each annotator, got "
                f"{shown_names(vote.choices, 3)}; a text has one label: give the task one, or "
                "export choices of which one can be taken",
            )
    counts = Counter(choice for vote in votes for choice in vote.choices).most_common(2)
    if not counts:
        return None
    return "" if len(counts) > 1 and counts[0][1] == counts[1][1] else counts[0][0]


def _of_tasks(table: Table, wanted: str | None) -> tuple[str, list[_Task]]:
    """The choices that are the label, and the tasks of the JSON format."""
    data, annotations = table.position("data"), table.position("annotations")
    at = table.columns.index("id") if "id" in table.columns else None
    found = []
    for number, cells in table.rows:
        if not isinstance(cells[data], Mapping) or not isinstance(cells[annotations], list):
            raise table.error(
                number,
                "expected a task of Label Studio with data and a list of annotations, got "
                f"{quoted(cells[data])} and {quoted(cells[annotations])}; export it again",
            )
        made = list(_results(table, number, cells[annotations]))
        found.append((number, ABSENT if at is None else cells[at], cells[data], made))
    names = tuple(
        dict.fromkeys(name for *_, made in found for results, _ in made for name, _ in results)
    )
    if wanted is None and len(names) != 1:
        raise _choose(table, names)
    control = names[0] if wanted is None else wanted
    if control not in names:
        raise DataError(
            f"{table.path}: expected choices called {quoted(control)}, the Label Studio export has "
            f"{shown_names(names) or 'none'}; name others with {option('label_column')}"
        )
    tasks = [
        _Task(
            task, id_, cells, tuple(_Vote(_all_of(results, control), own) for results, own in made)
        )
        for task, id_, cells, made in found
    ]
    return control, tasks


_Results = list[tuple[str, tuple[str, ...]]]  # name of the choices, and what was chosen


def _all_of(results: _Results, control: str) -> tuple[str, ...]:
    chosen = (choice for name, choices in results if name == control for choice in choices)
    return tuple(dict.fromkeys(chosen))


def _results(
    table: Table, number: int, annotations: Iterable[Any]
) -> Iterator[tuple[_Results, bool]]:
    """What each annotation of a task that counts chose, and whether it is the ground truth."""
    for annotation in annotations:
        if not isinstance(annotation, Mapping):
            raise table.error(
                number, f"expected an annotation, got {quoted(annotation)}; export it again as JSON"
            )
        if annotation.get("was_cancelled"):
            continue
        results = []
        for result in annotation.get("result") or ():
            value = result.get("value") if isinstance(result, Mapping) else None
            choices = value.get("choices") if isinstance(value, Mapping) else None
            if isinstance(choices, list):
                name = str(result.get("from_name", "choices"))
                results.append((name, _names(choices)))
        yield results, annotation.get("ground_truth") is True


def _flat_control(table: Table, text: str | None, pair: str | None) -> str:
    """The column of the choices, which nothing but its name tells from columns of the data."""
    columns = table.columns
    text = text or default_text_column(columns)
    pair = pair or (default_pair_column(columns, text) if text else None)
    left = [name for name in columns if name not in {*_ADDED, text, pair}]
    # Older exports have the data before the number of the task, and the choices behind it.
    behind = columns[columns.index("id") + 1 : columns.index("annotator")]
    for names in (left, [name for name in left if name in behind]):
        if "label" in names:
            return "label"
        if len(names) == 1:
            return names[0]
    raise _choose(table, tuple(left))


def _choose(table: Table, names: tuple[str, ...]) -> DataError:
    if not names:
        return DataError(
            f"{table.path}: this Label Studio export has no choices; expected tasks that are "
            "labelled by choices: label some, and export them again"
        )
    return DataError(
        f"{table.path}: this Label Studio export has {shown_names(names)}, and one of them is the "
        f"label; name it with {option('label_column')}"
    )


def _of_annotations(table: Table, control: str) -> list[_Task]:
    """The tasks of JSON-MIN or CSV: rows with the same number are annotations of one."""
    task, chosen = table.position("id"), table.position(control, "label_column")
    first: dict[str, _Task] = {}
    votes: dict[str, list[_Vote]] = {}
    for number, cells in table.rows:
        key = str(cells[task])
        named = zip(table.columns, cells, strict=True)
        data = {name: cell for name, cell in named if name not in {*_ADDED, control}}
        first.setdefault(key, _Task(number, cells[task], data, ()))
        votes.setdefault(key, []).append(_Vote(_chosen(cells[chosen])))
    return [replace(one, votes=tuple(votes[key])) for key, one in first.items()]


def _chosen(cell: Any) -> tuple[str, ...]:
    """The choices of a cell: a name, or where there are several ``{"choices": [...]}``."""
    if isinstance(cell, str) and cell.startswith(("{", "[")):
        try:
            cell = json.loads(cell)
        except (ValueError, RecursionError):
            return (cell.strip(),)
    if isinstance(cell, Mapping):
        cell = cell.get("choices")
    if isinstance(cell, list):
        return _names(cell)
    return () if cell is None or cell is ABSENT else _names([cell])


def _names(choices: Iterable[Any]) -> tuple[str, ...]:
    """Each choice once, without white space around it; an empty one is none."""
    return tuple(dict.fromkeys(name for one in choices if (name := str(one).strip())))
