from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dimec.base.errors import ConfigError
from dimec.base.storage import read_json, write_json
from dimec.runs.run import Run
from dimec.runs.train import settings_of
from dimec.runs.workspace import RunDirectory
from dimec.settings.run import RunSettings
from dimec.training import grid, train_grid, train_run
from dimec.training.grid import BATCH_SIZES, LEARNING_RATES
from support.tiny import Said, reviews, write_reviews

SIZES, RATES = (8, 16), (1e-4, 3e-3)
NAMES = ["bs08-lr0.0001", "bs08-lr0.003", "bs16-lr0.0001", "bs16-lr0.003"]


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory, tiny_backbone: Path) -> RunSettings:
    table = write_reviews(tmp_path_factory.mktemp("grid") / "reviews.csv", reviews(160))
    values: dict[str, Any] = {
        "task": f"csv:{table}",
        "backbone": str(tiny_backbone),
        "exits": (1, 2, 4),
        "epochs": 2,
        "max_tokens": 32,
        "precision": "fp32",
    }
    return settings_of(values, 0)


def _grid(settings: RunSettings, out: Path, **options: Any) -> RunDirectory:
    return train_grid(settings, out, batch_sizes=SIZES, learning_rates=RATES, **options)


def _stamps(out: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.name != ".lock"}


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory, settings: RunSettings) -> Path:
    """A finished grid of four points; not to be changed."""
    return _grid(settings, tmp_path_factory.mktemp("searched") / "run").path


def test_the_papers_grid_is_the_default() -> None:
    assert BATCH_SIZES == (8, 16, 32)
    assert LEARNING_RATES == (1e-5, 2e-5, 3e-5, 4e-5, 5e-5)


def test_the_best_point_becomes_the_run(searched: Path) -> None:
    record = read_json(searched / "grid.json", "dimec train --grid")
    points = record["points"]
    assert [(p["batch_size"], p["learning_rate"]) for p in points] == [
        (size, rate) for size in SIZES for rate in RATES
    ]
    scores = []
    for point, name in zip(points, NAMES, strict=True):
        training = RunDirectory(searched / "grid" / name).training()
        scores.append(training["history"][training["best_epoch"]]["metric"][-1])
        assert point["score"] == scores[-1]
    assert len(set(scores)) > 1
    best = scores.index(max(scores))
    assert record["best"] == points[best]

    run, winner = Run(searched), RunDirectory(searched / "grid" / NAMES[best])
    assert run.training() == winner.training()
    assert run.settings().training.learning_rate == points[best]["learning_rate"]
    assert run.settings().training.batch_size == points[best]["batch_size"]
    for split in ("validation", "test"):
        assert len(run.trace(split)) == run.training()["rows"][split]
    for number, name in enumerate(NAMES):
        point_run = RunDirectory(searched / "grid" / name)
        assert point_run.model_path.exists() is (number == best)
        assert point_run.trace_path("test").exists() is (number == best)
        assert point_run.dynamics().epochs == 2


def test_the_run_can_be_fitted(settings: RunSettings, searched: Path, tmp_path: Path) -> None:
    run = Run(shutil.copytree(searched, tmp_path / "copy"))
    run.fit()
    assert run.evaluate(draws=10).row("dimec-fixed").shares["mobile"] <= 1


def test_started_again_it_trains_nothing(settings: RunSettings, searched: Path) -> None:
    before = _stamps(searched)
    assert _grid(settings, searched).path == searched
    assert _stamps(searched) == before


def test_it_goes_on_where_it_was(settings: RunSettings, searched: Path, tmp_path: Path) -> None:
    """A process killed after three points, while it threw a beaten one's weights away."""
    out = Path(shutil.copytree(searched, tmp_path / "run"))
    best = read_json(out / "grid.json", "")["best"]
    last = out / "grid" / NAMES[-1]
    assert (best["batch_size"], best["learning_rate"]) != (SIZES[-1], RATES[0])
    beaten = out / "grid" / NAMES[0]
    (beaten / ".model.given-up").mkdir()
    shutil.rmtree(last)
    for name in ("grid.json", "training.json", "config.toml", "data.sha256"):
        (out / name).unlink()
    for name in ("model", "dynamics"):
        shutil.rmtree(out / name)
    before = _stamps(beaten)
    run = _grid(settings, out)
    assert run.training()["model"] == RunDirectory(searched).training()["model"]
    assert read_json(out / "grid.json", "")["best"]["score"] == best["score"]
    assert not (beaten / ".model.given-up").exists()
    assert _stamps(beaten)[beaten / "training.json"] == before[beaten / "training.json"]


def test_a_directory_with_a_run_of_its_own_is_refused(
    settings: RunSettings, run_copy: Callable[..., Path]
) -> None:
    with pytest.raises(ConfigError, match="holds a run that is no grid"):
        _grid(settings, run_copy())


def test_a_run_that_took_a_grids_place_is_no_grid(
    settings: RunSettings, searched: Path, tmp_path: Path
) -> None:
    """Else the next grid would put its best point in the place of that run, unasked."""
    out = Path(shutil.copytree(searched, tmp_path / "run"))
    train_run(settings, out, overwrite=True)
    assert not (out / "grid").exists()
    with pytest.raises(ConfigError, match="holds a run that is no grid"):
        _grid(settings, out)


@pytest.mark.parametrize("written", [0, 1])
def test_stopped_while_the_best_is_put_in_place_it_is_still_a_grid(
    settings: RunSettings,
    searched: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    written: int,
) -> None:
    """Before its first JSON file at the top, and before its second."""
    out = tmp_path / "run"
    shutil.copytree(searched / "grid", out / "grid")
    left = [written]

    def write(path: Path, value: Any) -> None:
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1
        write_json(path, value)

    with monkeypatch.context() as patch:
        patch.setattr(grid, "write_json", write)
        with pytest.raises(KeyboardInterrupt):
            _grid(settings, out)
    assert _grid(settings, out).training() == RunDirectory(searched).training()


def test_an_empty_grid_is_refused(settings: RunSettings, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="at least one batch size"):
        train_grid(settings, tmp_path / "run", batch_sizes=())
    assert not (tmp_path / "run").exists()


def test_the_command_takes_up_a_grid(
    settings: RunSettings, tmp_path: Path, cli: Callable[..., Said]
) -> None:
    """``dimec train --grid`` where 14 of the paper's 15 points are trained and beaten already."""
    out = tmp_path / "run"
    for size in BATCH_SIZES:
        for rate in LEARNING_RATES:
            training = settings.training.model_copy(
                update={"batch_size": size, "learning_rate": rate}
            )
            point = RunDirectory(out / "grid" / f"bs{size:02d}-lr{rate:g}")
            if (size, rate) != (16, 2e-5):
                settings.model_copy(update={"training": training}).save(point.config_path)
                epoch = {"metric": [0.0] * 3, "seconds": 1.0, "validation_seconds": 1.0}
                keys = ("model", "task", "source", "backbone", "exits", "rows", "seed", "versions")
                known = dict.fromkeys(keys, "")
                write_json(point.training_path, known | {"best_epoch": 0, "history": [epoch]})
    settings.save(tmp_path / "settings.toml")
    said = cli("train", "--config", tmp_path / "settings.toml", "--out", out, "--grid")
    assert said.code == 0, said.err
    assert f"trained {out}" in said.out
    best = read_json(out / "grid.json", "")["best"]
    assert (best["batch_size"], best["learning_rate"]) == (16, 2e-5)
    assert best["score"] > 0
