"""The labelled rows of a run: read, named by a fingerprint, and divided."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from dimec.base.errors import DataError, option
from dimec.base.storage import file_sha256

if TYPE_CHECKING:
    from dimec.data import Dataset, Splits
    from dimec.settings.data import DataSettings
    from dimec.settings.run import RunSettings

_SPLITS = "splits:"


def read_dataset(data: DataSettings) -> Dataset:
    """All labelled rows that some settings name."""
    from dimec.data import load_task

    dataset = load_task(
        data.source,
        data_dir=data.data_dir,
        text_column=data.text_column,
        pair_column=data.pair_column,
        label_column=data.label_column,
        split_column=data.split_column,
        delimiter=data.delimiter,
        encoding=data.encoding,
        header=data.header,
        metric=data.metric,
    )
    return prepared(dataset, data)


def prepared(dataset: Dataset, data: DataSettings) -> Dataset:
    """Rows that were read, as the settings want them."""
    from dimec.data.survey import merge_labels

    return merge_labels(dataset) if data.merge_labels else dataset


def data_fingerprint(dataset: Dataset, data: DataSettings) -> str:
    """What ``data.sha256`` holds, a line each: the data set's; that of the file that chooses among
    its rows; and, where the user says which row is in which split, that of the splits.

    Raises:
        DataError: there is no such file.
    """
    lines = [dataset.fingerprint()]
    if data.train_rows is not None:
        lines.append(selection_sha256(data.train_rows))
    if dataset.predefined is not None and data.own_splits:
        splits = "\n".join(dataset.predefined).encode()
        lines.append(f"{_SPLITS}{hashlib.sha256(splits).hexdigest()}")
    return "\n".join(lines)


def same_rows(recorded: str, now: str) -> bool:
    """Whether two fingerprints are of the same rows; those of old do not tell the splits."""
    old, new = recorded.split(), now.split()
    if not any(line.startswith(_SPLITS) for line in old):
        new = [line for line in new if not line.startswith(_SPLITS)]
    return old == new


def selection_sha256(path: str) -> str:
    """SHA-256 of a file that chooses training rows.

    Raises:
        DataError: it cannot be read.
    """
    if Path(path).exists() and not Path(path).is_file():  # a device has no end
        raise DataError(f"{path} is no regular file; give one with {option('train_rows')}")
    try:
        return file_sha256(Path(path))
    except OSError as error:
        raise DataError(
            f"cannot read the chosen training rows of {path}: {error.strerror}; make them with "
            "dimec map select"
        ) from None


def divide(dataset: Dataset, settings: RunSettings) -> Splits:
    """The splits of a run: seeded, and with only the chosen training rows where a file names them.

    Raises:
        DataError: the rows cannot be divided, or the file names rows that are not for training.
    """
    from dimec.data import split_dataset
    from dimec.data.chosen import keep_training_rows, read_chosen

    data = settings.data
    splits = split_dataset(
        dataset,
        seed=settings.seed,
        predefined=data.predefined_splits,
        max_train_rows=data.max_train_rows,
        max_eval_rows=data.max_eval_rows,
    )
    if data.train_rows is None:
        return splits
    return keep_training_rows(splits, read_chosen(Path(data.train_rows)))
