"""What a tracker is told of a training: TensorBoard's own reader reads it back."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

import dimec
from dimec.base.errors import ConfigError, MissingExtraError
from dimec.base.storage import read_json, write_json
from dimec.runs.run import Run
from dimec.runs.trackers import TRACKERS, check_tracker
from dimec.training.telling import plain
from support.listeners import Killed
from support.tensorboard import scalars
from support.tiny import Said

EPOCHS = 3


def train(folder: Path, table: Path, backbone: Path, **options: Any) -> Run:
    """A short training that TensorBoard is told of."""
    values: dict[str, Any] = {
        "task": f"csv:{table}",
        "backbone": str(backbone),
        "exits": (1, 2, 4),
        "max_tokens": 16,
        "max_train_rows": 48,
        "epochs": EPOCHS,
        "patience": 0,
        "precision": "fp32",
        "exit0": False,
    }
    return dimec.train(out=folder, track="tensorboard", **values | options)


def check(run: Run) -> None:
    """Each epoch once, with what the run itself says of it."""
    history, told = run.training()["history"], scalars(run.path)
    assert len(history) == EPOCHS
    wanted = {"loss": [epoch["loss"] for epoch in history]}
    for number, layer in enumerate((1, 2, 4)):
        for name in ("accuracy", "validation_loss"):
            wanted[f"{name}/exit-{layer}"] = [epoch[name][number] for epoch in history]
    for name, values in wanted.items():
        assert [step for step, _ in told[name]] == [1, 2, 3], name
        assert [value for _, value in told[name]] == pytest.approx(values)


@pytest.fixture(scope="module")
def killed(
    tmp_path_factory: pytest.TempPathFactory, tiny_backbone: Path, tiny_reviews: Path
) -> tuple[Path, Callable[[], Run]]:
    """A training that was killed when its third epoch began, and how to go on."""
    folder = tmp_path_factory.mktemp("tracked") / "mine"
    with pytest.raises(KeyboardInterrupt):
        train(folder, tiny_reviews, tiny_backbone, progress=Killed("epoch 3 of 3"))
    return folder, lambda: train(folder, tiny_reviews, tiny_backbone)


def test_a_resumed_training_goes_on_in_the_same_run(
    killed: tuple[Path, Callable[[], Run]],
) -> None:
    folder, go_on = killed
    marker = folder / "tracking" / "tensorboard.json"
    known = read_json(marker, "dimec train")
    assert known["epochs"] == 2
    assert [step for step, _ in scalars(folder)["loss"]] == [1, 2]
    run = go_on()
    check(run)
    now = read_json(marker, "dimec train")
    assert now.pop("parts").keys() == {"map"}
    assert now == {**known, "epochs": EPOCHS}
    assert known["name"].startswith("mine-")
    # The settings once, as the run has them.
    (stored,) = (folder / "tracking" / "tensorboard").glob("*/hparams.yml")
    assert yaml.safe_load(stored.read_text("utf-8")) == plain(run.settings())


def test_it_is_told_first_what_a_kill_kept_from_it(
    tmp_path: Path, tiny_backbone: Path, tiny_reviews: Path
) -> None:
    folder = tmp_path / "mine"
    # As a process leaves it that dies between the first epoch's checkpoint and its telling.
    with pytest.raises(KeyboardInterrupt):
        train(folder, tiny_reviews, tiny_backbone, progress=Killed("epoch 2 of 3"))
    for events in (folder / "tracking" / "tensorboard").glob("events*"):
        events.unlink()
    marker = folder / "tracking" / "tensorboard.json"
    write_json(marker, {**read_json(marker, "dimec train"), "epochs": 0})
    check(train(folder, tiny_reviews, tiny_backbone))


def test_a_run_that_is_discarded_is_begun_anew_there_too(
    tmp_path: Path, tiny_backbone: Path, tiny_reviews: Path
) -> None:
    folder = tmp_path / "mine"
    train(folder, tiny_reviews, tiny_backbone)
    check(train(folder, tiny_reviews, tiny_backbone, seed=1, overwrite=True))


def test_an_unknown_tracker_is_refused_before_anything_is_read(
    cli: Callable[..., Said], tmp_path: Path
) -> None:
    words = ("train", "--task", "csv:none.csv", "--out", tmp_path / "out", "--track", "paper")
    assert cli(*words).complaint() == (
        "expected the tracker tensorboard or trackio or mlflow, got 'paper'"
    )
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("kind", TRACKERS)
def test_one_that_is_not_installed_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setitem(sys.modules, kind, None)
    with pytest.raises(MissingExtraError, match=rf"pip install 'dimec\[{TRACKERS[kind]}\]'"):
        check_tracker(kind)


def test_none_is_always_there() -> None:
    check_tracker(None)
    with pytest.raises(ConfigError):
        check_tracker("")
