"""``dimec evaluate`` on a run that was written by hand: what it prints beside the ledger."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from dimec.evaluation.curves import Curves
from support.tiny import Said
from support.written import written_run


@pytest.fixture
def path(tmp_path: Path) -> Path:
    run = written_run(tmp_path / "run")
    run.fit(policy="max-softmax")
    return run.path


def test_the_savings_of_every_policy_with_a_knob_stand_under_the_ledger(
    path: Path, cli: Callable[..., Said], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    said = cli("evaluate", path, "--draws", "20", "--systems", "deebert,random")
    assert said.code == 0, said.err
    _, table = said.out.split("Saving at a drop of at most 0.5 points")
    policies = [line.split()[0] for line in table.splitlines() if " threshold " in line]
    assert policies == ["max-softmax", "deebert"]
    assert "dimec-fixed" in table
    assert "this is no promise" in " ".join(table.split())


def test_they_can_be_left_out(path: Path, cli: Callable[..., Said]) -> None:
    assert cli("evaluate", path, "--draws", "20").code == 0
    assert Curves.stored(path / "report")
    said = cli("evaluate", path, "--draws", "20", "--no-curves")
    assert said.code == 0, said.err
    assert "Saving" not in said.out
    assert not Curves.stored(path / "report")
