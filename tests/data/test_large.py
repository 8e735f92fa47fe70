"""A large file's data set is the one that reading row by row makes."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dimec.base.errors import ConfigError, DataError
from dimec.data import Dataset, large, load_task
from dimec.data.columns import TextColumn

ROWS = [
    ("a, b", "x", "TRUE", "train"),
    ('he said "no"', "", "true", " Dev"),
    ("", "é\u2028", "False", "test"),
    ("two\nlines", "y", " false ", "Training"),
]
NAMES = ("sentence1", "sentence2", "label", "part")


@pytest.fixture(params=["at once", "row by row"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(large, "LARGE", 0 if request.param == "at once" else 1 << 40)
    return str(request.param)


def write_csv(path: Path, rows: Sequence[tuple[str, ...]] = ROWS) -> str:
    with path.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([NAMES, *rows])
    return f"csv:{path}"


def write_jsonl(path: Path) -> str:
    lines = [json.dumps(dict(zip(NAMES, row, strict=True))) for row in ROWS]
    path.write_text("\n".join(lines))
    return f"jsonl:{path}"


def write_parquet(path: Path) -> str:
    table = pa.table(dict(zip(NAMES, map(list, zip(*ROWS, strict=True)), strict=True)))
    pq.write_table(table, path)
    return f"parquet:{path}"


def content(dataset: Dataset) -> dict[str, Any]:
    return {
        "task": dataset.task,
        "texts": list(dataset.texts),
        "pairs": None if dataset.pairs is None else list(dataset.pairs),
        "labels": [dataset.label_names[code] for code in dataset.labels.tolist()],
        "guids": list(dataset.guids),
        "predefined": None if dataset.predefined is None else list(dataset.predefined),
    }


@pytest.mark.parametrize("write", [write_csv, write_jsonl, write_parquet])
def test_one_file(tmp_path: Path, way: str, write: Any) -> None:
    task = write(tmp_path / "rows")
    dataset = load_task(task, split_column="part")
    assert isinstance(dataset.texts, TextColumn) == (way == "at once")
    assert content(dataset) == {
        "task": task,
        "texts": [row[0] for row in ROWS],
        "pairs": [row[1] for row in ROWS],
        "labels": ["true", "true", "false", "false"],
        "guids": ["row-0", "row-1", "row-2", "row-3"],
        "predefined": ["train", "validation", "test", "train"],
    }
    assert dataset.label_names == ("false", "true")
    assert content(load_task(task, text_column="part", label_column="label"))["pairs"] is None


def test_a_file_for_each_split(tmp_path: Path, way: str) -> None:
    first = write_csv(tmp_path / "a.csv", [("a", "", "1.0", ""), ("b", "", "0.0", "")])
    write_csv(tmp_path / "b.csv", [("c", "", "2", "")])
    dataset = load_task({"test": tmp_path / "b.csv", "train": first})
    assert isinstance(dataset.texts, TextColumn) == (way == "at once")
    assert content(dataset) == {
        "task": f"csv:{tmp_path / 'b.csv'} + a.csv",
        "texts": ["a", "b", "c"],
        "pairs": ["", "", ""],
        "labels": ["1", "0", "2"],
        "guids": ["train-0", "train-1", "test-0"],
        "predefined": ["train", "train", "test"],
    }


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        ([("a", "", "", "train")], "the label in column 'label' is empty"),
        ([("a", "", "1", "other")], "expected train, validation"),
        ([("a", "", "1", "train")] * 2, "one class only"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(
    tmp_path: Path, way: str, rows: list[tuple[str, ...]], problem: str
) -> None:
    task = write_csv(tmp_path / "a.csv", rows)
    with pytest.raises(DataError, match=problem) as caught:
        load_task(task, split_column="part")
    assert "line 2" in str(caught.value) or "one class" in problem


@pytest.mark.usefixtures("way")
def test_options_are_checked_and_columns_must_be_there(tmp_path: Path) -> None:
    task = write_jsonl(tmp_path / "a.jsonl")
    with pytest.raises(ConfigError, match="delimiter"):
        load_task(task, delimiter=";")
    with pytest.raises(DataError, match="'review'"):
        load_task(task, text_column="review")
    with pytest.raises(DataError, match="does not exist"):
        load_task(f"csv:{tmp_path / 'missing.csv'}")


def test_columns_in_another_order_are_joined_by_name(tmp_path: Path, way: str) -> None:
    (tmp_path / "a.csv").write_text("text,label\na,x\nb,y\n")
    (tmp_path / "b.csv").write_text("label,text\nx,c\n")
    dataset = load_task({"train": tmp_path / "a.csv", "test": tmp_path / "b.csv"})
    assert list(dataset.texts) == ["a", "b", "c"]
