"""Two processes under ``accelerate launch`` against one, each as on a machine of its own."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dimec
from dimec.runs.run import Run
from dimec.settings.run import RunSettings
from support.classifiers import save_with_tokenizer
from support.tiny import environment, make_backbone, reviews, write_reviews

MACHINES = Path(__file__).resolve().parents[2] / "deploy" / "training" / "machines.yaml"
# Full batches of 16 and one of a single row, which leaves the second process without any.
TRAIN_ROWS = {"joint": 193, "two-stage": 193, "own": 33}


RECIPES = tuple(TRAIN_ROWS)
# All recipes in one launch: four processes less that begin with importing torch.
_TRAIN_EACH = """
import sys
from dimec.cli import main
folder, *recipes = sys.argv[1:]
for recipe in recipes:
    settings, out = f"{folder}/{recipe}/settings.toml", f"{folder}/{recipe}/two"
    sys.argv = ["dimec", "train", "--config", settings, "--out", out]
    try:
        main()
    except SystemExit as end:
        if end.code:
            raise
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """For each recipe a folder with a run of one process, ``one``, and of two, ``two``.

    Of tiers with a model each one is a student, one was fine-tuned elsewhere, and one is the
    student's teacher.
    """
    folder = tmp_path_factory.mktemp("processes")
    # Without dropout, because each process draws its own.
    values = {
        "task": f"csv:{write_reviews(folder / 'reviews.csv', reviews(260))}",
        "head_dropout": 0.0,
        "epochs": 2,
        "batch_size": 16,
        "learning_rate": 1e-3,
        "max_tokens": 32,
        "precision": "fp32",
        "record_train": True,
        "seed": 1,
    }
    backbone = str(make_backbone(folder / "backbone", dropout=0.0))
    theirs = save_with_tokenizer(folder / "theirs", "bert", ("positive", "negative"))
    tiers = [
        {"name": "phone", "model": backbone, "layer": 1},
        {"name": "edge", "model": f"hf:{theirs}"},
        {"name": "cloud", "model": backbone, "layer": 2},
    ]
    one_model = {"backbone": backbone, "exits": (1, 2, 4)}
    a_model_each = {"tier": tiers, "student_epochs": 2, "hidden_weight": 0.1}
    for recipe in RECIPES:
        own: dict[str, Any] = dict(a_model_each if recipe == "own" else one_model)
        own |= {"recipe": recipe, "max_train_rows": TRAIN_ROWS[recipe]}
        one = dimec.train(**values, **own, out=folder / recipe / "one")  # type: ignore[arg-type]
        settings = RunSettings.load(one.config_path)
        in_parts = settings.training.model_copy(update={"accumulate": 3})
        settings = settings.model_copy(update={"training": in_parts})
        settings.save(folder / recipe / "settings.toml")
    script = folder / "train_each.py"
    script.write_text(_TRAIN_EACH)
    done = [_finish(process) for process in _launch(script, folder)]
    assert [code for code, _, _ in done] == [0, 0], done
    said = [line for _, out, _ in done for line in out.splitlines() if "next: dimec fit" in line]
    assert len(said) == len(RECIPES), "one process speaks for all"
    return folder


def _launch(script: Path, folder: Path) -> list[subprocess.Popen[str]]:
    """The launchers of two machines with a process each, by the configuration of the docs."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--config_file", str(MACHINES)]
    launch += ["--num_processes", "2", "--main_process_ip", "127.0.0.1"]
    launch += ["--main_process_port", str(port), "--machine_rank"]
    hidden = environment(CUDA_VISIBLE_DEVICES="")  # gloo on processors, wherever this runs
    return [
        subprocess.Popen(
            [*launch, str(rank), str(script), str(folder), *RECIPES],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=hidden,
        )
        for rank in range(2)
    ]


def _finish(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Its exit code and what it said."""
    try:
        out, error = process.communicate(timeout=240)
    finally:
        process.kill()
    return process.returncode, out, error


@pytest.mark.parametrize("recipe", RECIPES)
def test_two_processes_give_the_dynamics_of_one(trained: Path, recipe: str) -> None:
    one, two = Run(trained / recipe / "one"), Run(trained / recipe / "two")
    record, wanted = two.training(), one.training()
    assert record["processes"] == 2
    assert wanted["processes"] == 1
    assert record["rows"]["train"] == TRAIN_ROWS[recipe]
    assert TRAIN_ROWS[recipe] % 16 == 1
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
