"""How the commands are told where labelled rows are, and how they are written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import dimec.training
from dimec.base.errors import ConfigError
from dimec.runs.rows import divide, read_dataset
from dimec.settings.run import RunSettings
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
