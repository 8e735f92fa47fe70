"""From a task's name to its rows: :func:`load_task`."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from dimec.data import files, glue, vader
from dimec.data.dataset import Dataset
from dimec.data.sources import kind_of, shown
from dimec.data.tables import KINDS
from dimec.errors import ConfigError, DataError, option
from dimec.metrics import METRICS
from dimec.storage import expanded

TASK_NAMES = (
    *(f"glue/{name}" for name in glue.TASKS),
    *(f"vader/{name}" for name in vader.STEMS),
)


def load_task(
    task: str,
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
            tweets, amazon, nyt), or a file: ``csv:PATH``, ``tsv:PATH``, ``jsonl:PATH``,
            ``json:PATH``, ``parquet:PATH``.
        data_dir: for ``glue/``: the folder with the tasks' folders; default ``DIMEC_DATA``.
        text_column: for files, as the next six; see :func:`dimec.data.files.load_file`.
        pair_column: the second text of a pair.
        label_column: the label.
        split_column: predefined splits.
        delimiter: of CSV.
        encoding: of CSV, TSV and JSON.
        header: False for a CSV or TSV file without a header line.
        metric: ``accuracy``, ``matthews`` or ``f1`` instead of the task's own.

    Raises:
        ConfigError: no such task or metric, or an option that the task does not have.
        DataError: the source is missing or wrong, or its rows have one label only.
        MissingExtraError: the kind of file needs a package that is not installed.
        StorageError: the cache of fetched data cannot be written.
    """
    if metric is not None and metric not in METRICS:
        raise ConfigError(f"metric is {metric!r}; use one of {', '.join(METRICS)}")
    kind, colon, path = task.partition(":")
    columns: dict[str, str | None] = {
        "text_column": text_column,
        "pair_column": pair_column,
        "label_column": label_column,
        "split_column": split_column,
    }
    if colon and kind in KINDS:
        _refuse(task, {"data_dir": data_dir}, "it names its file itself")
        dataset = files.load_file(
            kind,
            expanded(path),
            text_column=text_column,
            pair_column=pair_column,
            label_column=label_column,
            split_column=split_column,
            delimiter=delimiter,
            encoding=encoding,
            header=header,
        )
    elif task in TASK_NAMES:
        _refuse(task, columns, "columns are chosen for files only")
        form = {"delimiter": delimiter, "encoding": encoding, "header": None if header else False}
        _refuse(task, form, "it is of files only")
        family, _, name = task.partition("/")
        if family == "glue":
            dataset = glue.load_glue(name, data_dir)
        else:
            _refuse(task, {"data_dir": data_dir}, "it is fetched and cached by itself")
            dataset = vader.load_vader(name)
    else:
        raise ConfigError(_unknown(task))
    _check_labels(dataset)
    return dataset if metric is None else replace(dataset, metric=metric)


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
        guess = difflib.get_close_matches(task, TASK_NAMES, n=1)
    hint = f"did you mean {shown(guess[0], 80)}? " if guess else ""
    return (
        f"unknown task {shown(task, 60)}; {hint}tasks are {', '.join(TASK_NAMES)}, and files as "
        f"{', '.join(f'{kind}:PATH' for kind in KINDS)}"
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
