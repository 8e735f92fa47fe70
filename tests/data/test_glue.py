from __future__ import annotations

import gzip
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from dimec.base.errors import DataError
from dimec.data import load_task, split_dataset
from dimec.data.glue import TASKS, read_hub_splits

SST2 = "sentence\tlabel\n"
MRPC = "sentence1\tsentence2\tlabel\n"


@pytest.fixture(autouse=True)
def no_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DIMEC_DATA", raising=False)


def write(folder: Path, task: str, **files: str) -> Path:
    (folder / task).mkdir()
    for split, content in files.items():
        (folder / task / f"{split}.tsv").write_text(content, "utf-8")
    return folder


def test_labelled_files_are_united(tmp_path: Path) -> None:
    write(
        tmp_path,
        "mrpc",
        train=MRPC + 'He said "no.\tHe said no.\t1\n\tempty first\t0\n',
        dev=MRPC + "a\tb\t0\n",
        test=MRPC + "c\td\t1\n",
    )
    dataset = load_task("glue/mrpc", data_dir=tmp_path)
    assert dataset.texts == ('He said "no.', "", "a", "c")
    assert dataset.pairs == ("He said no.", "empty first", "b", "d")
    assert dataset.labels.tolist() == [1, 0, 0, 1]
    assert dataset.guids == ("train-0", "train-1", "dev-0", "test-0")
    assert dataset.predefined == ("train", "train", "validation", "test")
    assert (dataset.task, dataset.metric) == ("glue/mrpc", "f1")
    assert dataset.source_rows == "a sample: 2 of GLUE's 3,668 training rows"


@pytest.mark.parametrize(
    "test", ["sentence\nc\n", SST2 + "c\t-1\nd\t-1\n", "index\tsentence\n0\tc\n"]
)
def test_a_test_file_without_labels_is_left_out(tmp_path: Path, test: str) -> None:
    write(tmp_path, "sst2", train=SST2 + "a\t0\nb\t1\n", dev=SST2 + "c\t1\n", test=test)
    assert load_task("glue/sst2", data_dir=tmp_path).guids == ("train-0", "train-1", "dev-0")


def test_compressed_files_by_environment_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cola").mkdir()
    content = (SST2 + "Fine.\t1\nNot fine\t0\n").encode()
    (tmp_path / "cola" / "train.tsv.gz").write_bytes(gzip.compress(content))
    monkeypatch.setenv("DIMEC_DATA", str(tmp_path))
    dataset = load_task("glue/cola")
    assert dataset.label_names == ("unacceptable", "acceptable")
    assert dataset.labels.tolist() == [1, 0]
    assert dataset.metric == "matthews"


def test_data_dir_goes_before_the_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, "rte", train=MRPC + "a\tb\t0\nc\td\t1\n")
    monkeypatch.setenv("DIMEC_DATA", str(tmp_path / "elsewhere"))
    assert len(load_task("glue/rte", data_dir=str(tmp_path))) == 2


def test_a_full_training_file_is_no_sample(tmp_path: Path) -> None:
    rows = "".join(f"a\tb\t{row % 2}\n" for row in range(TASKS["rte"].train_rows))
    write(tmp_path, "rte", train=MRPC + rows)
    assert load_task("glue/rte", data_dir=tmp_path).source_rows == ""


def test_predefined_without_labelled_test_scores_on_dev(tmp_path: Path) -> None:
    rows = "".join(f"text {row}\t{row % 2}\n" for row in range(40))
    write(tmp_path, "sst2", train=SST2 + rows, dev=SST2 + "x\t0\ny\t1\n")
    splits = split_dataset(load_task("glue/sst2", data_dir=tmp_path), predefined=True)
    assert splits.test.guids == ("dev-0", "dev-1")
    assert splits.validation.labels.tolist().count(1) == 2
    assert (len(splits.train), len(splits.validation)) == (36, 4)


