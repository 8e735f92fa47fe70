"""Exports of Label Studio, in the three formats that it writes texts with choices in."""

from __future__ import annotations

import csv
import json
import random
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dimec.base.errors import DataError
from dimec.data import Dataset, large, load_task
from support.exports import Json, annotation, task


def flat(number: int, text: str, choice: Any, **more: Any) -> Json:
    """A row of JSON-MIN."""
    kept = {"annotator": 1, "annotation_id": number, "created_at": "2026-01-02T03:04:05.6Z"}
    said = {} if choice is None else {"sentiment": choice}
    kept |= {"updated_at": "2026-01-02T03:04:05.6Z", "lead_time": 1.5}
    return {"text": text, **more, "id": number, **said, **kept}


def written(path: Path, rows: list[Json]) -> str:
    path.write_text(json.dumps(rows))
    return str(path)


def as_csv(path: Path, rows: list[Json], *, ordered: bool) -> str:
    """The same as Label Studio's CSV: what is no text, as JSON; columns as they are or in order."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, sorted(columns) if ordered else columns)
        writer.writeheader()
        for row in rows:
            writer.writerow(
                {k: json.dumps(v) if isinstance(v, dict | list) else v for k, v in row.items()}
            )
    return str(path)


def rows_of(dataset: Dataset) -> list[tuple[str, str]]:
    names = [dataset.label_names[code] for code in dataset.labels]
    return list(zip(dataset.texts, names, strict=True))


TASKS = [
    task("good", annotation("pos"), annotation("neg"), annotation("pos")),
    task("so", annotation("pos"), annotation("neg")),
    task("dull", annotation("neg"), annotation("pos", was_cancelled=True)),
    task("none"),
    task("left empty", annotation()),
    task("sure", annotation("neg"), annotation("neg"), annotation("pos", ground_truth=True)),
]
NOTE = (
    "3 of 6 tasks of a Label Studio export; left out are 2 without a choice and 1 on which "
    "annotators are divided"
)
FLAT = [
    flat(1, "good", "pos"),
    flat(1, "good", "neg"),
    flat(2, "dull", "neg"),
    flat(1, "good", {"choices": ["pos"]}),
    flat(3, "none", None),
]


def test_tasks_have_the_choice_of_most_annotators(tmp_path: Path) -> None:
    dataset = load_task(written(tmp_path / "export.json", TASKS))
    assert rows_of(dataset) == [("good", "pos"), ("dull", "neg"), ("sure", "pos")]
    assert dataset.source_rows == NOTE
    assert dataset.guids == tuple(str(TASKS[row]["id"]) for row in (0, 2, 5))
    assert rows_of(load_task(TASKS)) == rows_of(dataset)  # from Python, in memory


@pytest.mark.parametrize("ordered", [False, True])
def test_rows_of_annotations_are_told_together(tmp_path: Path, ordered: bool) -> None:
    files = written(tmp_path / "a.json", FLAT), as_csv(tmp_path / "a.csv", FLAT, ordered=ordered)
    for file in files:
        dataset = load_task(file)
        assert rows_of(dataset) == [("good", "pos"), ("dull", "neg")]
        assert dataset.source_rows.startswith("2 of 3 tasks")
        assert dataset.source_rows.endswith("left out are 1 without a choice")
        assert dataset.guids == ("1", "2")


def test_a_whole_export_says_nothing_of_rows_left_out() -> None:
    assert load_task([flat(1, "a", "x"), flat(2, "b", "y")]).source_rows == ""


def test_other_columns_are_named(tmp_path: Path) -> None:
    tasks = [
        task("a", annotation("x"), annotation("en", control="language"), body="A"),
        task("b", annotation("y"), annotation("de", control="language"), body="B"),
    ]
    file = written(tmp_path / "two.json", tasks)
    with pytest.raises(
        DataError, match="has 'sentiment', 'language', and one of them is the label"
    ):
        load_task(file)
    chosen = load_task(file, label_column="language", text_column="body")
    assert rows_of(chosen) == [("A", "en"), ("B", "de")]
    rows = [flat(1, "a", "x", source="w"), flat(2, "b", "y", source="v")]
    assert rows_of(load_task(as_csv(tmp_path / "o.csv", rows, ordered=False)))[0] == ("a", "x")
    with pytest.raises(DataError, match="'sentiment', 'source', and one of them is the label"):
        load_task(as_csv(tmp_path / "s.csv", rows, ordered=True))
    named = load_task(str(tmp_path / "s.csv"), label_column="sentiment")
    assert rows_of(named) == [("a", "x"), ("b", "y")]


def test_files_for_each_split_may_be_exports(tmp_path: Path) -> None:
    train = written(tmp_path / "train.json", TASKS)
    test = tmp_path / "test.csv"
    test.write_text("text,label\nfine,pos\n")
    dataset = load_task({"train": train, "test": str(test)})
    assert rows_of(dataset)[-1] == ("fine", "pos")
    first, dull, sure = (TASKS[row]["id"] for row in (0, 2, 5))
    assert dataset.guids == (f"train-{first}", f"train-{dull}", f"train-{sure}", "test-0")
    assert dataset.source_rows == f"train: {NOTE}"


def test_tasks_of_a_file_that_names_none_are_counted() -> None:
    dataset = load_task([{k: v for k, v in one.items() if k != "id"} for one in TASKS])
    assert dataset.guids == ("row-0", "row-1", "row-2")


def test_a_large_csv_is_told_together_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(large, "LARGE", 0)
    file = as_csv(tmp_path / "export.csv", FLAT, ordered=True)
    assert rows_of(load_task(file)) == [("good", "pos"), ("dull", "neg")]


@pytest.mark.parametrize(
    ("rows", "options", "message"),
    [
        ([task("a", annotation("x", "y"))], {}, "row 1: expected one choice 'sentiment' of each "),
        ([flat(1, "a", {"choices": ["x", "y"]})], {}, "got 'x', 'y'; a text has one label"),
        ([task("a"), task("b")], {}, "has no choices; expected tasks that are labelled by"),
        (TASKS, {"label_column": "mood"}, "expected choices called 'mood', .* has 'sentiment'"),
        ([task("a", annotation("x"), annotation("y"))], {}, r"agree on \(0 without one, 1 divided"),
        (
            [task("a", annotation("x")), task("b"), task("a", annotation("y"))],
            {},
            "row 3: the sample '[0-9]+' of column 'id' was in row 1 already; keep one row",
        ),
        (
            [task("a", annotation("x")), {**task("b", annotation("y")), "id": None}],
            {},
            "row 2: expected the name of a sample in column 'id'; name each sample",
        ),
        ([{"data": "a", "annotations": []}], {}, "row 1: expected a task of Label Studio with"),
        ([task("a", "x")], {}, "row 1: expected an annotation, got 'x'; export it again"),  # type: ignore[arg-type]
        ([task("a", annotation("x")), task("b", annotation("x"))], {}, "has one class only"),
    ],
)
def test_what_is_wrong_is_said(
    rows: list[Json], options: Json, message: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=message) as caught:
        load_task(written(tmp_path / "export.json", rows), **options)
    assert "\n" not in str(caught.value)


@given(
    st.lists(st.lists(st.sampled_from("abc"), max_size=5), min_size=1, max_size=8),
    st.integers(0, 99),
)
def test_all_three_formats_say_the_same(votes: list[list[str]], seed: int) -> None:
    votes = [["a"], ["b"], *votes]
    told = {}
    for number, chosen in enumerate(votes):
        most = Counter(chosen).most_common()
        if most and [count for _, count in most].count(most[0][1]) == 1:
            told[f"text {number}"] = most[0][0]
    tasks = [task(f"text {n}", *map(annotation, chosen)) for n, chosen in enumerate(votes)]
    rows = [flat(n, f"text {n}", one) for n, chosen in enumerate(votes) for one in chosen]
    random.Random(seed).shuffle(rows)
    assert dict(rows_of(load_task(tasks))) == told
    flat_ = load_task(rows)
    assert dict(rows_of(flat_)) == told
    assert len(flat_) == len(told) == len(np.unique(flat_.texts))
