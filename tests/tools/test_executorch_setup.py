"""ExecuTorch's environment: its lock file has what .venv has not, and nothing else."""

from __future__ import annotations

from executorch_setup import ENVIRONMENT, LOCK
from pinned_env import ours, pins
from setup_env import count_packages


def test_nothing_is_pinned_that_stands_in_venv_already() -> None:
    theirs = pins(LOCK.read_text("utf-8"))
    assert {"executorch", "torchao", ENVIRONMENT.source_only} <= theirs.keys()
    assert not theirs.keys() & pins(ours()).keys()
    assert "torch" not in theirs


def test_every_package_has_a_hash() -> None:
    text = LOCK.read_text("utf-8")
    blocks = [line for line in text.split("\n") if line[:1].isalnum() and "==" in line]
    assert len(blocks) == count_packages(text) > 10
    assert all(block.endswith("\\") for block in blocks), "a hash follows each"
