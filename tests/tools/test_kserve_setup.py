"""The environment with KServe's types: when it is built anew."""

from __future__ import annotations

from pathlib import Path

import pytest

import kserve_setup
from kserve_setup import LOCK, set_up, wanted_stamp
from setup_env import STAMP, SetupError, count_packages


def test_it_is_installed_once_and_again_after_a_failure(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    made: list[Path] = []

    def install(folder: Path, lock: int) -> None:
        folder.mkdir(exist_ok=True)
        made.append(folder)
        if len(made) == 1:
            raise SetupError("no network")

    monkeypatch.setattr(kserve_setup, "install", install)
    with pytest.raises(SetupError, match="no network"):
        set_up(tmp_path)
    folder = tmp_path / ".kserve"
    assert not (folder / STAMP).exists()
    assert set_up(tmp_path) == set_up(tmp_path) == folder
    assert made == [folder] * 2
    (folder / STAMP).write_text("of an older lock file")
    set_up(tmp_path)
    assert made == [folder] * 3
    assert (folder / STAMP).read_text() == wanted_stamp(folder)


def test_its_packages_are_pinned_and_hashed() -> None:
    text = LOCK.read_text("utf-8")
    blocks = [block for block in text.split("\n") if "==" in block and not block.startswith("#")]
    assert len(blocks) == count_packages(text) > 10
    assert all(block.endswith("\\") for block in blocks), "a hash follows each"
