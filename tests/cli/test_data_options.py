"""How the commands are told where labelled rows are, and how they are written."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow
import pytest

import dimec.training
from dimec.base.errors import ConfigError
from dimec.runs.rows import data_fingerprint, divide, read_dataset
from dimec.settings.run import RunSettings
from support.exports import annotation, save, task
from support.tiny import Said, reviews, write_reviews

Cli = Callable[..., Said]
ROWS = list(enumerate(reviews(42)))


@pytest.fixture
def settings_of(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> Callable[..., RunSettings]:
    """The settings, and where to, that ``dimec train`` hands to the training."""

    def train(settings: RunSettings, out: Path, **_: Any) -> None:
        settings.save(out)
        raise ConfigError("stopped before the training")

    monkeypatch.setattr(dimec.training, "train_run", train)

    def given(*options: object, out: Path) -> RunSettings:
        assert "stopped before" in cli("train", *options, "--out", out).complaint()
        return RunSettings.load(out)

    return given


def test_the_options_of_a_file_reach_the_reader(
    tmp_path: Path, settings_of: Callable[..., RunSettings]
) -> None:
    path = tmp_path / "rows.csv"
    rows = [f"{label}|ça va {n}|{(n % 7 and 'Training') or 'Eval'}" for n, (_, label) in ROWS]
    path.write_bytes("\n".join(rows).encode("windows-1252"))
    form = ["--delimiter", "pipe", "--encoding", "windows-1252", "--no-header"]
    columns = ["--text-column", "column-2", "--label-column", "column-1"]
    options = ["--task", f"csv:{path}", *form, *columns, "--split-column", "column-3"]
    settings = settings_of(*options, out=tmp_path / "config.toml")
    dataset = read_dataset(settings.data)
    assert dataset.texts[1] == "ça va 1"
    test = divide(dataset, settings).test
    assert test.guids == tuple(f"row-{n}" for n in range(0, len(ROWS), 7))


def test_a_split_column_is_more_than_what_a_config_says(
    tmp_path: Path, settings_of: Callable[..., RunSettings]
) -> None:
    config, rows = tmp_path / "config.toml", tmp_path / "a.csv"
    lines = [f"{n},{label},{'train' if n % 7 else 'dev'}" for n, (_, label) in ROWS]
    rows.write_text("\n".join(["text,label,part", *lines]))
    RunSettings.of({"data": {"task": f"csv:{rows}"}}).save(config)
    settings = settings_of("--config", config, "--split-column", "part", out=tmp_path / "new.toml")
    assert settings.data.predefined_splits


def test_home_folders_are_found_where_no_shell_looks(
    tmp_path: Path, settings_of: Callable[..., RunSettings], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    write_reviews(tmp_path / "reviews.csv", [row for _, row in ROWS])
    mine = RunSettings.of({"data": {"task": "csv:~/reviews.csv"}})
    mine.save(tmp_path / "mine.toml")
    chosen = divide(read_dataset(mine.data), mine).train.guids[:20]
    lines = "".join(f'{{"guid": "{guid}"}}\n' for guid in chosen)
    (tmp_path / "rows.jsonl").write_text(lines)
    options = ["--config=~/mine.toml", "--train-rows=~/rows.jsonl"]
    settings = settings_of(*options, out=tmp_path / "config.toml")
    assert settings.data.train_rows == str(tmp_path / "rows.jsonl")
    assert len(read_dataset(settings.data)) == len(ROWS)


def test_the_split_column_of_a_trace_needs_the_test_rows(finished_run: Path, cli: Cli) -> None:
    line = cli(
        "trace", "record", finished_run, "--task", "csv:a.csv", "--split-column", "s"
    ).complaint()
    assert line == "--split-column tells the test rows; it needs --rows test"


def test_saved_splits_stay_as_they_are(
    tmp_path: Path, settings_of: Callable[..., RunSettings]
) -> None:
    folder = tmp_path / "saved"
    parts = {"train": ROWS[:30], "validation": ROWS[30:36], "test": ROWS[36:]}
    for split, rows in parts.items():
        columns = {"text": [f"{split} {n}" for n, _ in rows], "label": [row[1] for _, row in rows]}
        save(folder / split, pyarrow.table(columns))
    (folder / "dataset_dict.json").write_text(json.dumps({"splits": list(parts)}))
    config, csv = tmp_path / "csv.toml", write_reviews(tmp_path / "a.csv", [row for _, row in ROWS])
    RunSettings.of({"data": {"task": f"csv:{csv}"}}).save(config)
    task = f"datasets:{folder}"
    for words in (["--task", task], ["--config", config, "--task", task]):
        settings = settings_of(*words, out=tmp_path / "saved.toml")
        dataset = read_dataset(settings.data)
        splits = divide(dataset, settings)
        assert splits.validation.texts == tuple(f"validation {n}" for n in range(30, 36))
        assert (len(splits.train), len(splits.test)) == (30, 6)
        first, told = data_fingerprint(dataset, settings.data).split()
        assert first == dataset.fingerprint()
        assert told.startswith("splits:")
    # And back: the file's rows are divided anew.
    words = ["--config", tmp_path / "saved.toml", "--task", f"csv:{csv}"]
    settings = settings_of(*words, out=tmp_path / "back.toml")
    assert not settings.data.predefined_splits
    parts_of = ["--train", f"arrow:{folder}/train", "--test", f"arrow:{folder}/validation"]
    settings = settings_of(*parts_of, out=tmp_path / "parts.toml")
    assert divide(read_dataset(settings.data), settings).test.texts[0] == "validation 30"


def test_what_an_export_leaves_out_is_said(
    tmp_path: Path, cli: Cli, settings_of: Callable[..., RunSettings]
) -> None:
    tasks = [task(text, annotation(label)) for _, (text, label) in ROWS]
    path = tmp_path / "export.json"
    path.write_text(json.dumps([*tasks, task("no label yet")]))
    settings_of("--task", f"json:{path}", out=tmp_path / "config.toml")
    said = cli("train", "--task", f"json:{path}", "--out", tmp_path / "config.toml")
    told = "42 of 43 tasks of a Label Studio export; left out are 1 without a choice"
    assert told in said.err.splitlines()
