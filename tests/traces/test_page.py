"""docs/traces.md: its code runs as it stands, and what it says of the collection is so."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer

from dimec.cli import app
from dimec.traces.collection import CHECKOUT, Collection

PAGE = (Path(__file__).parents[2] / "docs" / "traces.md").read_text("utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


def test_the_code_runs_and_the_policy_has_its_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    ledgers: list[Any] = []
    for block in BLOCKS:
        exec(compile(block, "docs/traces.md", "exec"), names)
        ledgers.append(names.get("ledger"))
    none, of_one, of_own = ledgers
    assert none is None
    assert names["trace"].exits == (0, 1, 2, 3, 4, 5, 6)
    assert names["trace"].tiers == (2, 3, 6)
    rows = {row.policy: row for row in of_one.rows}
    assert list(rows) == ["step-up", "cascade", "deferral"]
    assert 0 < rows["step-up"].reduction < rows["cascade"].reduction
    assert [row.policy for row in of_own.rows] == ["step-up"]
    assert names["deployment"].sources == ("mobile", "edge", "cloud")


def test_the_policy_takes_ten_lines() -> None:
    """Imports, the rule, the fit of the others, and the ledger."""
    assert len([line for line in BLOCKS[1].splitlines() if line]) <= 10


def test_its_commands_are_there_and_its_names_too() -> None:
    commands = re.findall(r"^(?:\S+=\S+ )?(dimec [^#\n]*)", PAGE, re.MULTILINE)
    assert len(commands) == 5
    names = Collection.open(CHECKOUT).names()
    for line in commands:
        words = shlex.split(line)[1:]
        command: Any = typer.main.get_command(app)
        while hasattr(command, "commands"):
            command = command.commands[words.pop(0)]
        assert not words or words[0] == "--trace" or words[0] in names
    for name in re.findall(r"\w+/minilm[\w-]*/\d", PAGE):
        assert name in names


def test_a_row_takes_about_half_a_kilobyte() -> None:
    collection = Collection.open(CHECKOUT)
    for entry in map(collection.entry, collection.names()):
        for split in ("validation", "test"):
            size = (entry.folder / f"{split}.safetensors").stat().st_size
            assert size < 600 * entry.card.rows[split], entry.name
