from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest

from dimec.base.errors import DataError, MissingExtraError
from dimec.data import load_task, split_dataset


def write(path: Path, content: str) -> Path:
    path.write_bytes(content.encode())
    return path


@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl", "json", "parquet"])
def test_every_kind_of_file_gives_the_same_rows(tmp_path: Path, kind: str) -> None:
    rows = [('so "good"', "pos"), ("", "neg"), ("ça, là", "pos")]
    path = tmp_path / f"rows.{kind}"
    if kind == "csv":
        path.write_text('text,label\n"so ""good""",pos\n,neg\n"ça, là",pos\n', "utf-8")
    elif kind == "tsv":
        path.write_text('text\tlabel\nso "good"\tpos\n\tneg\nça, là\tpos\n', "utf-8")
    elif kind == "jsonl":
        path.write_text("".join(json.dumps({"text": a, "label": b}) + "\n" for a, b in rows))
    elif kind == "json":
        path.write_text(json.dumps([{"text": a, "label": b} for a, b in rows], indent=1))
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


def written(path: Path, values: list[Any]) -> str:
    """A file of that ending with the values as labels, as Python's own libraries write them."""
    kind = path.suffix[1:]
    if kind == "csv":
        write(path, "text,label\n" + "".join(f"t,{value}\n" for value in values))
    elif kind == "parquet":
        table = pyarrow.table({"text": ["t"] * len(values), "label": values})
        pyarrow.parquet.write_table(table, path)
    else:
        rows = [{"text": "t", "label": value} for value in values]
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        write(path, json.dumps(rows) if kind == "json" else lines)
    return f"{kind}:{path}"


@pytest.mark.parametrize("kind", ["csv", "jsonl", "json", "parquet"])
@pytest.mark.parametrize(
    ("values", "names"),
    [
        ([True, False, True], ("false", "true")),
        ([1.0, 0.0, 1.0], ("0", "1")),
        ([10.0, 9.0, -0.0], ("0", "9", "10")),
        ([0.5, 1.0, 0.5], ("0.5", "1.0")),
        ([3, -1, 3], ("-1", "3")),
        (["b", "a", " b "], ("a", "b")),
        (["TRUE", "False", "true"], ("false", "true")),
        (["True", "Maybe", "False"], ("False", "Maybe", "True")),
        (["01", "1", "01"], ("01", "1")),
        (["1.10", "1.0", "1.1"], ("1.0", "1.1", "1.10")),
    ],
)
def test_the_same_values_have_the_same_names_in_every_format(
    tmp_path: Path, kind: str, values: list[Any], names: tuple[str, ...]
) -> None:
    assert load_task(written(tmp_path / f"a.{kind}", values)).label_names == names


def with_classes(path: Path, codes: list[int | None], metadata: object) -> str:
    table = pyarrow.table({"text": ["t"] * len(codes), "mood": pyarrow.array(codes)})
    value = metadata if isinstance(metadata, bytes) else json.dumps(metadata).encode()
    pyarrow.parquet.write_table(table.replace_schema_metadata({b"huggingface": value}), path)
    return f"parquet:{path}"


def test_class_names_in_a_parquet_files_metadata_are_the_labels(tmp_path: Path) -> None:
    classes = {"names": ["neutral", "bad", "good"], "_type": "ClassLabel"}
    features = {"text": {"dtype": "string", "_type": "Value"}, "mood": classes}
    task = with_classes(tmp_path / "a.parquet", [1, 2, 0, 2], {"info": {"features": features}})
    dataset = load_task(task, label_column="mood")
    assert dataset.label_names == ("bad", "good", "neutral")
    assert dataset.labels.tolist() == [0, 1, 2, 1]


def test_a_class_code_of_minus_one_is_no_label(tmp_path: Path) -> None:
    features = {"mood": {"names": ["bad", "good"], "_type": "ClassLabel"}}
    task = with_classes(tmp_path / "a.parquet", [1, 0, -1], {"info": {"features": features}})
    with pytest.raises(DataError, match="row 3: the label in column 'mood' is missing; give"):
        load_task(task, label_column="mood")


@pytest.mark.parametrize(
    "metadata",
    [b"{", b"\xff", [], {"info": None}, {"info": {"features": {"mood": {"names": "ab"}}}}]
    + [{"info": {"features": {"mood": value}}} for value in (None, 1, {"names": [1, 2]})],
)
def test_metadata_that_name_no_classes_change_nothing(tmp_path: Path, metadata: object) -> None:
    task = with_classes(tmp_path / "a.parquet", [1, 0], metadata)
    assert load_task(task, label_column="mood").label_names == ("0", "1")


def test_a_file_without_a_header_needs_its_columns_named(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "good,1\nbad,0\n")
    with pytest.raises(DataError, match=r"no column called text, .* text_column: .*'column-1'"):
        load_task(f"csv:{path}", header=False)
    dataset = load_task(
        f"csv:{path}", header=False, text_column="column-1", label_column="column-2"
    )
    assert (dataset.texts, dataset.labels.tolist()) == (("good", "bad"), [1, 0])
    with pytest.raises(DataError, match=r"'good', '1'; where .* row .*header=False"):
        load_task(f"csv:{path}")


@pytest.mark.parametrize("width", [2, 400])
def test_messages_stay_short_however_long_a_name_is(tmp_path: Path, width: int) -> None:
    huge = ",".join(f'"{"very long " * 500}\n{number}"' for number in range(width))
    path = write(tmp_path / "a.csv", f"{huge}\n{huge}\nx\n")
    for options in ({}, {"text_column": "x" * 999}, {"header": False}, {"delimiter": "|"}):
        with pytest.raises(DataError) as caught:
            load_task(f"csv:{path}", **options)
        assert len(str(caught.value).replace(str(path), "reviews.csv")) < 300
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("split", "written"),
    [
        ("train", ["train", " Training ", "TRAIN"]),
        ("validation", ["val", "Valid", "VALIDATION", "dev", " eval", "Development"]),
        ("test", ["test", "Testing", " TEST "]),
    ],
)
def test_splits_as_people_write_them(tmp_path: Path, split: str, written: list[str]) -> None:
    rows = "".join(f"t,{place % 2},{name}\n" for place, name in enumerate(written))
    path = write(tmp_path / "a.csv", "text,label,part\n" + rows)
    dataset = load_task(f"csv:{path}", split_column="part")
    assert dataset.predefined == (split,) * len(written)


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
    splits = split_dataset(dataset)  # a column that is named is heeded
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
            "text,label,s\na,1,train\nb,0,other\n",
            {"split_column": "s"},
            "line 3: expected train, .* in column 's', got 'other'",
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
        ('{"text": "t", "label": ["a", "b"]}', "line 2: expected a text or a number .*'a', 'b'"),
        ('{"text": "t", "label": {"a": 1}}', "line 2: expected a text or a number .* give .* one"),
        ('{"text": "t", "label": Infinity}', "line 2: expected a text or a number .* got inf"),
        ('{"text": "t", "label": NaN}', "line 2: the label in column 'label' is missing; give"),
        ('{"text": "t", "label": null}', "line 2: the label in column 'label' is missing; give"),
        ('{"text": "t"}', "line 2: the label .* is missing; give the text one label, or remove"),
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