@pytest.mark.parametrize(
    ("dev", "message"),
    [
        (SST2 + "a\t1\nb\t2\n", r"dev\.tsv, line 3: unknown label '2', .*0 negative, 1 positive"),
        (SST2 + "a\t-1\n", "line 2: unknown label '-1'"),
        (SST2 + "a\t\n", "line 2: unknown label ''"),
        (SST2 + "a\n", r"dev\.tsv, line 2: expected 2 .*, got 1"),
        ("text\tlabel\na\t1\n", r"dev\.tsv: expected a column 'sentence', .* 'text', 'label'"),
        ("sentence\na\n", "expected a column 'label'"),
        ("", r"dev\.tsv is empty"),
    ],
)
def test_files_that_are_wrong(tmp_path: Path, dev: str, message: str) -> None:
    write(tmp_path, "sst2", train=SST2 + "a\t0\nb\t1\n", dev=dev)
    with pytest.raises(DataError, match=message):
        load_task("glue/sst2", data_dir=tmp_path)


def test_a_missing_training_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"sst2: expected train\.tsv or .*--data-dir.*DIMEC_DATA"):
        load_task("glue/sst2", data_dir=tmp_path)


def test_one_class_only(tmp_path: Path) -> None:
    write(tmp_path, "sst2", train=SST2 + "a\t1\nb\t1\n")
    with pytest.raises(DataError, match=r"one class only .'positive' in all 2 rows"):
        load_task("glue/sst2", data_dir=tmp_path)


def hub(labels: dict[str, list[int]], *columns: str) -> dict[str, dict[str, Any]]:
    return {
        split: {c: [f"{c} {row}" for row in range(len(codes))] for c in columns} | {"label": codes}
        for split, codes in labels.items()
    }


def test_hub_splits_of_mnli() -> None:
    labels = {
        "train": [0, 1, 2],
        "validation_matched": [2, 1],
        "validation_mismatched": [0],
        "test_matched": [-1, -1],
        "test_mismatched": [-1],
    }
    dataset = read_hub_splits("mnli", hub(labels, "premise", "hypothesis"))
    assert dataset.texts[:3] == ("premise 0", "premise 1", "premise 2")
    assert dataset.pairs is not None
    assert dataset.pairs[3:] == ("hypothesis 0", "hypothesis 1")
    assert dataset.labels.tolist() == [0, 1, 2, 2, 1]
    assert dataset.guids == ("train-0", "train-1", "train-2", "dev-0", "dev-1")


def test_the_hub_is_asked_where_no_folder_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def load_dataset(*names: str) -> dict[str, Any]:
        asked.append(names)
        labels = {"train": [0, 1], "validation": [1], "test": [1]}
        splits = hub(labels, "question1", "question2")
        return {split: SimpleNamespace(to_dict=columns.copy) for split, columns in splits.items()}

    monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace(load_dataset=load_dataset))
    dataset = load_task("glue/qqp")
    assert asked == [("nyu-mll/glue", "qqp")]
    assert dataset.guids == ("train-0", "train-1", "dev-0", "test-0")


def test_hub_label_that_is_unknown() -> None:
    labels = {"train": [0, 5], "validation": [1], "test": [-1]}
    with pytest.raises(DataError, match=r"nyu-mll/glue sst2 train, row 2: unknown label '5'"):
        read_hub_splits("sst2", hub(labels, "sentence"))


def test_no_folder_and_no_datasets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(DataError, match=r"--data-dir or DIMEC_DATA, or install .*'datasets'"):
        load_task("glue/sst2")


def test_hub_out_of_reach(monkeypatch: pytest.MonkeyPatch) -> None:
    def load_dataset(*names: str) -> None:
        raise ConnectionError("no\nroute")

    monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace(load_dataset=load_dataset))
    with pytest.raises(DataError, match=r"ConnectionError: no route.*DIMEC_DATA"):
        load_task("glue/sst2")
