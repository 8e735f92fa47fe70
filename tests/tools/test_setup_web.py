"""The packages of web/: fetched once, and never in the way of the rest."""

from __future__ import annotations

from pathlib import Path

import pytest

import setup_web

WORKS = "echo ran >> ../calls; mkdir -p node_modules"
FAILS = "echo ran >> ../calls; echo 'npm error code ENOTFOUND'; exit 1"


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with just web/'s lock file, and a path with a node that does nothing."""
    (tmp_path / "web").mkdir()
    (tmp_path / "web" / "package-lock.json").write_text("{}")
    (tmp_path / "web" / ".npmrc").write_text("")
    (tmp_path / "bin").mkdir()
    program(tmp_path, "node", "exit 0")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    monkeypatch.setattr(setup_web, "ROOT", tmp_path)
    return tmp_path


def program(tree: Path, name: str, script: str) -> None:
    path = tree / "bin" / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def calls(tree: Path) -> int:
    """How often npm was started."""
    log = tree / "calls"
    return len(log.read_text().splitlines()) if log.exists() else 0


def test_they_are_fetched_once_and_anew_where_the_lock_file_has_changed(tree: Path) -> None:
    program(tree, "npm", WORKS)
    assert not setup_web.is_current(tree / "web")
    assert [setup_web.main(), setup_web.main()] == [0, 0]
    assert setup_web.is_current(tree / "web")
    assert calls(tree) == 1
    (tree / "web" / "package-lock.json").write_text('{"lockfileVersion": 3}')
    assert setup_web.main() == 0
    assert calls(tree) == 2


def test_without_a_network_the_set_up_goes_on_and_says_so(
    tree: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    program(tree, "npm", FAILS)
    assert setup_web.main() == 0
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "could not be fetched (error code ENOTFOUND)" in error
    assert setup_web.main() == 0
    assert calls(tree) == 2  # nothing was stamped


def test_without_node_nothing_is_done_or_said(
    tree: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    program(tree, "npm", WORKS)
    (tree / "bin" / "node").unlink()
    monkeypatch.setenv("PATH", str(tree / "bin"))
    assert setup_web.main() == 0
    assert capsys.readouterr() == ("", "")
    assert not (tree / "web" / "node_modules").exists()
