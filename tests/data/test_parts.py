"""Training, validation and test rows in files or tables of their own."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow
import pytest

from dimec.base.errors import ConfigError, DataError
from dimec.data import load_task, split_dataset
from support.tiny import write_reviews

TRAIN = [("a", "1.0"), ("b", "0.0"), ("c", "1.0"), ("d", "0.0")]


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    """A CSV, a JSON lines file with its columns in another order, and a TSV."""
    train = write_reviews(tmp_path / "train.csv", TRAIN)
    dev = tmp_path / "dev.jsonl"
    dev.write_text(json.dumps({"label": 1, "id": 7, "text": "e"}) + '\n{"label": 0, "text": "f"}\n')
    test = tmp_path / "test.txt"
    test.write_text("text\tlabel\ng\t0\n")
    return {"train": str(train), "dev": f"jsonl:{dev}", "test": f"tsv:{test}"}


def test_one_rule_of_labels_holds_for_all(files: dict[str, str]) -> None:
    dataset = load_task(files)
    assert dataset.texts == tuple("abcdefg")
    assert dataset.label_names == ("0", "1")
    assert dataset.labels.tolist() == [1, 0, 1, 0, 1, 0, 0]
    splits = split_dataset(dataset, predefined=True)
    assert splits.train.guids == ("train-0", "train-1", "train-2", "train-3")
    assert splits.validation.guids == ("validation-0", "validation-1")
    assert (splits.test.texts, splits.test.guids) == (("g",), ("test-0",))
    assert dataset.task == f"csv:{files['train']} + dev.jsonl + test.txt"


def test_without_a_test_file_the_other_is_the_test_split(files: dict[str, str]) -> None:
    splits = split_dataset(
        load_task({key: files[key] for key in ("train", "dev")}), predefined=True
    )
    assert splits.test.texts == ("e", "f")
    assert sorted([*splits.train.texts, *splits.validation.texts]) == list("abcd")


def test_a_fault_is_found_in_its_own_file(files: dict[str, str], tmp_path: Path) -> None:
    dev = Path(files["dev"].removeprefix("jsonl:"))
    dev.write_text('{"text": "e", "label": 1}\n{"text": "f", "label": null}\n')
    with pytest.raises(DataError, match=rf"^{dev}, line 2: the label"):
        load_task(files)
    dev.write_text('{"text": "e", "stars": 1}\n')
    with pytest.raises(DataError, match=rf"^{dev}: expected a column 'label'"):
        load_task(files)
    with pytest.raises(DataError, match=r"none\.csv does not exist"):
        load_task({**files, "test": tmp_path / "none.csv"})
    with pytest.raises(ConfigError, match=r"the test table: expected a file such as"):
        load_task({**files, "test": "vader/movies"})


def test_a_class_that_training_lacks_is_refused(files: dict[str, str], tmp_path: Path) -> None:
    other = write_reviews(tmp_path / "other.csv", [("x", "2")])
    with pytest.raises(DataError, match="the test split has the label '2'"):
        split_dataset(load_task({**files, "test": other}), predefined=True)


def test_splits_in_memory() -> None:
    train = pyarrow.table({"text": ["a", "b"], "label": ["x", "y"]})
    dataset = load_task({"training": train, "Validation": {"text": ["c"], "label": ["x"]}})
    assert dataset.predefined == ("train", "train", "validation")
    with pytest.raises(DataError, match=r"^the validation table, row 2: expected a text"):
        load_task({"train": train, "dev": {"text": ["c", 7], "label": ["x", "y"]}})
    with pytest.raises(ConfigError, match="split_column does not go with"):
        load_task({"train": train, "test": train}, split_column="part")
