"""A tracker of a package that is installed beside dimec, which knows nothing of it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import dimec
from dimec.base import plugins
from dimec.base.errors import ConfigError
from dimec.evaluation.ledger import Ledger
from dimec.runs.run import Run
from dimec.training.telling import ledger_text
from support.listeners import Heard, Killed
from support.tiny import Said, train_tiny

PACKAGE = Path(__file__).resolve().parents[1] / "support" / "notekeeper"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the package installed."""
    folder = tmp_path_factory.mktemp("installed")
    copy = shutil.copytree(PACKAGE, folder / "source")  # a build may leave files beside the source
    offline = ["--no-deps", "--no-build-isolation", "--no-index", "--quiet"]
    place = ["--target", str(folder / "site"), str(copy)]
    pip = [sys.executable, "-m", "pip", "install", *offline, *place]
    done = subprocess.run(pip, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder / "site"


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Path], None]]:
    """Has what is in a folder found as if it were installed, until the test ends."""
    monkeypatch.setattr(plugins, "_failures", {})
    monkeypatch.setattr(plugins, "_objects", dict(plugins._objects))

    def put(folder: Path) -> None:
        monkeypatch.syspath_prepend(str(folder))
        plugins.installed.cache_clear()

    yield put
    plugins.installed.cache_clear()


@pytest.fixture
def installed(site: Path, found: Callable[[Path], None]) -> Path:
    found(site)
    return site


def train(folder: Path, table: Path, backbone: Path, **options: Any) -> Run:
    fast = {"max_tokens": 16, "max_train_rows": 48, "exit0": False, "patience": 0}
    return train_tiny(table, backbone, folder, track="notekeeper", **fast, **options)


def notes(run: Path) -> list[dict[str, Any]]:
    lines = (run / "tracking" / "notekeeper" / "notes.jsonl").read_text("utf-8").splitlines()
    return [json.loads(line) for line in lines]


def test_it_is_told_of_a_training_that_was_killed_and_resumed(
    installed: Path, tmp_path: Path, tiny_backbone: Path, tiny_reviews: Path
) -> None:
    out = tmp_path / "mine"
    with pytest.raises(KeyboardInterrupt):
        train(out, tiny_reviews, tiny_backbone, progress=Killed("epoch 2 of 3"))
    history = train(out, tiny_reviews, tiny_backbone).training()["history"]
    begun = [one for one in notes(out) if "begun" in one]
    assert [one["resumed"] for one in begun] == [False, True]
    assert begun[0]["begun"] == begun[1]["begun"]
    assert begun[0]["begun"].startswith("mine-")
    assert begun[0]["epochs"] == 3
    epochs = [one for one in notes(out) if "loss" in one]
    assert [one["step"] for one in epochs] == [1, 2, 3]
    assert [one["loss"] for one in epochs] == [one["loss"] for one in history]


def test_one_that_keeps_no_files_gets_the_ledger_as_a_text(
    installed: Path, run_copy: Callable[..., Path]
) -> None:
    run = Run(run_copy())
    dimec.track(run, "notekeeper")
    (told,) = [one["ledger"] for one in notes(run.path) if "ledger" in one]
    assert told == ledger_text(Ledger.load(run.report_path))


def test_one_that_is_lost_in_between_ends_no_training(
    installed: Path, tmp_path: Path, tiny_backbone: Path, tiny_reviews: Path
) -> None:
    class Losing(Heard):
        """Takes the tracker away before the second epoch, and gives it back after."""

        def start(self, stage: str, total: int) -> None:
            full = tmp_path / "mine" / "tracking" / "notekeeper" / "full"
            if stage == "epoch 1 of 3":
                full.touch()
            if stage == "epoch 3 of 3":
                full.unlink()

    said = Losing()
    run = train(tmp_path / "mine", tiny_reviews, tiny_backbone, progress=said)
    lost = [line for line in said.said if "the tracker could not be told" in line]
    assert len(lost) == 2
    assert all("OSError: no page is left" in line for line in lost)
    epochs = [one for one in notes(run.path) if "loss" in one]
    assert [one["step"] for one in epochs] == [1, 2, 3]


def test_without_the_package_its_name_is_unknown(cli: Callable[..., Said], tmp_path: Path) -> None:
    words = ("train", "--task", "csv:none.csv", "--out", tmp_path / "out", "--track", "notekeeper")
    assert "expected the tracker tensorboard" in cli(*words).complaint()


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("nowhere:make", "ModuleNotFoundError: No module named 'nowhere'"),
        ("builtins:dict", "made a dict; expected a GeneralTracker of accelerate"),
    ],
)
def test_one_that_cannot_be_made_says_why(
    found: Callable[[Path], None],
    tmp_path: Path,
    run_copy: Callable[..., Path],
    value: str,
    why: str,
) -> None:
    described = tmp_path / "site" / "broken-1.0.dist-info"
    described.mkdir(parents=True)
    (described / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1.0\n")
    (described / "entry_points.txt").write_text(f"[dimec.trackers]\nbroken = {value}\n")
    found(described.parent)
    with pytest.raises(ConfigError, match=why) as raised:
        dimec.track(Run(run_copy()), "broken")
    assert value in str(raised.value)
    assert "the package broken 1.0" in str(raised.value)
