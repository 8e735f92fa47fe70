"""``dimec bottleneck``: what it prints, and what it refuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from dimec.base.errors import ConfigError, DimecError, MissingArtefactError
from dimec.cli.bottleneck import bottleneck
from dimec.cli.command import Command
from dimec.training.bottleneck.train import bottleneck_traces

app = typer.Typer()
app.command(cls=Command)(bottleneck)
FAST = ("--width", "3", "--bits", "4", "--epochs", "2")


def called(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def refused(kind: type[DimecError], *arguments: object) -> str:
    """The message of the error that ends the command."""
    result = called(*arguments)
    assert isinstance(result.exception, kind), result
    assert result.stdout == ""
    return str(result.exception)


def test_it_says_what_is_lost_and_what_is_sent(run_copy: Callable[..., Path]) -> None:
    run = run_copy()
    result = called(run, *FAST, "--objective", "distil")
    assert result.exit_code == 0, result.output
    folder = run / "bottleneck-1-3-4-distil"
    assert (folder / "bottleneck.json").exists()
    lines = result.stdout.splitlines()
    assert lines[-1] == f"bottleneck: {folder}"
    test = bottleneck_traces(folder)[1]
    right = 100 * test.correct.mean(axis=0)[-3:]  # behind exit 0
    start = lines.index("accuracy on the test split, 24 rows")
    table = lines[start + 1 : start + 4]
    assert table[0] == f"  the exit at the split, layer 1: {right[0]:.1f} %"
    assert table[1] == f"  the last exit behind the bottleneck: {right[2]:.1f} %"
    assert table[2].startswith("  the last exit of the whole model: ")
    mean = test.lengths.mean()
    assert f"  code: 2 and {2 * mean:.0f}" in lines
    assert f"  hidden states: 128 and {128 * mean:,.0f}" in lines
    assert f"  text: 4 and {4 * mean:.0f}" in lines
    assert "the code takes 1/64 of the hidden states and 0.5 times the text itself" in lines
    assert "loading torch" in result.stderr


def test_as_json_it_is_the_record(run_copy: Callable[..., Path]) -> None:
    run = run_copy()
    options = ("--layer", "2", "--train-tail", "--batch-size", "16", "--max-train-rows", "60")
    rates = ("--learning-rate", "0.01", "--tail-learning-rate", "0.0001", "--seed", "3")
    result = called(run, *FAST, *options, *rates, "--json")
    assert result.exit_code == 0, result.output
    value = json.loads(result.stdout)
    folder = run / "bottleneck-2-3-4-task-tail"
    assert value.pop("path") == str(folder)
    assert value == json.loads((folder / "bottleneck.json").read_text())
    assert value["settings"] == {
        "layer": 2,
        "width": 3,
        "bits": 4,
        "objective": "task",
        "train_tail": True,
        "epochs": 2,
        "batch_size": 16,
        "learning_rate": 0.01,
        "tail_learning_rate": 0.0001,
        "max_train_rows": 60,
        "seed": 3,
    }


def test_a_second_time_it_goes_by_what_is_there(run_copy: Callable[..., Path]) -> None:
    run = run_copy()
    first = called(run, *FAST)
    second = called(run, *FAST)
    assert second.stdout == first.stdout
    assert "trained already" in second.stderr
    message = refused(ConfigError, run, *FAST, "--seed", "1")
    assert "seed: 0 here, 1 there" in message
    assert called(run, *FAST, "--seed", "1", "--overwrite").exit_code == 0


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (("--objective", "both"), "task, distil"),
        (("--bits", "20"), "1 to 16 bits"),
        (("--width", "99"), "no wider than the hidden states, 32"),
        (("--layer", "4"), "before the last layer, 4"),
        (("--epochs", "1"), "at least 2"),
    ],
)
def test_a_wrong_option_is_refused(
    run_copy: Callable[..., Path], wrong: tuple[str, ...], message: str
) -> None:
    assert message in refused(ConfigError, run_copy(), *wrong)


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    assert "no run directory" in refused(MissingArtefactError, tmp_path / "nothing")
    assert "dimec train" in refused(MissingArtefactError, tmp_path)
