"""Training the runs of a plan: once, side by side, and after a kill."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dimec.base.errors import ConfigError, TrainingFailedError
from dimec.base.storage import atomic_write
from dimec_studies.plan import Plan
from dimec_studies.runs import RunSpec
from support.plans import tiny_plan, workshop_of


def specs_of(*seeds: int) -> list[RunSpec]:
    return [RunSpec("some", "joint", seed) for seed in seeds]


def test_a_run_is_trained_once(tiny_backbone: Path, tiny_reviews: Path, tmp_path: Path) -> None:
    workshop = workshop_of(tiny_plan(tiny_backbone, tiny_reviews), tmp_path)
    (run,) = workshop.train(specs_of(0))
    assert run.path == tmp_path / "some-joint-seed0"
    record = run.training()
    assert record["rows"]["train"] == 120
    assert record["exits"] == [1, 2, 3, 4]
    before = run.training_path.stat().st_mtime_ns
    workshop.train(specs_of(0))
    assert run.training_path.stat().st_mtime_ns == before


def test_runs_side_by_side_are_those_in_turn(
    tiny_backbone: Path, tiny_reviews: Path, tmp_path: Path
) -> None:
    plan = tiny_plan(tiny_backbone, tiny_reviews)
    several = workshop_of(plan, tmp_path / "several", workers=2).train(specs_of(0, 1))
    alone = workshop_of(plan, tmp_path / "alone").train(specs_of(0, 1))
    for one, other in zip(several, alone, strict=True):
        assert one.training()["history"][-1]["loss"] == pytest.approx(
            other.training()["history"][-1]["loss"], rel=1e-4
        )
        assert one.settings() == other.settings()
    # Neither logs nor settings are left beside the runs.
    assert sorted(path.name for path in (tmp_path / "several").iterdir()) == [
        "some-joint-seed0",
        "some-joint-seed1",
    ]


def test_a_folder_with_a_run_of_other_settings_is_refused(
    tiny_backbone: Path, tiny_reviews: Path, tmp_path: Path
) -> None:
    plan = tiny_plan(tiny_backbone, tiny_reviews)
    workshop_of(plan, tmp_path).train(specs_of(0))
    with pytest.raises(ConfigError, match=r"training.epochs: 2 here, 3 there.*another --out"):
        workshop_of(plan.changed(epochs=3), tmp_path).train(specs_of(0))


def test_the_last_words_of_a_training_that_failed_are_passed_on(
    tiny_backbone: Path, tmp_path: Path
) -> None:
    reviews = tmp_path / "reviews.csv"
    atomic_write(reviews, "text,label\ngood,1\nfine,1\n")
    workshop = workshop_of(tiny_plan(tiny_backbone, reviews), tmp_path / "runs", workers=2)
    with pytest.raises(TrainingFailedError, match=r"some-joint-seed0 failed: dimec: .*one class"):
        workshop.train(specs_of(0))


def test_without_a_worker_nothing_is_trained(
    tiny_backbone: Path, tiny_reviews: Path, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="at least 1 worker, got 0"):
        workshop_of(tiny_plan(tiny_backbone, tiny_reviews), tmp_path, workers=0).train(specs_of(0))


def test_an_interrupted_reproduction_goes_on(
    tiny_backbone: Path, tiny_reviews: Path, tmp_path: Path
) -> None:
    """Ctrl-C amid two trainings: both end, their finished epochs stay, and the next call ends."""
    plan = tiny_plan(
        tiny_backbone, tiny_reviews, training={"epochs": 12, "patience": 0, "precision": "fp32"}
    )
    program = (
        "import sys; from pathlib import Path; sys.path.insert(0, sys.argv[1])\n"
        "from support.plans import workshop_of; from dimec_studies.plan import Plan\n"
        "from dimec_studies.runs import RunSpec\n"
        "plan = Plan.model_validate_json(Path(sys.argv[2]).read_text())\n"
        "workshop_of(plan, Path(sys.argv[3]), 2).train("
        "[RunSpec('some', 'joint', seed) for seed in (0, 1)])\n"
    )
    saved, runs = tmp_path / "plan.json", tmp_path / "runs"
    atomic_write(saved, plan.model_dump_json())
    command = [sys.executable, "-c", program, str(Path(__file__).parents[1]), str(saved), str(runs)]
    process = subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, preexec_fn=_take_interrupts
    )
    folders = [runs / f"some-joint-seed{seed}" for seed in (0, 1)]
    deadline = time.monotonic() + 120
    while not all(list(folder.glob("checkpoint/*")) for folder in folders):
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    assert "KeyboardInterrupt" in process.communicate(timeout=60)[1]
    assert not any((folder / "training.json").exists() for folder in folders)
    # One after the other now, in this process: how many train side by side is no part of a run.
    same = Plan.of(plan.model_dump())
    done = workshop_of(same, runs, workers=1).train(specs_of(0, 1))
    assert [len(run.training()["history"]) for run in done] == [12, 12]


def _take_interrupts() -> None:
    """A shell that runs the tests in the background lets its children ignore Ctrl-C."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.setpgid(0, 0)
