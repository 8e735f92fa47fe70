"""What the tests of ``dimec predict`` begin with."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.tiers import balanced


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory, tiny_bundle: Path) -> Path:
    """The tiny bundle with a router that uses all three tiers."""
    return balanced(tiny_bundle, tmp_path_factory.mktemp("predict") / "bundle")


@pytest.fixture
def own_state(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A state of its own for each test, no token, and a wide terminal."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("DIMEC_TOKEN", raising=False)
    monkeypatch.setenv("COLUMNS", "200")
