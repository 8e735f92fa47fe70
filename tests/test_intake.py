"""What training is given is read, looked through and said before torch is loaded."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from dimec.config import DataSettings, RunSettings
from dimec.data import Dataset
from dimec.intake import take_in, with_lengths
from dimec.progress import NoProgress
from dimec.run import Run
from dimec.workspace import read_dataset
from tiny import FAST, Said, reviews, write_reviews

Cli = Callable[..., Said]
ROWS = reviews(60)


class Heard(NoProgress):
    """Keeps the lines that stay."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)


def settings_of(task: str, backbone: Path, **data: object) -> RunSettings:
    model = {"backbone": str(backbone), "max_tokens": 32}
    return RunSettings.of({"data": {"task": task, **data}, "model": model})


def test_it_says_what_it_read(tiny_reviews: Path, tiny_backbone: Path) -> None:
    heard = Heard()
    intake = take_in(settings_of(f"csv:{tiny_reviews}", tiny_backbone), heard)
    rows, classes, lengths = heard.lines
    assert rows == f"read 240 rows of csv:{tiny_reviews}: train 192, validation 24, test 24"
    assert classes == "2 classes: 'negative' 120, 'positive' 120"
    assert lengths.startswith("tokens a text: median ")
    assert intake.survey.lengths is not None
    assert intake.survey.lengths.texts == 240


def test_without_a_tokenizer_file_the_lengths_come_later(
    tmp_path: Path, tiny_reviews: Path, tiny_backbone: Path
) -> None:
    bare = Path(shutil.copytree(tiny_backbone, tmp_path / "bare"))
    (bare / "tokenizer.json").unlink()
    heard = Heard()
    intake = take_in(settings_of(f"csv:{tiny_reviews}", bare), heard)
    assert intake.survey.lengths is None
    assert len(heard.lines) == 2
    later = with_lengths(intake, lambda texts, pairs: [len(text.split()) for text in texts], heard)
    assert later.survey.lengths is not None
    assert heard.lines[2].startswith("tokens a text: ")
    assert with_lengths(later, lambda texts, pairs: [], heard) is later


def test_train_says_it_first_and_keeps_it(tmp_path: Path, tiny_backbone: Path, cli: Cli) -> None:
    rows = [(text, label.title() if n % 5 == 0 else label) for n, (text, label) in enumerate(ROWS)]
    path = write_reviews(tmp_path / "x.csv", [*rows, (rows[1][0], "negative")])
    words = ["--task", f"csv:{path}", "--backbone", tiny_backbone, *FAST, "--epochs", "2"]
    said = cli("train", *words, "--out", tmp_path / "run", "--json")
    lines = said.err.splitlines()
    torch = lines.index("loading torch")
    assert [line.split()[0] for line in lines[:torch]] == ["read", "4", "tokens", *2 * ["warning:"]]
    record = json.loads(said.out)
    assert record["survey"] == json.loads(Run(tmp_path / "run").survey_path.read_text())
    assert record["survey"]["variants"] == [["negative", "Negative"], ["positive", "Positive"]]
    assert record["survey"]["conflicts"]["texts"] == 1
    merged = cli("train", *words, "--merge-labels", "--out", tmp_path / "merged", "--json")
    assert json.loads(merged.out)["labels"] == ["negative", "positive"]
    assert "Negative" not in merged.err
    again = cli("train", *words, "--merge-labels", "--out", tmp_path / "merged")
    assert "is trained already" in again.err


def test_data_and_directory_are_checked_before_torch_is_loaded(
    tmp_path: Path, tiny_backbone: Path, tiny_reviews: Path, cli: Cli, finished_run: Path
) -> None:
    words = ["--backbone", tiny_backbone, *FAST]
    for task, out, problem in (
        (tmp_path / "none.csv", tmp_path / "run", "does not exist"),
        (tiny_reviews, finished_run, "holds a run with other settings"),
    ):
        said = cli("train", "--task", f"csv:{task}", *words, "--out", out)
        assert problem in said.complaint()
        assert "loading torch" not in said.err
    options = ["--task", f"csv:{tiny_reviews}", "--merge-labels"]
    said = cli("train", *options, *words, "--out", tmp_path / "run")
    assert "merge_labels" in said.complaint()
    assert "loading torch" not in said.err


@pytest.mark.parametrize("grid", [False, True])
def test_the_rows_are_read_once(
    tmp_path: Path,
    tiny_backbone: Path,
    tiny_reviews: Path,
    cli: Cli,
    monkeypatch: pytest.MonkeyPatch,
    grid: bool,
) -> None:
    reads: list[DataSettings] = []

    def read(data: DataSettings) -> Dataset:
        reads.append(data)
        return read_dataset(data)

    monkeypatch.setattr("dimec.intake.read_dataset", read)
    if grid:
        from dimec.training.grid import train_grid

        settings = settings_of(f"csv:{tiny_reviews}", tiny_backbone, max_train_rows=32)
        training = settings.training.model_copy(update={"epochs": 2})
        settings = settings.model_copy(update={"training": training})
        train_grid(settings, tmp_path / "run", batch_sizes=(16,), learning_rates=(1e-3, 2e-3))
        assert Run(tmp_path / "run").survey_path.exists()
    else:
        words = ["--backbone", tiny_backbone, *FAST, "--epochs", "2", "--max-train-rows", "32"]
        assert (
            cli("train", "--task", f"csv:{tiny_reviews}", *words, "--out", tmp_path / "run").code
            == 0
        )
    assert len(reads) == 1
