"""The entry of the set-up picks a Python that fits."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import bootstrap


def fake_python(folder: Path, name: str, code: int) -> Path:
    path = folder / name
    path.write_text(f"#!/bin/sh\nexit {code}\n")
    path.chmod(0o755)
    return path


def test_a_name_that_does_not_run_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_python(tmp_path, "python3.13", 127)
    good = fake_python(tmp_path, "python3.12", 0)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert bootstrap.find_python() == str(good)


def test_an_old_python_alone_gets_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(bootstrap, "MINIMUM", (sys.version_info.major, 99))
    monkeypatch.setattr(bootstrap, "BEYOND", (sys.version_info.major + 1, 0))
    assert bootstrap.main() == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "make PYTHON=" in error
    assert sys.executable in error
