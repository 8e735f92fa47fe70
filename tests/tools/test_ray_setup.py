"""Ray's environment: when it is built anew, and that it runs what the others run."""

from __future__ import annotations

from pathlib import Path

import pytest

import ray_setup
from ray_setup import LOCK, ROOT, pins, set_up, wanted_stamp
from setup_env import STAMP, SetupError


def test_it_is_installed_once_and_again_after_a_failure(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    made: list[Path] = []

    def install(folder: Path, lock: int) -> None:
        folder.mkdir(exist_ok=True)
        made.append(folder)
        if len(made) == 1:
            raise SetupError("no network")

    monkeypatch.setattr(ray_setup, "install", install)
    with pytest.raises(SetupError, match="no network"):
        set_up(tmp_path)
    folder = tmp_path / ".ray"
    assert not (folder / STAMP).exists()
    assert set_up(tmp_path) == set_up(tmp_path) == folder
    assert made == [folder] * 2
    (folder / STAMP).write_text("of an older lock file")
    set_up(tmp_path)
    assert made == [folder] * 3
    assert (folder / STAMP).read_text() == wanted_stamp(folder)


def test_what_both_lock_files_name_has_one_version() -> None:
    ours = pins((ROOT / "requirements.lock").read_text("utf-8"))
    theirs = pins(LOCK.read_text("utf-8"))
    shared = ours.keys() & theirs.keys()
    assert {"numpy", "onnxruntime", "starlette", "tokenizers"} <= shared
    assert {name: theirs[name] for name in shared} == {name: ours[name] for name in shared}
    assert "ray" in theirs
