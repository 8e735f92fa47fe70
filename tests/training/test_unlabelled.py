"""Texts without labels: every kind of file, and none of the rows that a model is judged by."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dimec.base.errors import ConfigError, DataError
from dimec.base.progress import NoProgress
from dimec.data.dataset import Dataset, Splits
from dimec.settings.data import DataSettings
from dimec.training.unlabelled import read_unlabelled

TEXTS = ("a fine film", 'it is "so so", really', "zu süß")
SECONDS = ("one", "two", "three")


class Notes(NoProgress):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)


def part(texts: tuple[str, ...], pairs: tuple[str, ...] | None) -> Dataset:
    return Dataset(
        "csv:some.csv",
        texts,
        pairs,
        np.zeros(len(texts), np.int64),
        ("bad", "good"),
        tuple(f"row-{text}" for text in texts),
    )


def splits(pairs: bool = False) -> Splits:
    names = ("trained", "validated", "tested")
    train, validation, test = (
        part((f"{name} on", f"{name} twice"), ("x", "y") if pairs else None) for name in names
    )
    return Splits(train, validation, test)


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    """Rows in the form that the file's ending says; txt with tabs between, without names."""
    kind, columns = path.suffix[1:], list(rows[0])
    if kind == "parquet":
        import pyarrow
        from pyarrow import parquet

        parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    elif kind == "jsonl":
        path.write_text("\n".join(json.dumps(row) for row in rows), "utf-8")
    elif kind == "json":
        path.write_text(json.dumps(rows), "utf-8")
    elif kind == "csv":
        import csv

        with path.open("w", encoding="utf-8", newline="") as stream:
            writer = csv.DictWriter(stream, columns)
            writer.writeheader()
            writer.writerows(rows)
    else:
        lines = [] if kind == "txt" else ["\t".join(columns)]
        lines += ["\t".join(map(str, row.values())) for row in rows]
        path.write_text("\n".join(lines) + "\n", "utf-8")
    return path


def read(
    path: Path, pairs: bool = False, **data: Any
) -> tuple[list[str], list[str] | None, list[str]]:
    notes = Notes()
    got = read_unlabelled(path, splits(pairs), DataSettings(task="csv:x.csv", **data), notes)
    return list(got.texts), None if got.pairs is None else list(got.pairs), notes.lines


@pytest.mark.parametrize("kind", ["txt", "csv", "tsv", "jsonl", "json", "parquet"])
class TestEveryKind:
    def test_texts(self, tmp_path: Path, kind: str) -> None:
        path = write(tmp_path / f"more.{kind}", [{"text": text} for text in TEXTS])
        texts, pairs, said = read(path)
        assert texts == list(TEXTS)
        assert pairs is None
        assert said == [f"3 texts without labels, of more.{kind}, join the distillation"]

    def test_pairs(self, tmp_path: Path, kind: str) -> None:
        rows = [{"text": one, "pair": two} for one, two in zip(TEXTS, SECONDS, strict=True)]
        texts, pairs, _ = read(write(tmp_path / f"more.{kind}", rows), pairs=True)
        assert (texts, pairs) == (list(TEXTS), list(SECONDS))


def test_the_columns_of_the_labelled_rows_and_a_label_that_is_not_looked_at(
    tmp_path: Path,
) -> None:
    rows = [{"body": text, "stars": "who knows", "text": "no"} for text in TEXTS]
    path = write(tmp_path / "more.csv", rows)
    texts, _, said = read(path, text_column="body", label_column="stars")
    assert texts == list(TEXTS)
    assert said[0] == "more.csv has a column 'stars', which is not looked at"
    # Where the file has another name for it, the usual ones hold.
    assert read(path, text_column="review")[0] == ["no"]
    other = write(tmp_path / "pairs.csv", [{"a": "one", "b": "two", "pair": "three"}])
    options: dict[str, Any] = {"text_column": "a", "pair_column": "b"}
    assert read(other, pairs=True, **options)[1] == ["two"]
    assert read(other, pairs=True, text_column="a")[1] == ["three"]


def test_how_the_labelled_rows_are_written(tmp_path: Path) -> None:
    (tmp_path / "more.csv").write_bytes("text;other\nzu süß;1\n".encode("windows-1252"))
    options: dict[str, Any] = {"delimiter": "semicolon", "encoding": "windows-1252"}
    assert read(tmp_path / "more.csv", **options)[0] == ["zu süß"]
    (tmp_path / "more.txt").write_bytes("zu süß\r\n\r\nsauer".encode("windows-1252"))
    assert read(tmp_path / "more.txt", **options)[0] == ["zu süß", "sauer"]
    (tmp_path / "plain.csv").write_text("a film\nanother\n")
    assert read(tmp_path / "plain.csv", header=False)[0] == ["a film", "another"]
    (tmp_path / "more.txt.gz").write_bytes(gzip.compress(b"packed\n"))
    assert read(tmp_path / "more.txt.gz", header=False)[0] == ["packed"]


def test_what_must_not_be_learnt_from_is_left_out_and_counted(tmp_path: Path) -> None:
    lines = ["new", "validated on", "TESTED  on", "tested twice ", "trained on", "New", "  ", "old"]
    path = tmp_path / "more.txt"
    path.write_text("\n".join(lines))
    texts, _, said = read(path)
    assert texts == ["new", "old"]
    assert said == [
        "2 texts without labels, of more.txt, join the distillation; left out: "
        "3 of the validation or test rows, 2 repeated or of the training rows, 1 empty"
    ]


def test_a_pair_is_known_by_both_of_its_texts(tmp_path: Path) -> None:
    path = tmp_path / "more.txt"
    path.write_text("validated on\tx\nvalidated on\ty\ntrained twice\ty\n\tonly the second\n")
    texts, pairs, said = read(path, pairs=True)
    assert (texts, pairs) == (["validated on", ""], ["y", "only the second"])
    assert "left out: 1 of the validation or test rows, 1 repeated or of the tr" in said[0]


@pytest.mark.parametrize(
    ("name", "content", "pairs", "message"),
    [
        ("more.txt", "\n\n", False, "has no texts"),
        ("more.csv", "", False, "is empty"),
        ("more.csv", "text\n", False, "has no texts"),
        ("more.jsonl", "\n", False, "has no texts"),
        ("more.txt", "validated on\n \n", False, "none of the 2 texts .* 1 empty; give others"),
        ("more.txt", "one\ttwo\nthree\n", True, "line 2: expected a pair of texts with a tab"),
        ("more.txt", '{"text": "a"}\n', False, "holds JSON; call it .json"),
        ("more.csv", "review,n\na,1\n", False, "no column called text, sentence or sentence1"),
        ("more.csv", "text,n\na,1\n", True, "no column called pair or sentence2 for the second"),
        ("more.jsonl", '{"text": "a"}\n{"text": null}\n', False, "line 2: expected a text"),
        ("more.jsonl", '{"text": "a", "pair": "b"}\n{"text": "c"}', True, "line 2: expected a te"),
        ("more.parquet", "text\na\n", False, "is no Parquet file"),
    ],
)
def test_what_cannot_be_read_is_one_line(
    tmp_path: Path, name: str, content: str, pairs: bool, message: str
) -> None:
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(DataError, match=message) as caught:
        read(path, pairs=pairs)
    assert "\n" not in str(caught.value)
    assert name in str(caught.value)


def test_a_file_that_is_not_there_and_an_encoding_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        read(tmp_path / "more.txt")
    (tmp_path / "more.txt").write_text("a")
    with pytest.raises(ConfigError, match="encoding"):
        read(tmp_path / "more.txt", encoding="utf-99")
