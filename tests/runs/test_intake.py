"""What training is given is read, looked through and said before torch is loaded."""

from __future__ import annotations

import importlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pyarrow
import pytest

import dimec
from dimec.base.errors import ConfigError
from dimec.base.progress import NoProgress
from dimec.data import Dataset
from dimec.runs.intake import take_in, with_lengths
from dimec.runs.rows import read_dataset
from dimec.runs.run import Run
from dimec.settings.data import DataSettings
from dimec.settings.run import RunSettings
from support.tiny import FAST, Said, reviews, write_reviews

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
    assert heard.lines[2:] == ["tokens a text: counted once the encoder is loaded"]
    later = with_lengths(intake, lambda texts, pairs: [len(text.split()) for text in texts], heard)
    assert later.survey.lengths is not None
    assert heard.lines[3].startswith("tokens a text: median ")
    assert with_lengths(later, lambda texts, pairs: [], heard) is later


def test_train_says_it_first_and_keeps_it(tmp_path: Path, tiny_backbone: Path, cli: Cli) -> None:
    rows = [(text, label.title() if n % 5 == 0 else label) for n, (text, label) in enumerate(ROWS)]
    path = write_reviews(tmp_path / "x.csv", [*rows, (rows[1][0], "negative")])
    words = ["--task", f"csv:{path}", "--backbone", tiny_backbone, *FAST, "--epochs", "2"]
    said = cli("train", *words, "--out", tmp_path / "run", "--json")
    lines = said.err.splitlines()
    torch = lines.index("loading torch")
    assert [line.split()[0] for line in lines[:torch]] == ["read", "4", "tokens", *2 * ["warning:"]]
    assert "make them one with --merge-labels" in lines[3]
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
    assert said.complaint().startswith("--merge-labels: no two labels")
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

    monkeypatch.setattr("dimec.runs.intake.read_dataset", read)
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


class TestFilesForEachSplit:
    @pytest.fixture
    def parts(self, tmp_path: Path) -> list[object]:
        """``--train FILE --validation FILE --test FILE``."""
        words: list[object] = []
        for name, rows in (("train", ROWS[:40]), ("validation", ROWS[40:50]), ("test", ROWS[50:])):
            words += [f"--{name}", write_reviews(tmp_path / f"{name}.csv", rows)]
        return words

    def test_they_are_the_splits(
        self, tmp_path: Path, parts: list[object], tiny_backbone: Path, cli: Cli
    ) -> None:
        out = tmp_path / "run"
        words = ["--backbone", tiny_backbone, *FAST, "--epochs", "2"]
        said = cli("train", *parts, *words, "--out", out)
        assert said.code == 0, said.err
        assert "train 40, validation 10, test 10" in said.err
        splits = Run(out).splits()
        assert splits.test.texts == tuple(text for text, _ in ROWS[50:])
        assert Run(out).trace("test").guids == tuple(f"test-{row}" for row in range(10))
        assert "is trained already" in cli("train", *parts, *words, "--out", out).err
        config = ["--config", out / "config.toml"]
        assert "is trained already" in cli("train", *config, "--out", out).err
        other = cli("train", *config, "--task", "vader/movie", "--out", tmp_path / "other")
        assert "did you mean 'vader/movies'" in other.complaint()
        # A row that goes from one split to the next leaves the rows of all of them as they were.
        write_reviews(tmp_path / "train.csv", ROWS[:39])
        write_reviews(tmp_path / "validation.csv", ROWS[39:50])
        again = cli("train", *parts, *words, "--out", out)
        assert "have changed since" in again.complaint()

    @pytest.mark.parametrize(
        ("options", "problem"),
        [
            (["--task", "vader/movies"], "give either --task or files for each split"),
            (["--split-column", "split"], "--split-column does not go with"),
            (["--data-dir", "x"], "does not go with"),
        ],
    )
    def test_what_does_not_go_with_them(
        self, tmp_path: Path, parts: list[object], cli: Cli, options: list[str], problem: str
    ) -> None:
        assert problem in cli("train", *parts, *options, "--out", tmp_path / "run").complaint()

    def test_one_file_alone_is_no_set_of_splits(
        self, tmp_path: Path, parts: list[object], cli: Cli
    ) -> None:
        for one in (parts[:2], parts[2:4], parts[2:]):
            line = cli("train", *one, "--out", tmp_path / "run").complaint()
            assert "--train with --validation or --test" in line


