"""Settings of the labelled text: where it is, how it is written, how it is split."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self

from pydantic import Field, model_validator

from dimec.base.errors import option
from dimec.settings.base import Settings
from dimec.settings.option import Option


class DataSettings(Settings):
    """Where the labelled text comes from, and how it is split.

    ``task``, or ``train`` with ``validation``, ``test`` or both: files of their own, which are
    predefined splits.

    ``train_rows`` chooses among the training rows: the split itself, and validation and test, stay
    as they are without it.

    ``split_column`` means predefined splits, and a file has them in a column only.
    ``predefined_splits`` is set with it, and refused without one.

    ``delimiter``, ``encoding`` and ``header`` say how a file is written where that is not certain;
    see :func:`dimec.data.tables.read_table`.
    """

    panel: ClassVar[str | None] = "Data"

    task: Annotated[
        str | None,
        Option(
            "glue/sst2 (cola, mrpc, qnli, qqp, mnli, rte), vader/movies (tweets, amazon, "
            "nyt), one that dimec plugins lists, or csv:FILE (tsv:, jsonl:, json:, parquet:, "
            "arrow:; exports of Label Studio too), or datasets:FOLDER, the splits that "
            "DatasetDict.save_to_disk wrote."
        ),
    ] = None
    train: Annotated[
        str | None,
        Option(
            "In place of --task: the file of the training rows, with --validation, --test or "
            "both; its ending tells its kind, or csv:FILE does.",
            metavar="FILE",
        ),
    ] = None
    validation: Annotated[
        str | None,
        Option("The validation rows; without it a tenth of those of --train.", metavar="FILE"),
    ] = None
    test: Annotated[
        str | None,
        Option(
            "The test rows; without it --validation is the test split, and a tenth of --train "
            "the validation split.",
            metavar="FILE",
        ),
    ] = None
    data_dir: Annotated[
        str | None,
        Option(
            "Folder of TASK/{train,dev,test}.tsv[.gz] for glue tasks; else DIMEC_DATA, else the "
            "hub.",
            path=True,
        ),
    ] = None
    text_column: Annotated[
        str | None, Option("Column of the text; default: text, sentence or sentence1.")
    ] = None
    pair_column: Annotated[str | None, Option("Column of a second text.")] = None
    label_column: Annotated[str | None, Option("Column of the label; default: label.")] = None
    split_column: Annotated[
        str | None,
        Option(
            "Column that puts each row in train, validation (val, dev, eval) or test; the rows "
            "stay where it puts them."
        ),
    ] = None
    delimiter: Annotated[
        str | None,
        Option(
            "Between the fields of csv: one character, or comma, semicolon, tab, pipe; default: "
            "found where it is certain."
        ),
    ] = None
    encoding: Annotated[
        str | None,
        Option(
            "Of csv, tsv, json and jsonl, such as {example}; default: UTF-8, or what the "
            "file's byte order mark says.",
            example="windows-1252",
        ),
    ] = None
    header: Annotated[
        bool,
        Option(
            "The first line of csv or tsv is a row: its columns are column-1, column-2 …",
            spelling="--no-header",
        ),
    ] = True
    metric: Annotated[str | None, Option("accuracy, matthews or f1.")] = None
    merge_labels: Annotated[
        bool,
        Option("Labels that differ in case or spaces only are one; the most frequent names it."),
    ] = False
    predefined_splits: Annotated[
        bool,
        Option(
            "Keep a glue task's own splits in place of a seeded, stratified 80/10/10; a file "
            "has them by --split-column."
        ),
    ] = False
    max_train_rows: Annotated[
        int | None,
        Field(ge=1),
        Option("Train on a stratified sample; validation and test stay whole."),
    ] = None
    max_eval_rows: Annotated[
        int | None,
        Field(ge=1),
        Option(
            "Validate and test on stratified samples of so many rows each: less memory, and "
            "quicker epochs. Intervals widen."
        ),
    ] = None
    train_rows: Annotated[
        str | None,
        Option(
            "Train on the rows of a JSONL file with their guids only, as dimec map select "
            "writes it; validation and test stay whole.",
            path=True,
        ),
    ] = None

    @property
    def source(self) -> str | dict[str, str]:
        """What :func:`dimec.data.load_task` reads: a task, or split → file."""
        return self._parts if self.task is None else self.task

    @property
    def _parts(self) -> dict[str, str]:
        parts = {"train": self.train, "validation": self.validation, "test": self.test}
        return {split: file for split, file in parts.items() if file is not None}

    @property
    def name(self) -> str:
        """What messages call it."""
        return self.task or " + ".join(self._parts.values())

    @property
    def own_splits(self) -> bool:
        """Whether the user's files say which row is in which split."""
        return bool(self.split_column or self.train or keeps_splits(self.task))

    @model_validator(mode="before")
    @classmethod
    def _a_column_means_splits(cls, values: Any) -> Any:
        if not isinstance(values, Mapping):
            return values
        if values.get("task") is None and values.get("train") is not None:
            if values.get("predefined_splits", True) is not True:
                raise ValueError("files for each split are predefined splits; leave the option out")
            return {**values, "predefined_splits": True}
        if keeps_splits(values.get("task")):
            if values.get("predefined_splits", True) is not True:
                raise ValueError(
                    f"{values['task']} has predefined splits; leave the option out, or read one of "
                    "its folders as arrow:FOLDER, which is split anew"
                )
            return {**values, "predefined_splits": True}
        if values.get("split_column") is None:
            return values
        if values.get("predefined_splits", True) is not True:
            raise ValueError(
                f"{option('predefined_splits')} = false leaves {option('split_column')} without "
                "effect; leave one of them out (a run that was trained so did not heed its column: "
                "train again)"
            )
        return {**values, "predefined_splits": True}

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        others = {"validation": self.validation, "test": self.test}
        given = [option(split) for split, file in others.items() if file is not None]
        if self.task is not None and (self.train is not None or given):
            raise ValueError(
                f"give either {option('task')} or files for each split, not both (got "
                f"{', '.join([option('train')] * (self.train is not None) + given)} too)"
            )
        if self.task is None and (self.train is None or not given):
            raise ValueError(
                f"expected {option('task')}, or {option('train')} with {option('validation')} or "
                f"{option('test')} or both; say what to train on"
            )
        if (self.task is None or keeps_splits(self.task)) and self.split_column is not None:
            what = "files for each split" if self.task is None else self.task
            raise ValueError(f"{option('split_column')} does not go with {what}; leave it out")
        return self

    @model_validator(mode="after")
    def _splits_of_a_file_are_in_a_column(self) -> Self:
        if names_file(self.task) and self.predefined_splits and not self.own_splits:
            raise ValueError(
                f"{option('predefined_splits')} needs the column of a file that says which row is "
                f"in which split; name it with {option('split_column')}, or leave the option out"
            )
        return self


def names_file(task: str | None) -> bool:
    """Whether a task is a file: ``csv:reviews.csv`` or ``reviews.csv``.

    The tasks with names have neither a colon nor an ending.
    """
    return task is not None and (":" in task or Path(task).suffix != "")


def keeps_splits(task: object) -> bool:
    """Whether a task is a folder of splits: ``datasets:FOLDER``."""
    return isinstance(task, str) and task.startswith("datasets:")


def absolute_data(data: DataSettings) -> DataSettings:
    """The same settings with paths that hold from any working directory."""
    from dimec.base.storage import expanded  # not for nothing: it imports numpy

    update: dict[str, str] = {}
    for key in ("task", "train", "validation", "test"):
        if names_file(given := getattr(data, key)):
            kind, colon, rest = given.partition(":")
            path = expanded(rest if colon else given).resolve()
            update[key] = f"{kind}:{path}" if colon else str(path)
    from_environment = data.task is not None and data.task.startswith("glue")
    folder = data.data_dir or (os.environ.get("DIMEC_DATA") if from_environment else None)
    if folder:
        update["data_dir"] = str(expanded(folder).resolve())
    if data.train_rows:
        update["train_rows"] = str(expanded(data.train_rows).resolve())
    return data.model_copy(update=update)
