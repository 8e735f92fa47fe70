"""Labelled texts given in memory."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pytest
from pyarrow import parquet

from dimec.data import Dataset, load_task
from dimec.errors import ConfigError, DataError

TEXTS, LABELS = ["good", "bad", ""], [1, 0, 0]
COLUMNS = {"text": TEXTS, "label": LABELS}


class Stream:
    """A table that knows nothing but Arrow's stream, as that of any library."""

    def __init__(self, table: pyarrow.Table) -> None:
        self._table = table

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self._table.__arrow_c_stream__(requested_schema)


class Split:
    """What is used of a split of ``datasets``: columns by name, and what it knows of classes."""

    class ClassLabel:
        names = ("neg", "pos")

    features: Mapping[str, Any] = {"text": object(), "label": ClassLabel()}
    column_names = ("text", "label")

    def __getitem__(self, column: str) -> list[Any]:
        return list(TEXTS) if column == "text" else list(LABELS)


def rows(dataset: Dataset) -> list[tuple[str, str]]:
    names = [dataset.label_names[code] for code in dataset.labels]
    return list(zip(dataset.texts, names, strict=True))


PLAIN = [("good", "1"), ("bad", "0"), ("", "0")]


@pytest.mark.parametrize(
    "table",
    [
        COLUMNS,
        {"text": tuple(TEXTS), "label": np.array(LABELS), "other": np.array(TEXTS)},
        {"text": pyarrow.array(TEXTS), "label": pyarrow.chunked_array([LABELS[:1], LABELS[1:]])},
        [{"text": text, "label": label} for text, label in zip(TEXTS, LABELS, strict=True)],
        pyarrow.table(COLUMNS),
        Stream(pyarrow.table(COLUMNS)),
        Stream(pyarrow.table({"text": pyarrow.array(TEXTS).dictionary_encode(), "label": LABELS})),
        Stream(
            pyarrow.table({"text": pyarrow.array(TEXTS, pyarrow.large_string()), "label": LABELS})
        ),
        {"text": TEXTS, "label": [1.0, 0.0, 0.0]},
    ],
)
def test_every_form_gives_the_same_rows(table: object) -> None:
    dataset = load_task(table)
    assert rows(dataset) == PLAIN
    assert dataset.guids == ("row-0", "row-1", "row-2")
    assert dataset.predefined is None


def test_a_file_and_the_same_table_have_one_fingerprint(tmp_path: Path) -> None:
    table = pyarrow.table({"text": TEXTS, "label": [True, False, False]})
    parquet.write_table(table, tmp_path / "a.parquet")
    from_file = load_task(tmp_path / "a.parquet").fingerprint()
    assert load_task(table).fingerprint() == from_file == load_task(Stream(table)).fingerprint()


def test_classes_of_datasets_have_their_names() -> None:
    assert rows(load_task(Split())) == [("good", "pos"), ("bad", "neg"), ("", "neg")]
    schema = pyarrow.table(COLUMNS).replace_schema_metadata(
        {"huggingface": '{"info": {"features": {"label": {"names": ["neg", "pos"]}}}}'}
    )
    assert rows(load_task(Stream(schema))) == rows(load_task(Split()))


def test_columns_and_splits_are_chosen_as_in_a_file() -> None:
    table = {
        "review": TEXTS,
        "title": TEXTS,
        "mood": ["x", "y", "y"],
        "part": ["train", "dev", "test"],
    }
    dataset = load_task(
        table,
        text_column="review",
        pair_column="title",
        label_column="mood",
        split_column="part",
        metric="f1",
    )
    assert (dataset.pairs, dataset.label_names) == (tuple(TEXTS), ("x", "y"))
    assert (dataset.predefined, dataset.metric) == (("train", "validation", "test"), "f1")


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"text": TEXTS, "label": [1, 0]}, "column 'label' has 2 values, 'text' has 3"),
        ({"text": "good", "label": [1, 0]}, "the table: text: expected a list of values, got str"),
        ({"text": TEXTS, "label": [1, None, 0]}, "the table, row 2: the label .* is missing"),
        ({"text": [1, 2], "label": [1, 0]}, "the table, row 1: expected a text in column 'text'"),
        ({"review": TEXTS, "label": LABELS}, "no column called text, .*text_column"),
        ([("good", 1), ("bad", 0)], "row 1: expected a mapping such as"),
        (7, "expected a table with __arrow_c_stream__ .*got int"),
        (Stream(pyarrow.chunked_array([TEXTS])), "cannot be read as an Arrow table"),
        ([], "has no rows"),
        ({"text": [], "label": []}, "has no rows"),
        ({"text": TEXTS, "label": [1, 1, 1]}, "one class only"),
        ({"train": COLUMNS}, "expected train and at least one of"),
        ({"dev": COLUMNS, "test": COLUMNS}, "expected train and at least one of"),
        ({"train": COLUMNS, "dev": COLUMNS, "val": COLUMNS}, "expected train and at least one of"),
    ],
)
def test_what_is_wrong_is_said(table: object, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        load_task(table)
    assert len(str(caught.value)) < 300


def test_options_of_files_do_not_go_with_a_table() -> None:
    for options in (
        {"delimiter": ";"},
        {"encoding": "utf-8"},
        {"header": False},
        {"data_dir": "x"},
    ):
        with pytest.raises(ConfigError, match=f"{next(iter(options))}.* does not go with"):
            load_task(COLUMNS, **options)