class TestTablesInMemory:
    OPTIONS: ClassVar[dict[str, Any]] = {
        "exits": (1, 2, 4),
        "epochs": 2,
        "max_tokens": 32,
        "precision": "fp32",
    }
    COLUMNS: ClassVar[dict[str, list[str]]] = {
        "review": [text for text, _ in ROWS],
        "mood": [label for _, label in ROWS],
    }

    def train(self, backbone: Path, out: Path, task: object = None, **options: Any) -> Run:
        columns = {"text_column": "review", "label_column": "mood"}
        options = {**self.OPTIONS, **columns, **options}
        task = self.COLUMNS if task is None else task
        return dimec.train(task=task, backbone=str(backbone), out=out, **options)

    def test_the_run_keeps_its_rows(
        self, tmp_path: Path, tiny_backbone: Path, monkeypatch: pytest.MonkeyPatch, cli: Cli
    ) -> None:
        run = self.train(tiny_backbone, tmp_path / "run")
        first = run.table_path.read_text().splitlines()[0]
        assert json.loads(first) == {"text": ROWS[0][0], "label": ROWS[0][1]}
        assert run.splits().test.guids == run.trace("test").guids
        heard = Heard()
        self.train(tiny_backbone, run.path, pyarrow.table(self.COLUMNS), progress=heard)
        assert "is trained already" in heard.lines[-1]
        # The program itself advises this; the rows that it reads are in the run that it discards.
        again = ["--config", run.config_path, "--overwrite", "--seed", "1"]
        assert cli("train", *again, "--out", run.path).code == 0
        assert len(run.splits().train) == 48
        moved = Run(run.path.rename(tmp_path / "moved"))
        assert len(moved.splits().train) == 48

    def test_a_frame_is_trained_on_and_taken_up_from_another_library(
        self, tmp_path: Path, tiny_backbone: Path
    ) -> None:
        pandas = importlib.import_module("pandas")
        frame = pandas.DataFrame({**self.COLUMNS, "stars": range(60)})
        frame = frame.astype({"mood": "category"}).sort_values("stars", ascending=False)
        run = self.train(tiny_backbone, tmp_path / "run", frame)
        kept = [json.loads(line) for line in run.table_path.read_text().splitlines()]
        assert [(row["text"], row["label"]) for row in kept] == ROWS[::-1]
        assert run.settings().data.task == f"jsonl:{run.table_path}"
        assert len(run.trace("test").guids) == len(run.splits().test) == 6
        heard = Heard()
        polars = importlib.import_module("polars")
        self.train(tiny_backbone, run.path, polars.DataFrame(dict(frame)), progress=heard)
        assert "is trained already" in heard.lines[-1]

    def test_other_rows_are_another_run(self, tmp_path: Path, tiny_backbone: Path) -> None:
        run = self.train(tiny_backbone, tmp_path / "run")
        kept = run.table_path.read_bytes()
        fewer = {name: values[:-2] for name, values in self.COLUMNS.items()}
        with pytest.raises(ConfigError, match="have changed since"):
            self.train(tiny_backbone, run.path, fewer)
        assert run.table_path.read_bytes() == kept
        self.train(tiny_backbone, run.path, fewer, overwrite=True)
        assert len(run.table_path.read_text().splitlines()) == 58
        files = write_reviews(tmp_path / "x.csv", ROWS)
        options = {"text_column": None, "label_column": None, "overwrite": True}
        self.train(tiny_backbone, run.path, files, **options)
        assert not run.table_path.exists()

    def test_splits_and_pairs(self, tmp_path: Path, tiny_backbone: Path) -> None:
        table = {**self.COLUMNS, "title": self.COLUMNS["review"]}
        parts = {
            "train": {name: values[:40] for name, values in table.items()},
            "dev": {name: values[40:50] for name, values in table.items()},
            "test": {name: values[50:] for name, values in table.items()},
        }
        run = self.train(tiny_backbone, tmp_path / "run", parts, pair_column="title")
        splits = run.splits()
        assert splits.test.pairs == tuple(table["title"][50:])
        assert len(splits.validation) == 10
        with pytest.raises(ConfigError, match="either task or files for each split"):
            self.train(tiny_backbone, tmp_path / "other", parts, test="x.csv")

    def test_a_killed_training_goes_on(
        self, tmp_path: Path, tiny_backbone: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def die(*_: object) -> None:
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr("dimec.training.loop.finish_run", die)
            with pytest.raises(KeyboardInterrupt):
                self.train(tiny_backbone, tmp_path / "run")
        heard = Heard()
        run = self.train(tiny_backbone, tmp_path / "run", progress=heard)
        assert any(line.startswith("resuming") for line in heard.lines)
        assert len(run.splits().train) == 48

    def test_files_for_each_split_from_python(self, tmp_path: Path, tiny_backbone: Path) -> None:
        files = {
            name: str(write_reviews(tmp_path / f"{name}.csv", rows))
            for name, rows in (("train", ROWS[:40]), ("test", ROWS[40:]))
        }
        columns = {"text_column": None, "label_column": None}
        run = self.train(tiny_backbone, tmp_path / "run", files, **columns)
        assert len(run.splits().test) == 20
        assert run.settings().data.train == files["train"]
