from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest

from dimec.data import load_task, split_dataset
from dimec.errors import DataError, MissingExtraError


def write(path: Path, content: str) -> Path:
    path.write_bytes(content.encode())
    return path


@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl", "parquet"])
def test_every_kind_of_file_gives_the_same_rows(tmp_path: Path, kind: str) -> None:
    rows = [('so "good"', "pos"), ("", "neg"), ("ça, là", "pos")]
    path = tmp_path / f"rows.{kind}"
    if kind == "csv":
        path.write_text('text,label\n"so ""good""",pos\n,neg\n"ça, là",pos\n', "utf-8")
    elif kind == "tsv":
        path.write_text('text\tlabel\nso "good"\tpos\n\tneg\nça, là\tpos\n', "utf-8")
    elif kind == "jsonl":
        path.write_text("".join(json.dumps({"text": a, "label": b}) + "\n" for a, b in rows))
    else:
        columns = {"text": [a for a, _ in rows], "label": [b for _, b in rows]}
        pyarrow.parquet.write_table(pyarrow.table(columns), path)
    dataset = load_task(f"{kind}:{path}")
    assert dataset.texts == ('so "good"', "", "ça, là")
    assert dataset.label_names == ("neg", "pos")
    assert dataset.labels.tolist() == [1, 0, 1]
    assert dataset.guids == ("row-0", "row-1", "row-2")
    assert (dataset.pairs, dataset.predefined, dataset.metric) == (None, None, "accuracy")
    assert dataset.task == f"{kind}:{path}"


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        (["10", "9", "-1"], ("-1", "9", "10")),
        (["10", "9", "b"], ("10", "9", "b")),
        ([" yes ", "no", "yes"], ("no", "yes")),
    ],
)
def test_label_names_are_sorted_integers_by_value(
    tmp_path: Path, labels: list[str], names: tuple[str, ...]
) -> None:
    path = write(tmp_path / "a.tsv", "text\tlabel\n" + "".join(f"t\t{x}\n" for x in labels))
    dataset = load_task(f"tsv:{path}")
    assert dataset.label_names == names
    assert [names[code] for code in dataset.labels] == [label.strip() for label in labels]


def test_integers_in_json_and_parquet_are_labels(tmp_path: Path) -> None:
    lines = "".join(json.dumps({"text": "t", "label": n}) + "\n" for n in (2, 10, 2))
    path = write(tmp_path / "a.jsonl", lines)
    assert load_task(f"jsonl:{path}").label_names == ("2", "10")
    table = pyarrow.table({"text": ["a", "b"], "label": pyarrow.array([3, 1], pyarrow.int8())})
    pyarrow.parquet.write_table(table, tmp_path / "a.parquet")
    assert load_task(f"parquet:{tmp_path / 'a.parquet'}").labels.tolist() == [1, 0]


def test_columns_found_by_default(tmp_path: Path) -> None:
    header = "sentence2\tsentence1\tlabel\n"
    path = write(tmp_path / "pair.tsv", header + "b\ta\t0\nd\tc\t1\n")
    pair = load_task(f"tsv:{path}", metric="f1")
    assert (pair.texts, pair.pairs, pair.metric) == (("a", "c"), ("b", "d"), "f1")
    path = write(tmp_path / "one.tsv", "sentence\tsentence1\tlabel\na\tb\t0\nc\td\t1\n")
    one = load_task(f"tsv:{path}")
    assert (one.texts, one.pairs) == (("a", "c"), None)


def test_columns_by_name_and_predefined_splits(tmp_path: Path) -> None:
    rows = ["q,a,kind,part", "q1,a1,x,train", "q2,a2,y,Train", "q3,a3,x,dev", "q4,a4,y,test"]
    path = write(tmp_path / "a.csv", "\n".join(rows))
    dataset = load_task(
        f"csv:{path}", text_column="q", pair_column="a", label_column="kind", split_column="part"
    )
    assert dataset.pairs == ("a1", "a2", "a3", "a4")
    assert dataset.predefined == ("train", "train", "validation", "test")
    splits = split_dataset(dataset, predefined=True)
    assert [part.texts for part in (splits.train, splits.validation, splits.test)] == [
        ("q1", "q2"),
        ("q3",),
        ("q4",),
    ]


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        ("review,label\na,1\n", {}, "no column called text, .*text_column.* 'review', 'label'"),
        ("text,stars\na,1\n", {}, "expected a column 'label', the file has 'text', 'stars'"),
        ("text,label\na,1\n", {"pair_column": "b"}, "expected a column 'b'"),
        ("text,label\na,1\n", {"split_column": "s"}, "expected a column 's'"),
        ("text,label\na,1\nb,\n", {}, "line 3: the label in column 'label' is empty"),
        ("text,label\na,1\nb, \n", {}, "line 3: the label in column 'label' is empty"),
        ("text,label\na,1\nb,1\n", {}, "one class only .'1' in all 2 rows"),
        ("text,label\n", {}, "has no rows"),
        (
            "text,label,s\na,1,train\nb,0,eval\n",
            {"split_column": "s"},
            "line 3: expected train, .* in column 's', got 'eval'",
        ),
    ],
)
def test_csv_files_that_are_wrong(
    tmp_path: Path, content: str, options: dict[str, Any], message: str
) -> None:
    path = write(tmp_path / "a.csv", content)
    with pytest.raises(DataError, match=message) as caught:
        load_task(f"csv:{path}", **options)
    assert "a.csv" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ('{"text": 5, "label": "a"}', "line 2: expected a text in column 'text', got 5"),
        ('{"label": "a"}', "line 2: expected a text in column 'text', got nothing"),
        ('{"text": null, "label": "a"}', "line 2: expected a text .* got nothing; an empty text"),
        ('{"text": "\\ud800", "label": "a"}', "line 2: .* surrogate"),
        ('{"text": "t", "label": "\\ud800"}', "line 2: .* not valid text"),
        ('{"text": "t", "label": 0.5}', "line 2: expected a string or an integer .* got 0.5"),
        ('{"text": "t", "label": true}', "line 2: expected a string or an integer .* got True"),
        ('{"text": "t"}', "line 2: expected a string or an integer .* got nothing"),
    ],
)
def test_json_values_that_are_wrong(tmp_path: Path, row: str, message: str) -> None:
    path = write(tmp_path / "a.jsonl", '{"text": "t", "label": "b"}\n' + row)
    with pytest.raises(DataError, match=message):
        load_task(f"jsonl:{path}")


def test_parquet_rows_are_counted_as_rows(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pyarrow.parquet.write_table(pyarrow.table({"text": ["a", None], "label": ["x", "y"]}), path)
    with pytest.raises(DataError, match=r"a\.parquet, row 2: expected a text"):
        load_task(f"parquet:{path}")


def test_parquet_without_pyarrow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtraError, match=r"reading Parquet files .*'dimec\[train\]'"):
        load_task(f"parquet:{tmp_path / 'a.parquet'}")
