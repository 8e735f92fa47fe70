"""``dimec map select``, and training on what it chose."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from dimec.run import Run
from tiny import FAST, Said, reviews, write_reviews

Cli = Callable[..., Said]


@pytest.fixture
def source(tmp_path: Path, tiny_backbone: Path) -> list[str]:
    table = write_reviews(tmp_path / "reviews.csv", reviews(100))
    return ["--task", f"csv:{table}", "--backbone", str(tiny_backbone), *FAST, "--epochs", "2"]


def test_from_a_recorded_run_to_one_on_its_ambiguous_rows(
    tmp_path: Path, source: list[str], cli: Cli
) -> None:
    run, file = tmp_path / "run", tmp_path / "ambiguous.jsonl"
    assert cli("train", *source, "--record-train", "--out", run).code == 0
    said = cli("map", "select", run, "--by", "ambiguous", "--share", "0.33", "--out", file)
    assert said.code == 0, said.err
    assert "26 of 80 training rows, by exit 4" in said.out
    assert f"--train-rows {file}" in said.out
    records = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
    assert len(records) == 26
    spread = [record["variability"] for record in records]
    assert spread == sorted(spread, reverse=True)

    small = tmp_path / "small"
    said = cli("train", *source, "--train-rows", file, "--out", small)
    assert said.code == 0, said.err
    assert Run(small).training()["rows"]["train"] == 26
    # the settings of a run can be handed on, its file among them
    said = cli("train", "--config", small / "config.toml", "--out", small)
    assert "is trained already" in said.err

    said = cli("map", "select", run, "--by", "random", "--exit", "1", "--json")
    shown = json.loads(said.out)
    assert (shown["rows"], shown["of"], shown["exit"]) == (26, 80, 1)
    assert Path(shown["file"]) == run / "selections" / "random-0.33-exit1-seed0.jsonl"
    assert 0 < shown["mean"]["confidence"] < 1


def test_what_cannot_be_chosen_is_refused(finished_run: Path, cli: Cli, tmp_path: Path) -> None:
    line = cli("map", "select", finished_run, "--by", "easy").complaint()
    assert "train.safetensors does not exist" in line
    assert "--record-train" in line
    assert "no run directory" in cli("map", "select", tmp_path / "x", "--by", "easy").complaint()


def test_training_rows_of_another_split_are_refused(
    tmp_path: Path, source: list[str], cli: Cli
) -> None:
    file = tmp_path / "rows.jsonl"
    line = cli("train", *source, "--train-rows", file, "--out", tmp_path / "run").complaint()
    assert str(file) in line
    file.write_text("".join(json.dumps({"guid": f"row-{row}"}) + "\n" for row in range(100)))
    line = cli("train", *source, "--train-rows", file, "--out", tmp_path / "run").complaint()
    assert "is not in the training split" in line
    assert not (tmp_path / "run").exists()
