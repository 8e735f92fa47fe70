"""Runs of several trainings, told to a tracker: each has a run of its own, and a telling name."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import dimec
from dimec.base.storage import read_json
from dimec.runs.run import Run
from dimec.runs.train import settings_of
from dimec.training import train_grid
from support.tensorboard import scalars
from support.tiny import reviews, train_own_tiny, train_tiny, write_reviews

FAST: dict[str, Any] = {"epochs": 2, "max_tokens": 16, "exit0": False, "precision": "fp32"}


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_reviews(tmp_path_factory.mktemp("rows") / "reviews.csv", reviews(120))


def named(folder: Path) -> str:
    """The name of a training in its tracker, without the letters that are drawn."""
    name: str = read_json(folder / "tracking" / "tensorboard.json", "dimec train")["name"]
    assert re.fullmatch(r".+-[0-9a-f]{6}", name)
    return name[:-7]


def check(folder: Path) -> None:
    """What TensorBoard has of a training is what the training itself says."""
    history, shown = Run(folder).training()["history"], scalars(folder)
    assert [step for step, _ in shown["loss"]] == list(range(1, len(history) + 1))
    assert [value for _, value in shown["loss"]] == pytest.approx([one["loss"] for one in history])


def trackings(run: Path) -> set[str]:
    """Where in a run something was told of a training."""
    return {str(file.parents[1].relative_to(run)) for file in run.rglob("tracking/*.json")}


def test_each_point_of_a_grid(tmp_path: Path, table: Path, tiny_backbone: Path) -> None:
    values = {"task": f"csv:{table}", "backbone": str(tiny_backbone), "exits": (1, 2, 4), **FAST}
    out, rates = tmp_path / "mine", (1e-4, 3e-3)
    train_grid(
        settings_of(values, 0), out, batch_sizes=(16,), learning_rates=rates, track="tensorboard"
    )
    points = {"grid/bs16-lr0.0001", "grid/bs16-lr0.003"}
    assert trackings(out) == points
    for point in points:
        assert named(out / point) == f"mine/{point}"
        check(out / point)
    # What comes after is told of the point that is the run.
    best = read_json(out / "grid.json", "dimec train")["best"]
    chosen = out / "grid" / f"bs16-lr{best['learning_rate']:g}"
    run = Run(out)
    run.fit()
    assert dimec.track(run)["tensorboard"].new == ("fit",)
    assert trackings(out) == points
    for point in points:
        assert ("fit/lam" in scalars(out / point)) == (out / point == chosen)


def test_each_tier_with_a_model_of_its_own(
    tmp_path: Path, table: Path, own_backbones: tuple[Path, Path]
) -> None:
    out = tmp_path / "mine"
    train_own_tiny(table, own_backbones, out, student_epochs=2, track="tensorboard", **FAST)
    tiers = {"tiers/phone", "tiers/edge", "tiers/cloud"}
    assert trackings(out) == tiers
    for tier in tiers:
        assert named(out / tier) == f"mine/{tier}"
        check(out / tier)
    # The whole, which no training is of, has a run of its own for what comes after.
    run = Run(out)
    run.fit()
    assert dimec.track(run)["tensorboard"].new == ("fit",)
    assert named(out) == "mine"
    shown = scalars(out)
    assert {"pools/phone/share", "pools/cloud/share"} <= shown.keys()
    assert "loss" not in shown


def test_each_part_of_a_cross_fitting(tmp_path: Path, table: Path, tiny_backbone: Path) -> None:
    out = tmp_path / "mine"
    train_tiny(table, tiny_backbone, out, cross_fit=2, track="tensorboard", **FAST)
    parts = {"cross-fit/0", "cross-fit/1"}
    assert trackings(out) == {".", *parts}
    check(out)
    for part in parts:
        assert named(out / part) == f"mine/{part}"
        check(out / part)
