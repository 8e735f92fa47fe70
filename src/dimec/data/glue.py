"""GLUE tasks (Wang et al., 2019), from a folder of files or from the hub.

Files: ``TASK/{train,dev,test}.tsv`` or ``.tsv.gz`` (the plain one when both are there), UTF-8,
tab-separated, a header line, no quoting, columns ``sentence label`` or ``sentence1 sentence2
label``, GLUE's integer labels. Identifiers are ``train-0``, ``dev-0``, ``test-0`` … in file order.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dimec.base.errors import DataError, shown
from dimec.base.storage import expanded
from dimec.data.dataset import Dataset
from dimec.data.tables import Table, read_tsv

DATA_VARIABLE = "DIMEC_DATA"
HUB_NAME = "nyu-mll/glue"
_SPLIT_OF_FILE = {"train": "train", "dev": "validation", "test": "test"}
_ENTAILMENT = ("entailment", "not_entailment")


@dataclass(frozen=True)
class GlueTask:
    """What is particular to one task.

    Attributes:
        label_names: the label with code 0, 1, …
        metric: GLUE's score for the task.
        train_rows: rows of GLUE's full training split.
        hub_columns: the text columns on the hub, one or two.
    """

    label_names: tuple[str, ...]
    metric: str
    train_rows: int
    hub_columns: tuple[str, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """The text columns of the files."""
        return ("sentence",) if len(self.hub_columns) == 1 else ("sentence1", "sentence2")


TASKS: dict[str, GlueTask] = {
    "sst2": GlueTask(("negative", "positive"), "accuracy", 67_349, ("sentence",)),
    "cola": GlueTask(("unacceptable", "acceptable"), "matthews", 8_551, ("sentence",)),
    "mrpc": GlueTask(("not_equivalent", "equivalent"), "f1", 3_668, ("sentence1", "sentence2")),
    "qnli": GlueTask(_ENTAILMENT, "accuracy", 104_743, ("question", "sentence")),
    "qqp": GlueTask(("not_duplicate", "duplicate"), "f1", 363_846, ("question1", "question2")),
    "mnli": GlueTask(
        ("entailment", "neutral", "contradiction"), "accuracy", 392_702, ("premise", "hypothesis")
    ),
    "rte": GlueTask(_ENTAILMENT, "accuracy", 2_490, ("sentence1", "sentence2")),
}


def load_glue(name: str, data_dir: Path | str | None = None) -> Dataset:
    """The union of a task's labelled rows: training, then dev, then test where it has labels.

    Args:
        name: a key of :data:`TASKS`.
        data_dir: the folder that holds the tasks' folders; default: the environment variable
            ``DIMEC_DATA``, and where that is not set the hub, through ``datasets``.

    Raises:
        DataError: no source is configured, a file is missing or wrong (with its line), or the hub
            cannot be reached.
    """
    folder = data_dir or os.environ.get(DATA_VARIABLE)
    if folder:
        return read_glue_folder(name, expanded(folder))
    return _load_from_hub(name)


def read_glue_folder(name: str, data_dir: Path) -> Dataset:
    """Read ``data_dir/NAME/{train,dev,test}.tsv[.gz]``; dev and test may be missing."""
    rows = _Rows(name)
    for split in _SPLIT_OF_FILE:
        path = _find(data_dir / name / f"{split}.tsv")
        if path is None:
            if split == "train":
                raise DataError(
                    f"{data_dir / name}: expected train.tsv or train.tsv.gz, found neither; "
                    "check --data-dir, or where DIMEC_DATA points"
                )
            continue
        table = read_tsv(path)
        if split == "test" and not _has_labels(table):
            continue
        rows.add_table(split, table)
    return rows.dataset()


def read_hub_splits(name: str, splits: Mapping[str, Mapping[str, Any]]) -> Dataset:
    """Make a dataset of the hub's splits: split name → column name → values.

    Test rows are left out when they have no labels (-1). MNLI's dev is the matched one.
    """
    rows = _Rows(name)
    matched = "_matched" if name == "mnli" else ""
    for split, hub_name in (
        ("train", "train"),
        ("dev", f"validation{matched}"),
        ("test", f"test{matched}"),
    ):
        columns = splits[hub_name]
        labels = [str(label) for label in columns["label"]]
        if split == "test" and set(labels) <= {"-1"}:
            continue
        texts = [tuple(columns[column]) for column in TASKS[name].hub_columns]
        cells = list(enumerate(zip(*texts, labels, strict=True), start=1))
        source = Path(f"{HUB_NAME} {name} {hub_name}")
        rows.add_table(split, Table(source, (*TASKS[name].columns, "label"), cells, unit="row"))
    return rows.dataset()


class _Rows:
    """Collects the rows of a task file by file."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.task = TASKS[name]
        self.texts: list[tuple[str, ...]] = []
        self.labels: list[int] = []
        self.guids: list[str] = []
        self.predefined: list[str] = []

    def add_table(self, split: str, table: Table) -> None:
        columns = [table.position(column) for column in self.task.columns]
        label_column = table.position("label")
        codes = {str(code): code for code in range(len(self.task.label_names))}
        for row, (number, cells) in enumerate(table.rows):
            label = cells[label_column].strip()
            if label not in codes:
                names = ", ".join(f"{c} {n}" for c, n in enumerate(self.task.label_names))
                raise table.error(
                    number,
                    f"unknown label {label!r}, expected one of: {names}; correct or remove the row",
                )
            self.texts.append(tuple(cells[column] for column in columns))
            self.labels.append(codes[label])
            self.guids.append(f"{split}-{row}")
            self.predefined.append(_SPLIT_OF_FILE[split])

    def dataset(self) -> Dataset:
        return Dataset(
            task=f"glue/{self.name}",
            texts=tuple(row[0] for row in self.texts),
            pairs=tuple(row[1] for row in self.texts) if len(self.task.columns) == 2 else None,
            labels=np.array(self.labels, dtype=np.int64),
            label_names=self.task.label_names,
            guids=tuple(self.guids),
            metric=self.task.metric,
            predefined=tuple(self.predefined),
            source_rows=self._sample_note(),
        )

    def _sample_note(self) -> str:
        rows = self.predefined.count("train")
        if rows >= self.task.train_rows:
            return ""
        return f"a sample: {rows:,} of GLUE's {self.task.train_rows:,} training rows"


def _find(path: Path) -> Path | None:
    compressed = path.with_name(path.name + ".gz")
    return next((candidate for candidate in (path, compressed) if candidate.is_file()), None)


def _has_labels(table: Table) -> bool:
    """False for a file without a label column, or where every label is -1."""
    if "label" not in table.columns:
        return False
    position = table.position("label")
    return any(cells[position].strip() != "-1" for _, cells in table.rows)


def _load_from_hub(name: str) -> Dataset:
    folder = f"a folder with {name}/train.tsv[.gz] by --data-dir or {DATA_VARIABLE}"
    try:
        datasets = importlib.import_module("datasets")
    except ImportError:
        raise DataError(
            f"no source for glue/{name}: give {folder}, or install the package 'datasets' to "
            f"fetch {HUB_NAME} from the hub"
        ) from None
    try:
        splits = datasets.load_dataset(HUB_NAME, name)
    except Exception as error:  # the hub's client raises errors of a dozen libraries
        reason = shown(" ".join(str(error).split()), 200)
        raise DataError(
            f"cannot fetch {HUB_NAME} {name} from the hub ({type(error).__name__}: {reason}); "
            f"check the network, or give {folder}"
        ) from error
    return read_hub_splits(name, {split: rows.to_dict() for split, rows in splits.items()})
