"""A user's own calibration texts, with labels in the file, in another one, or nowhere."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dimec.base.errors import DataError, MissingArtefactError
from dimec.base.progress import NoProgress
from dimec.contract.losses import UNKNOWN
from dimec.contract.promise import promise_in
from dimec.runs.calibration import CalibrationFiles
from dimec.runs.run import Run
from dimec.settings.data import DataSettings
from dimec.training.calibration import read_calibration, read_labels_file, read_texts
from dimec.training.transfer import record_other
from support.tiny import reviews, write_reviews

ROWS = reviews(80, seed=11)
NAMES = ("negative", "positive")


@pytest.fixture
def run(run_copy: Callable[..., Path]) -> Run:
    return Run(run_copy())


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    path = tmp_path / "texts.txt"
    path.write_text("\n".join(text for text, _ in ROWS) + "\n", "utf-8")
    return path


def test_a_text_a_line_has_no_labels_and_what_every_exit_says(run: Run, texts: Path) -> None:
    own = read_calibration(run, CalibrationFiles(texts, None), NoProgress())
    assert own.unlabelled
    assert own.source == "80 rows of texts.txt (without labels)"
    assert own.trace.guids[:2] == ("texts.txt-0", "texts.txt-1")
    assert own.file == texts.resolve()
    table = write_reviews(texts.with_name("other.csv"), ROWS)
    plain = record_other(run, DataSettings(task=f"csv:{table}"))
    np.testing.assert_array_equal(own.trace.probabilities, plain.probabilities)
    np.testing.assert_array_equal(own.trace.embeddings, plain.embeddings)


def test_what_the_model_says_of_a_file_is_kept(
    run: Run, texts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = CalibrationFiles(texts, None)
    first = read_calibration(run, files, NoProgress())

    def never(*words: object, **more: object) -> None:
        raise AssertionError("the model ran a second time")

    monkeypatch.setattr("dimec.training.transfer.record_rows", never)
    again = read_calibration(run, files, NoProgress())
    np.testing.assert_array_equal(first.trace.probabilities, again.trace.probabilities)
    texts.write_text(texts.read_text("utf-8") + "one more\n", "utf-8")
    with pytest.raises(AssertionError, match="second time"):
        read_calibration(run, files, NoProgress())


def test_labels_of_a_table_and_of_a_second_file(run: Run, tmp_path: Path) -> None:
    rows = [(str(n), text, label if n < 30 else "") for n, (text, label) in enumerate(ROWS)]
    table = write_reviews(tmp_path / "some.csv", rows, ("id", "text", "label"))
    some = read_calibration(run, CalibrationFiles(table, None), NoProgress())
    gold = [NAMES.index(label) for _, label in ROWS]
    assert some.labels.tolist() == [*gold[:30], *[UNKNOWN] * 50]
    assert some.source == "80 rows of some.csv (30 labelled)"
    more = tmp_path / "more.jsonl"
    records = [{"id": str(n), "label": ROWS[n][1]} for n in range(79, 29, -1)]
    more.write_text("\n".join(map(json.dumps, records)), "utf-8")
    all_of_them = read_calibration(run, CalibrationFiles(table, more), NoProgress())
    assert all_of_them.labels.tolist() == gold
    assert all_of_them.source == "80 rows of some.csv"
    more.write_text(json.dumps({"id": "0", "label": "positive"}), "utf-8")
    with pytest.raises(DataError, match="1 rows have one label in the file of texts and another"):
        read_calibration(run, CalibrationFiles(table, more), NoProgress())


def test_rows_that_were_trained_or_validated_on_are_found_by_their_words(
    run: Run, tmp_path: Path
) -> None:
    splits = run.splits()
    for name, part in (("training", splits.train), ("validation", splits.validation)):
        rows = [*ROWS[:5], (part.texts[0], "positive"), (part.texts[1], "negative")]
        table = write_reviews(tmp_path / f"{name}.csv", rows)
        told = f"2 of 7 calibration texts are in the {name} split"
        with pytest.raises(DataError, match=told):
            read_calibration(run, CalibrationFiles(table, None), NoProgress())


def test_where_the_rows_of_the_run_are_gone_that_is_said(run: Run, texts: Path) -> None:
    class Saying(NoProgress):
        said: list[str] = []  # noqa: RUF012  # of this one test

        def say(self, text: str) -> None:
            self.said.append(text)

    run.data_path.write_text("0" * 64, "utf-8")
    progress = Saying()
    assert len(read_calibration(run, CalibrationFiles(texts, None), progress)) == 80
    assert any("cannot be told" in line for line in progress.said)


@pytest.mark.parametrize(
    ("header", "rows", "told"),
    [
        (("words",), [("a text",)], "no column called text, sentence"),
        (("id", "text"), [("a", "x"), ("a", "y")], "line 3: expected an id of its own"),
        (("id", "text"), [("", "x")], "line 2: expected an id of its own"),
        (("text", "label"), [("x", "mixed")], "'mixed' is no label of this model"),
    ],
)
def test_a_file_that_cannot_be_used_is_one_line(
    tmp_path: Path, header: tuple[str, ...], rows: list[tuple[str, ...]], told: str
) -> None:
    table = write_reviews(tmp_path / "bad.csv", rows, header)
    with pytest.raises(DataError, match=told):
        read_texts(table, DataSettings(task="csv:x"), NAMES, pairs=False)


@pytest.mark.parametrize("content", ['{"text": "a"}\n{"text": "b"}\n', '[{"text": "a"}]'])
def test_json_is_no_text_a_line(tmp_path: Path, content: str) -> None:
    path = tmp_path / "texts.txt"
    path.write_text(content, "utf-8")
    with pytest.raises(DataError, match="holds JSON; call it"):
        read_texts(path, DataSettings(task="csv:x"), NAMES, pairs=False)


def test_a_table_without_a_header_is_read_as_the_training_rows(tmp_path: Path) -> None:
    table = write_reviews(tmp_path / "a.csv", [("b", "negative")], ("a", "positive"))
    columns = {"text_column": "column-1", "label_column": "column-2"}
    data = DataSettings(task="csv:x", header=False, **columns)
    texts, labels = read_texts(table, data, ("negative", "positive"), pairs=False)
    assert (tuple(texts.texts), labels.tolist()) == (("a", "b"), [1, 0])


def test_pairs_are_read_where_the_model_takes_them(tmp_path: Path) -> None:
    table = write_reviews(tmp_path / "p.csv", [("a", "b")], ("sentence1", "sentence2"))
    data = DataSettings(task="csv:x")
    assert read_texts(table, data, NAMES, pairs=True)[0].pairs == ("b",)
    assert read_texts(table, data, NAMES, pairs=False)[0].pairs is None
    lines = tmp_path / "p.txt"
    lines.write_text("alone\n", "utf-8")
    with pytest.raises(DataError, match="sentence2"):
        read_texts(lines, data, NAMES, pairs=True)


def test_labels_that_do_not_fit_the_texts(run: Run, texts: Path) -> None:
    read, _ = read_texts(texts, DataSettings(task="csv:x"), NAMES, pairs=False)
    labels = write_reviews(texts.with_name("l.csv"), [("row-9", "positive")], ("id", "label"))
    with pytest.raises(DataError, match="no row of the calibration texts has the id 'row-9'"):
        read_labels_file(labels, read, NAMES)
    with pytest.raises(DataError, match="labels are read from"):
        read_labels_file(texts, read, NAMES)
    nameless = write_reviews(texts.with_name("n.csv"), [("positive",)], ("label",))
    with pytest.raises(DataError, match="no column called id"):
        read_labels_file(nameless, read, NAMES)


def test_the_whole_way_from_texts_without_labels_to_a_contract(
    run: Run, texts: Path, tmp_path: Path
) -> None:
    """The rows whose labels matter are few, and labelled they say what the whole file would."""
    terms: dict[str, Any] = {"max_accuracy_drop": 20.0, "confidence": 0.8, "policy": "cascade"}
    with pytest.raises(MissingArtefactError, match="--calibration-text"):
        run.contract_rows(tmp_path / "none.jsonl")
    unlabelled = run.fit_contract(**terms, calibration_text=texts)
    promise = promise_in(run.stored_policy().fitted_on)
    assert promise is not None
    assert (promise.test, promise.calibration.labelled) == ("disagreement", False)
    assert (promise.calibration.drop, promise.fitted_rows) == (None, len(run.splits().validation))
    assert unlabelled.contract is not None

    out = tmp_path / "rows.jsonl"
    written = run.contract_rows(out)
    assert 0 < written.rows < written.of == 80
    assert written.labels == NAMES
    records = [json.loads(line) for line in out.read_text("utf-8").splitlines()]
    assert len(records) == written.rows
    own = dict(ROWS)
    assert all(record["label"] == "" and record["text"] in own for record in records)
    for record in records:
        record["label"] = own[record["text"]]
    out.write_text("\n".join(map(json.dumps, records)), "utf-8")
    few = run.fit_contract(**terms, calibration_text=texts, calibration_labels=out)
    by_few = promise_in(run.stored_policy().fitted_on)
    assert by_few is not None
    assert (by_few.test, by_few.calibration.labelled) == ("exact", True)

    table = write_reviews(tmp_path / "whole.csv", ROWS)
    whole = run.fit_contract(**terms, calibration_text=table)
    by_all = promise_in(run.stored_policy().fitted_on)
    assert by_all is not None
    assert (few.lam, few.policy) == (whole.lam, whole.policy)
    assert by_few.calibration == by_all.calibration

    table.write_text("text\nanother text\n", "utf-8")
    with pytest.raises(DataError, match="has changed since"):
        run.contract_rows(tmp_path / "again.jsonl")
