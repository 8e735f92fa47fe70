"""The environments beside .venv, of conformance tests and site: when each is built anew."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest

import docs_setup
import executorch_setup
import kserve_setup
import ray_setup
import trackers_setup
import triton_setup
from setup_env import STAMP, SetupError


@pytest.mark.parametrize(
    "module",
    [docs_setup, executorch_setup, kserve_setup, ray_setup, trackers_setup, triton_setup],
)
def test_it_is_installed_once_and_again_after_a_failure(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, module: ModuleType
) -> None:
    made: list[Path] = []

    def install(folder: Path, lock: int) -> None:
        folder.mkdir(exist_ok=True)
        made.append(folder)
        if len(made) == 1:
            raise SetupError("no network")

    monkeypatch.setattr(triton_setup, "check_platform", lambda: None)
    monkeypatch.setattr(type(module.ENVIRONMENT), "install", lambda self, *told: install(*told))
    with pytest.raises(SetupError, match="no network"):
        module.set_up(tmp_path)
    folder = tmp_path / f".{module.__name__.removesuffix('_setup')}"
    assert not (folder / STAMP).exists()
    assert module.set_up(tmp_path) == module.set_up(tmp_path) == folder
    assert made == [folder] * 2
    (folder / STAMP).write_text("of an older lock file")
    module.set_up(tmp_path)
    assert made == [folder] * 3
    assert (folder / STAMP).read_text() == module.ENVIRONMENT.stamp(folder)
