"""``dimec compress``: what it prints, and what it refuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from dimec.cli.compress import _SYSTEMS
from dimec.policies import system
from dimec.runs.compression import METHODS
from support.tiny import Said


def test_it_says_what_went_what_is_charged_and_what_comes_next(
    run_copy: Callable[..., Path], cli: Callable[..., Said]
) -> None:
    run = run_copy()
    said = cli("compress", run, "--method", "heads", "--rows", "40")
    assert said.code == 0, said.err
    lines = said.out.splitlines()
    assert lines[0] == "50.0 % of the heads are gone"
    assert lines[1] == "charged for 2.5 of 4 layers; the mobile runs 1"
    assert lines[2].startswith("  one head of each layer stays")
    scores = json.loads((run / "compressed-heads" / "compressed.json").read_text())["scores"]
    start = lines.index("accuracy on the test split, 24 rows")
    for line, name in zip(lines[start + 1 :], ("exit", "compressed", "whole"), strict=False):
        assert line.endswith(f": {100 * scores['test'][name]['accuracy']:.1f} %")
    assert lines[-2] == f"compressed: {run / 'compressed-heads'}"
    assert lines[-1] == f"next: dimec evaluate {run} --systems pruned-heads"
    again = cli("compress", run, "--method", "heads", "--rows", "40", "--json")
    assert "made already" in again.err
    record = json.loads(again.out)
    assert record.pop("path") == str(run / "compressed-heads")
    assert record == json.loads((run / "compressed-heads" / "compressed.json").read_text())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--method", "gzip"), "--method must be one of magnitude, heads, int8, student"),
        (("--method", "student"), "name that run with --student"),
        (("--sparsity", "1.5"), "--sparsity must lie between 0 and 1, got 1.5"),
        (("--layer", "5"), "expected --layer from 1 to 4, the model's last, got 5"),
    ],
)
def test_bad_input_is_one_line(
    finished_run: Path, cli: Callable[..., Said], words: tuple[str, ...], message: str
) -> None:
    assert message in cli("compress", finished_run, *words).complaint()


def test_a_folder_that_is_no_run_is_one_line(tmp_path: Path, cli: Callable[..., Said]) -> None:
    assert "no run directory" in cli("compress", tmp_path / "nothing").complaint()
    assert "training.json does not exist" in cli("compress", tmp_path).complaint()


def test_what_comes_next_is_the_system_that_needs_it() -> None:
    assert tuple(_SYSTEMS) == METHODS
    assert {method: system(name).needs for method, name in _SYSTEMS.items()} == {
        method: f"compressed-{method}" for method in METHODS
    }
