"""``dimec map select``, and training on what it chose."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from dimec.cli.common import shell_line
from dimec.cli.map import _new_run
from dimec.runs.run import Run
from support.tiny import FAST, Said, reviews, write_reviews
from support.warm import warm_dimec

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
    assert f"--train-rows {file} --out {tmp_path / 'run-ambiguous'}" in said.out
    assert "kept" not in said.out
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


def test_every_command_that_is_printed_as_next_works_as_it_stands(
    tmp_path: Path, tiny_backbone: Path
) -> None:
    folder = tmp_path / 'it\'s a $HOME; "folder"'
    folder.mkdir()
    # A rare class, which a share of the easiest rows alone would leave without any.
    rows = [*reviews(80), *((f"a rare word (no. {number})", "rare") for number in range(6))]
    table = write_reviews(folder / "my reviews.csv", rows)
    words = ["--backbone", str(tiny_backbone), *FAST, "--epochs", "2", "--record-train"]
    said = warm_dimec("train", "--task", f"csv:{table}", *words, "--out", folder / "a run")
    for step in ("fit", "evaluate", "report"):
        assert said.code == 0, said.err
        assert said.out.splitlines()[-1].startswith(f"next: dimec {step} ")
        said = _typed(said)
    assert said.out.splitlines()[-1] == f"report: {folder / 'a run' / 'report' / 'report.html'}"

    said = warm_dimec("map", "select", folder / "a run", "--by", "easy", "--share", "0.05")
    assert "kept one row each of classes that had none in the share: " in said.out
    assert "rare" in said.out
    said = _typed(said)
    assert said.code == 0, said.err
    assert Run(folder / "a run-easy-0.05-exit4").training()["rows"]["train"] == 3


def _typed(said: Said) -> Said:
    """What comes of the command that was printed as next, in the words that a shell makes of it."""
    line = said.out.splitlines()[-1].removeprefix("next: ")
    assert line.startswith("dimec ")
    shell = "dimec() { printf '%s\\0' \"$@\"; }; "
    split = subprocess.run(["sh", "-c", shell + line], capture_output=True, text=True, check=True)
    assert not split.stderr
    return warm_dimec(*split.stdout.split("\0")[:-1])


def test_the_next_run_has_a_folder_of_its_own(tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert _new_run(run, "easy") == tmp_path / "run-easy"
    for taken in ("run-easy", "run-easy-2"):
        (tmp_path / taken).mkdir()
    assert _new_run(run, "easy") == tmp_path / "run-easy-3"
    assert _new_run(Path(), "easy").name.endswith("-easy")


def test_a_path_that_begins_with_a_dash_is_typed_as_a_path() -> None:
    assert shell_line("dimec", "up", Path("-b"), Path("a b")) == "dimec up ./-b 'a b'"
