"""The trackers' environment: what it has of its own, and that it sees what it stands on."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import pinned_env
from pinned_env import PinnedEnvironment, lacking, of_extras, pins
from setup_env import venv_python
from trackers_setup import ENVIRONMENT, EXTRAS, LOCK


def test_it_has_the_trackers_and_nothing_that_is_there_already() -> None:
    ours = pins(pinned_env.ours())
    theirs = pins(LOCK.read_text("utf-8"))
    assert {"mlflow", "trackio"} <= theirs.keys()
    assert not theirs.items() & ours.items()
    # What computes is that of .venv.
    assert not {"torch", "numpy", "accelerate", "transformers", "tokenizers"} & theirs.keys()


def test_the_extras_say_which_trackers() -> None:
    assert [one.partition(">")[0] for one in of_extras(*EXTRAS)] == ["mlflow", "trackio"]


def test_the_packages_that_are_lacking_keep_their_hashes() -> None:
    resolved = "a==1 \\\n    --hash=x\nb==2 ; sys_platform == 'linux' \\\n    --hash=y\nc==3\n"
    assert lacking(resolved, "a==1\nb==1\n") == resolved.partition("\n    --hash=x\n")[2]


@pytest.mark.parametrize(
    "environment",
    [ENVIRONMENT, replace(ENVIRONMENT, source_only="antlr")],
    ids=["wheels", "source"],
)
def test_packages_behind_it_are_seen_and_its_own_come_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, environment: PinnedEnvironment
) -> None:
    behind = tmp_path / "behind"
    behind.mkdir()
    for name in ("both", "older"):
        (behind / f"{name}.py").write_text("where = 'behind'\n")
    # An editable install is a line in such a file.
    (behind / "editable.pth").write_text(f"{tmp_path / 'checkout'}\n")
    (tmp_path / "checkout").mkdir()
    (tmp_path / "checkout" / "edited.py").write_text("")
    monkeypatch.setattr(pinned_env, "behind", lambda: str(behind))
    monkeypatch.setattr(pinned_env, "run_step", lambda *_, **__: None)
    folder = tmp_path / ".trackers"
    environment.install(folder, 0)
    (own,) = folder.glob("lib/python*/site-packages")
    (own / "both.py").write_text("where = 'own'\n")
    code = "import both, older, edited; print(both.where, older.where)"
    python = [str(venv_python(folder)), "-I", "-c", code]
    assert subprocess.check_output(python, text=True).split() == ["own", "behind"]
    assert sys.prefix not in (own / "behind.pth").read_text()
