"""From a task's name to its rows: :func:`load_task`."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from dimec.base.errors import ConfigError, DataError, option, quoted, shown
from dimec.base.metrics import METRICS
from dimec.base.plugins import Plugin, loaded, named, names
from dimec.base.storage import expanded
from dimec.data import files, glue, vader
from dimec.data.arrow import SAVED, splits_saved
from dimec.data.dataset import SPLITS, Dataset
from dimec.data.frames import is_table, table_of
from dimec.data.label_studio import is_export, labelled_rows
from dimec.data.labels import split_called
from dimec.data.large import large_dataset
from dimec.data.parts import labelled_parts
from dimec.data.sources import kind_of, shown_names
from dimec.data.tables import KINDS, Table, read_table

TASK_NAMES = (
    *(f"glue/{name}" for name in glue.TASKS),
    *(f"vader/{name}" for name in vader.STEMS),
)
_NO_COLUMNS = dict.fromkeys(("text_column", "pair_column", "label_column", "split_column"))


def load_task(
    task: Any,
    *,
    data_dir: Path | str | None = None,
    text_column: str | None = None,
    pair_column: str | None = None,
    label_column: str | None = None,
    split_column: str | None = None,
    delimiter: str | None = None,
    encoding: str | None = None,
    header: bool = True,
    metric: str | None = None,
) -> Dataset:
    """Read all labelled rows of a task.

    Args:
        task: ``glue/NAME`` (sst2, cola, mrpc, qnli, qqp, mnli, rte), ``vader/NAME`` (movies,
            tweets, amazon, nyt), one of another package (entry point of the group
            ``dimec.tasks``), or a file: ``csv:PATH``, ``tsv:PATH``, ``jsonl:PATH``, ``json:PATH``,
            ``parquet:PATH``, ``arrow:PATH``, or its path alone where the ending tells the kind;
            exports of Label Studio are known by their columns. ``datasets:PATH``, a folder of
            splits that ``DatasetDict.save_to_disk`` wrote. A table in memory
            (:func:`dimec.data.frames.table_of`). Or a mapping of splits (train, validation, test)
            to files or tables, with at least training and one other.
        data_dir: for ``glue/``: the folder with the tasks' folders; default ``DIMEC_DATA``.
        text_column: for files and tables, as the next three; see
            :func:`dimec.data.files.labelled`.
        pair_column: the second text of a pair.
        label_column: the label.
        split_column: predefined splits.
        delimiter: of CSV; as the next two, see :func:`dimec.data.tables.read_table`.
        encoding: of CSV, TSV and JSON.
        header: False for a CSV or TSV file without a header line.
        metric: ``accuracy``, ``matthews`` or ``f1`` instead of the task's own.

    Raises:
        ConfigError: no such task or metric, or an option that the task does not have.
        DataError: the source is missing or wrong, or its rows have one label only.
        MissingExtraError: the kind of file or table needs a package that is not installed.
        StorageError: the cache of fetched data cannot be written.
    """
    if metric is not None and metric not in METRICS:
        raise ConfigError(f"{option('metric')} is {metric!r}; use one of {', '.join(METRICS)}")
    columns: dict[str, str | None] = {
        "text_column": text_column,
        "pair_column": pair_column,
        "label_column": label_column,
        "split_column": split_column,
    }
    form = {"delimiter": delimiter, "encoding": encoding, "header": None if header else False}
    if isinstance(task, str) and task in TASK_NAMES:
        _refuse(task, columns, "columns are chosen for files only")
        _refuse(task, form, "it is of files only")
        dataset = _named_task(task, data_dir)
    elif isinstance(task, str) and (plugin := plugged_task(task)) is not None:
        _refuse(task, columns, "columns are chosen for files only")
        _refuse(task, form, "it is of files only")
        _refuse(task, {"data_dir": data_dir}, "it is of glue tasks only")
        dataset = _of_package(plugin)
    else:
        name = task if isinstance(task, str) else "a table"
        if isinstance(task, str) and saved_folder(task) is None and file_of(task) is None:
            raise ConfigError(_unknown(task))
        _refuse(name, {"data_dir": data_dir}, "it is of glue tasks only")
        dataset = _rows_of(task, columns, form)
    _check_labels(dataset)
    return dataset if metric is None else replace(dataset, metric=metric)


def file_of(task: str) -> tuple[str, Path] | None:
    """Kind and path of the file that a task names; None where it names none."""
    kind, colon, path = task.partition(":")
    if colon and kind in KINDS:
        return kind, expanded(path)
    # A prefix that is no kind, such as ndjson:, is not a part of a file's name.
    found = None if colon and kind.isalpha() else kind_of(task)
    return None if found is None else (found, expanded(task))


def saved_folder(task: str) -> Path | None:
    """The folder of splits that ``datasets:FOLDER`` names; None for anything else."""
    kind, colon, path = task.partition(":")
    return expanded(path) if colon and kind == SAVED else None


def plugged_task(task: str) -> Plugin | None:
    """The plug-in that brings a task; None for dimec's own, for files, and where there is none.

    Raises:
        ConfigError: two packages claim the name.
    """
    own = task in TASK_NAMES or saved_folder(task) is not None or file_of(task) is not None
    return None if own else named("tasks", task)


def _of_package(plugin: Plugin) -> Dataset:
    """The rows of a task that a package brings.

    Its entry point names a function without arguments, which returns what :func:`load_task` reads
    (a file, a table, splits of such) or a :class:`Dataset`. An error is the package's.

    Raises:
        ConfigError: it cannot be loaded, or is no such function.
        DataError: it fails, or returns something else.
    """
    whose = f"the task {plugin.name!r} of the package {plugin.told}"
    function = loaded(plugin)
    if not callable(function):
        raise ConfigError(f"{whose}: expected a function without arguments at {plugin.value}")
    try:
        found = function()
        rows = found if isinstance(found, Dataset) else _rows_of(found, _NO_COLUMNS, {})
    except Exception as error:
        raise DataError(
            f"{whose} gives no rows: {type(error).__name__}: {shown(str(error), 160)}; expected a "
            "Dataset, a file, a table or splits of them; ask its authors"
        ) from error
    return replace(rows, task=plugin.name)


def _named_task(task: str, data_dir: Path | str | None) -> Dataset:
    family, _, name = task.partition("/")
    if family == "glue":
        return glue.load_glue(name, None if data_dir is None else expanded(data_dir))
    _refuse(task, {"data_dir": data_dir}, "it is fetched and cached by itself")
    return vader.load_vader(name)


def _rows_of(source: Any, columns: Mapping[str, Any], form: Mapping[str, object]) -> Dataset:
    """The rows of a file, of a table in memory, or of splits that are such."""
    splits = _splits_of(source)
    if splits is not None:
        _refuse("splits", {"split_column": columns["split_column"]}, "each table is one")
    if (quick := _large(source, splits, columns, form)) is not None:
        return quick
    if splits is None:
        table, name, left_out = _table(source, "the table", columns, form)
        return replace(files.labelled(table, name, **columns), source_rows=left_out)
    read = {
        split: _table(part, f"the {split} table", columns, form) for split, part in splits.items()
    }
    joined = _joined_name([name for _, name, _ in read.values()])
    task = source if isinstance(source, str) else joined
    dataset = labelled_parts(
        {split: table for split, (table, _, _) in read.items()}, task, **columns
    )
    notes = (f"{split}: {note}" for split, (_, _, note) in read.items() if note)
    return replace(dataset, source_rows="; ".join(notes))


def _joined_name(names: Sequence[str]) -> str:
    first, *others = names
    return " + ".join([first, *(Path(name).name for name in others)])


def _large(
    source: Any,
    splits: Mapping[str, Any] | None,
    columns: Mapping[str, Any],
    form: Mapping[str, object],
) -> Dataset | None:
    """The rows of large files in good order; None for anything else."""
    given = {"": source} if splits is None else splits
    found = {}
    for split, part in given.items():
        file = file_of(str(part)) if isinstance(part, str | Path) else None
        if file is None:
            return None
        found[split] = file
    names = [f"{kind}:{path}" for kind, path in found.values()]
    ordered = {split: found[split] for split in ("", *SPLITS) if split in found}
    options = {key: value for key, value in form.items() if value is not None}
    return large_dataset(ordered, _joined_name(names), columns, options)


def _splits_of(source: Any) -> dict[str, Any] | None:
    """Split → source, of a mapping with names of splits as its keys or a folder; else None."""
    if isinstance(source, str) and (folder := saved_folder(source)) is not None:
        return dict(splits_saved(folder))
    if not isinstance(source, Mapping) or not source:
        return None
    called = {key: split_called(str(key)) for key in source}  # datasets' keys need not be str
    if None in called.values():
        _check_keys(source, called)
        return None
    splits = {str(split): source[key] for key, split in called.items()}
    if len(splits) < len(source) or "train" not in splits or len(splits) < 2:
        raise DataError(
            f"expected train and at least one of validation and test, each once, got "
            f"{', '.join(map(quoted, source))}; name the splits so"
        )
    return splits


def _check_keys(source: Mapping[Any, Any], called: Mapping[Any, str | None]) -> None:
    """Refuse a mapping of tables where some keys are no split; else it is one of columns."""
    tables = all(isinstance(part, str | Path) or is_table(part) for part in source.values())
    if tables and any(called.values()):
        others = tuple(str(key) for key, split in called.items() if split is None)
        raise DataError(
            f"expected tables called train, validation and test, got also "
            f"{shown_names(others, 4)}; leave them out, or rename them"
        )


def _table(
    source: Any, name: str, columns: Mapping[str, Any], form: Mapping[str, object]
) -> tuple[Table, str, str]:
    """The rows of a file or of a table in memory, what they are called, and what is left out."""
    if isinstance(source, str | Path):
        table, name = _read(source, name, form)
    else:
        _refuse(name, form, "it is of files only")
        table = table_of(source, name)
    if not is_export(table.columns):
        return table, name, ""
    asked = {key: columns[key] for key in ("label_column", "text_column", "pair_column")}
    labelled, left_out = labelled_rows(table, **asked)
    return labelled, name, left_out


def _read(source: str | Path, name: str, form: Mapping[str, object]) -> tuple[Table, str]:
    """The rows of a file, and what they are called."""
    if (found := file_of(str(source))) is None:
        raise ConfigError(
            f"{name}: expected a file such as reviews.csv or csv:PATH, got {quoted(str(source))}; "
            f"kinds are {', '.join(KINDS)}"
        )
    kind, path = found
    options: dict[str, Any] = {key: value for key, value in form.items() if value is not None}
    return read_table(path, kind, **options), f"{kind}:{path}"


def _refuse(task: str, options: Mapping[str, object], reason: str) -> None:
    for name, value in options.items():
        if value is not None:
            raise ConfigError(
                f"{option(name)} does not go with the task {task!r}: {reason}; leave it out"
            )


def _unknown(task: str) -> str:
    prefix, colon, path = task.partition(":")
    if (kind := kind_of(task)) is not None:
        # A prefix that is no kind, such as ndjson:, or a file's name alone.
        guess = [f"{kind}:{path if colon and prefix.isalpha() else task}"]
    else:
        guess = difflib.get_close_matches(task, (*TASK_NAMES, *names("tasks")), n=1)
    hint = f"did you mean {quoted(guess[0], 80)}? " if guess else ""
    return (
        f"unknown task {quoted(task, 60)}; {hint}tasks are "
        f"{', '.join((*TASK_NAMES, *names('tasks', TASK_NAMES)))}, and files as "
        f"{', '.join(f'{kind}:PATH' for kind in (*KINDS, SAVED))}; one of another package "
        "needs that package installed"
    )


def _check_labels(dataset: Dataset) -> None:
    if len(dataset) == 0:
        raise DataError(f"{dataset.task} has no rows; expected labelled texts")
    if dataset.labels.min() == dataset.labels.max():
        only = dataset.label_names[int(dataset.labels[0])]
        raise DataError(
            f"{dataset.task} has one class only ({only!r} in all {len(dataset)} rows); a "
            "classifier needs at least two"
        )
