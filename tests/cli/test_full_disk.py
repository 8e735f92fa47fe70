"""A full disk, simulated: no file may grow beyond some size."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from support.tiny import FAST, Said, contents, environment

Cli = Callable[..., Said]


@pytest.fixture
def run(run_copy: Callable[..., Path]) -> Path:
    return run_copy()


_LIMITED = """
import resource, runpy, sys
limit = int(sys.argv.pop(1))
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
runpy.run_module("dimec", run_name="__main__")
"""


def _with_a_full_disk(limit: int, *words: object) -> Said:
    """Run the command line where no file can grow beyond ``limit`` bytes."""
    command = [sys.executable, "-c", _LIMITED, str(limit), *map(str, words)]
    done: subprocess.CompletedProcess[str] = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=240, env=environment()
    )
    return Said(done.returncode, done.stdout, done.stderr)


def _no_leftovers(run: Path) -> None:
    assert not [name for name in contents(run) if ".tmp" in name]


class TestAFullDisk:
    @pytest.mark.parametrize("limit", [100_000, 300_000])
    def test_training_stops_with_one_line_and_goes_on_later(
        self, tmp_path: Path, tiny_backbone: Path, tiny_reviews: Path, cli: Cli, limit: int
    ) -> None:
        """The best epoch's weights have 220 kB, a checkpoint three times that."""
        out = tmp_path / "run"
        source: Sequence[object] = ("--task", f"csv:{tiny_reviews}", "--backbone", tiny_backbone)
        words = ["train", *source, *FAST, "--epochs", "2", "--out", out]
        line = _with_a_full_disk(limit, *words).complaint()
        assert line.startswith(("no room to write", "cannot write"))
        assert "run the same command again" in line
        assert not (out / "training.json").exists()
        _no_leftovers(out)
        said = cli(*words)
        assert said.code == 0, said.err
        assert cli("fit", out).code == 0

    def test_fitting_leaves_the_old_router(self, run: Path, cli: Cli) -> None:
        before = contents(run)
        line = _with_a_full_disk(1000, "fit", run, "--lambda", "0.03").complaint()
        assert "policy.safetensors" in line
        assert contents(run) == before
        assert cli("evaluate", run).code == 0

    def test_evaluating_leaves_the_old_ledger(self, run: Path, cli: Cli) -> None:
        before = contents(run)
        line = _with_a_full_disk(500, "evaluate", run).complaint()
        assert "ledger" in line
        assert contents(run) == before
        assert json.loads((run / "report" / "ledger.json").read_text())

    def test_a_mobile_answers_and_says_that_it_could_not_record(
        self, tmp_path: Path, tiny_bundle: Path, cli: Cli
    ) -> None:
        """From the start, as one does whose disk fills up later."""
        state = tmp_path / "state.sqlite"
        words = ["predict", tiny_bundle / "mobile", "a moving film", "--state", state, "--json"]
        said = _with_a_full_disk(1000, *words)
        assert said.code == 0, said.err
        assert not json.loads(said.out)["recorded"]
        assert "answers are given, and not recorded for now" in said.err
        said = cli(*words)
        assert json.loads(said.out)["recorded"]
