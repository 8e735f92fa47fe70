"""Two processes under ``accelerate launch`` against one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import dimec
from dimec.runs.run import Run
from dimec.settings.run import RunSettings
from support.tiny import environment, make_backbone, reviews, write_reviews

# 12 full batches of 16 and one of a single row, which leaves the second process without any.
TRAIN_ROWS = 193


@pytest.mark.parametrize("recipe", ["joint", "two-stage"])
def test_two_processes_give_the_dynamics_of_one(tmp_path: Path, recipe: str) -> None:
    # Without dropout, because each process draws its own.
    values = {
        "task": f"csv:{write_reviews(tmp_path / 'reviews.csv', reviews(260))}",
        "backbone": str(make_backbone(tmp_path / "backbone", dropout=0.0)),
        "exits": (1, 2, 4),
        "head_dropout": 0.0,
        "epochs": 2,
        "batch_size": 16,
        "learning_rate": 1e-3,
        "max_tokens": 32,
        "max_train_rows": TRAIN_ROWS,
        "precision": "fp32",
        "recipe": recipe,
        "record_train": True,
        "seed": 1,
    }
    one = dimec.train(**values, out=tmp_path / "one")  # type: ignore[arg-type]
    settings = RunSettings.load(one.config_path)
    settings.save(tmp_path / "settings.toml")

    launch = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu"]
    launch += ["--num_machines", "1", "--num_processes", "2", "--main_process_port", "0"]
    launch += ["--mixed_precision", "no", "--dynamo_backend", "no", "-m", "dimec", "train"]
    launch += ["--config", str(tmp_path / "settings.toml"), "--out", str(tmp_path / "two")]
    hidden = environment(CUDA_VISIBLE_DEVICES="")  # gloo on processors, wherever this runs
    done = subprocess.run(
        launch, capture_output=True, text=True, check=False, timeout=240, env=hidden
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("next: dimec fit") == 1, "one process speaks for all"

    two = Run(tmp_path / "two")
    record, wanted = two.training(), one.training()
    assert record["processes"] == 2
    assert wanted["processes"] == 1
    assert record["rows"]["train"] == TRAIN_ROWS
    assert TRAIN_ROWS % 16 == 1
    assert record["best_epoch"] == wanted["best_epoch"]
    for epoch, other in zip(record["history"], wanted["history"], strict=True):
        assert np.isclose(epoch["loss"], other["loss"], rtol=1e-4)
    for recorded in ("validation", "train"):
        dynamics, reference = two.dynamics(recorded), one.dynamics(recorded)
        assert dynamics.guids == reference.guids
        assert dynamics.exits == reference.exits
        np.testing.assert_allclose(dynamics.logits, reference.logits, atol=1e-3)
        # The epochs differ by far more than that, so the agreement says something.
        assert np.abs(reference.logits[1] - reference.logits[0]).max() > 0.01
    for split in ("validation", "test"):
        trace, expected = two.trace(split), one.trace(split)
        np.testing.assert_allclose(trace.probabilities, expected.probabilities, atol=1e-3)
        np.testing.assert_allclose(trace.embeddings, expected.embeddings, atol=1e-3)
        assert trace.guids == expected.guids
