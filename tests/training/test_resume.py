"""Kill real training processes and compare with a run that nobody disturbed."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dimec.base.storage import load_arrays, read_json, save_arrays
from dimec.runs.run import Run
from dimec.traces.trace import Trace
from support.tiny import FAST, Said, command, environment, reviews, write_reviews
from support.warm import WarmProcess, warm_dimec

EPOCHS = 5


@pytest.fixture(scope="module")
def options(tmp_path_factory: pytest.TempPathFactory, tiny_backbone: Path) -> list[str]:
    """A run of five epochs that take most of a second each, dropout on."""
    table = write_reviews(tmp_path_factory.mktemp("long") / "reviews.csv", reviews(1000))
    source = ["--task", f"csv:{table}", "--backbone", str(tiny_backbone), "--seed", "3"]
    return [*source, *FAST, "--epochs", str(EPOCHS), "--patience", "9"]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, options: list[str]) -> Run:
    out = tmp_path_factory.mktemp("undisturbed") / "run"
    said = warm_dimec("train", *options, "--out", out)
    assert said.code == 0, said.err
    return Run(out)


@contextmanager
def training(out: Path, options: list[str]) -> Iterator[WarmProcess]:
    """A training process, killed at the end of the block unless it has ended by then."""
    with open(os.devnull, "wb") as quiet:  # noqa: PTH123
        process = WarmProcess(
            ["train", *options, "--out", out],
            env=environment(),
            stdout=quiet.fileno(),
            stderr=quiet.fileno(),
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def _wait_for(path: Path, process: WarmProcess | subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + 120
    while not path.exists():
        assert process.poll() is None, f"training ended before it wrote {path.name}"
        assert time.monotonic() < end, f"no {path.name} after two minutes"
        time.sleep(0.001)


def _assert_same(run: Run, other: Run) -> None:
    """The same model, traces, dynamics and history, to the last bit."""
    mine, theirs = run.training(), other.training()
    for epoch in (*mine["history"], *theirs["history"]):
        del epoch["seconds"], epoch["validation_seconds"]
    assert mine["history"] == theirs["history"]
    assert mine["best_epoch"] == theirs["best_epoch"]
    assert mine["model"] == theirs["model"]
    for split in ("validation", "test"):
        trace, wanted = run.trace(split), other.trace(split)
        assert np.array_equal(trace.probabilities, wanted.probabilities)
        assert np.array_equal(trace.embeddings, wanted.embeddings)
        assert trace.guids == wanted.guids
    assert np.array_equal(run.dynamics().logits, other.dynamics().logits)


def _kill_at(out: Path, options: list[str], moments: list[tuple[str, Path, float]]) -> None:
    """Train, and kill at each moment: so many seconds after a file has come to stand there."""
    done: list[int] = []
    for moment, sign, later in moments:
        with training(out, options) as process:
            _wait_for(sign, process)
            time.sleep(later)
            process.send_signal(signal.SIGKILL)
            assert process.wait() == -signal.SIGKILL, moment
        assert not (out / "training.json").exists(), moment
        # No finished epoch is lost: the checkpoints of a stage never go back.
        folders = [out / "checkpoint", out / "checkpoint" / "stage-2"]
        epochs = [
            max((int(path.stem[-4:]) for path in folder.glob("epoch-*")), default=0)
            for folder in folders
        ]
        assert epochs >= done, moment
        done = epochs


def test_a_run_killed_at_four_moments_ends_like_one_that_was_not(
    tmp_path: Path, options: list[str], undisturbed: Run
) -> None:
    out = tmp_path / "killed"
    kept = out / "checkpoint"
    moments: list[tuple[str, Path, float]] = [
        ("between two epochs", kept / "epoch-0001.safetensors", 0.0),
        ("in the middle of the third epoch", kept / "epoch-0002.safetensors", 0.3),
        ("between an epoch's logits and its checkpoint", kept / "logits-0003.safetensors", 0.0),
        ("between the traces and the end", out / "trace-validation.safetensors", 0.0),
    ]
    _kill_at(out, options, moments)
    said = warm_dimec("train", *options, "--out", out)
    assert said.code == 0, said.err
    assert f"after epoch {EPOCHS} of {EPOCHS}" in said.err
    _assert_same(Run(out), undisturbed)
    assert not kept.exists()
    assert not list(out.glob(".*.tmp"))


def test_two_stages_killed_in_each_and_between_them_end_like_those_that_were_not(
    tmp_path: Path, options: list[str]
) -> None:
    more = ["--recipe", "two-stage", "--record-train", "--epochs", "2"]
    whole, out = tmp_path / "whole", tmp_path / "killed"
    assert warm_dimec("train", *options, *more, "--out", whole).code == 0
    kept = out / "checkpoint"
    moments: list[tuple[str, Path, float]] = [
        ("in the first stage", kept / "epoch-0001.safetensors", 0.1),
        ("between the stages", kept / "epoch-0002.safetensors", 0.0),
        ("before the second stage's first checkpoint", kept / "stage-2/logits-0000.safetensors", 0),
        ("in the second stage", kept / "stage-2/epoch-0001.safetensors", 0.1),
        ("after the last epoch", out / "trace-validation.safetensors", 0.0),
    ]
    _kill_at(out, [*options, *more], moments)
    said = warm_dimec("train", *options, *more, "--out", out)
    assert said.code == 0, said.err
    assert "after stage 2, epoch 2 of 2" in said.err
    assert "stage 2, epoch" in said.out
    run, wanted = Run(out), Run(whole)
    _assert_same(run, wanted)
    assert run.training()["stages"] == wanted.training()["stages"]
    assert np.array_equal(run.dynamics("train").logits, wanted.dynamics("train").logits)
    assert not kept.exists()


def test_a_run_begun_before_there_were_recipes_goes_on(
    tmp_path: Path, options: list[str], undisturbed: Run
) -> None:
    """Its settings and its checkpoint's history lack what has been added since."""
    out = tmp_path / "old"
    with training(out, options) as process:
        _wait_for(out / "checkpoint" / "epoch-0002.safetensors", process)
        process.kill()
    lines = (out / "config.toml").read_text().splitlines()
    added = ("loss = ", "recipe = ", "record_train = ")
    old = [line for line in lines if not line.startswith(added)]
    assert len(lines) - len(old) == len(added)
    (out / "config.toml").write_text("\n".join(old) + "\n")
    path = max((out / "checkpoint").glob("epoch-*"))
    arrays, metadata = load_arrays(path, "checkpoint", "")
    for epoch in metadata["record"]:
        del epoch["stage"]
    save_arrays(path, "checkpoint", arrays, metadata)
    said = warm_dimec("train", *options, "--out", out)
    assert said.code == 0, said.err
    assert "resuming" in said.err
    _assert_same(Run(out), undisturbed)


def test_ctrl_c_says_that_the_work_is_kept(tmp_path: Path, options: list[str]) -> None:
    out = tmp_path / "stopped"
    arguments = command("train", *options, "--out", out)
    pipe = subprocess.PIPE
    process = subprocess.Popen(arguments, stdout=pipe, stderr=pipe, env=environment())
    _wait_for(out / "checkpoint" / "epoch-0001.safetensors", process)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    err = said.decode()
    assert err.splitlines()[-1] == (
        "dimec: stopped; finished work is kept, the same command goes on from there"
    )
    assert "Traceback" not in err
    assert (out / "checkpoint" / "epoch-0001.safetensors").exists()


def test_a_run_directory_in_use_is_refused_and_so_is_an_altered_checkpoint(
    tmp_path: Path, options: list[str], cli: Callable[..., Said]
) -> None:
    # So many epochs that it cannot end while others ask, however slow they are.
    options = [*options, "--epochs", "200", "--patience", "200"]
    out = tmp_path / "busy"
    with training(out, options) as process:
        _wait_for(out / "checkpoint" / "epoch-0001.safetensors", process)
        line = cli("train", *options, "--out", out).complaint()
        assert f"{out} is in use by another dimec process" in line
        assert "in use" in cli("fit", out).complaint()
        assert "in use" in cli("train", *options, "--out", out, "--overwrite").complaint()
        assert process.poll() is None
    # The lock goes with the process, however it ends.
    assert "does not exist" in cli("fit", out).complaint()

    path = max((out / "checkpoint").glob("epoch-*"))
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    line = cli("train", *options, "--out", out).complaint()
    assert path.name in line
    assert "altered" in line


def _train_again(run: Path) -> list[str]:
    return ["train", "--config", str(run / "config.toml"), "--out", str(run)]


def _files(run: Path) -> dict[Path, tuple[int, bytes]]:
    paths = [path for path in run.rglob("*") if path.is_file() and path.name != ".lock"]
    return {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in paths}


class TestAFinishedRun:
    def test_it_is_taken_as_it_is(
        self, run_copy: Callable[..., Path], cli: Callable[..., Said]
    ) -> None:
        run = run_copy()
        before = _files(run)
        said = cli(*_train_again(run))
        assert said.code == 0
        assert "is trained already" in said.err
        assert _files(run) == before

    @pytest.mark.parametrize("damage", ["removed", "truncated", "altered"])
    def test_a_trace_that_is_missing_or_damaged_is_recorded_again(
        self,
        run_copy: Callable[..., Path],
        finished_run: Path,
        cli: Callable[..., Said],
        damage: str,
    ) -> None:
        run = run_copy()
        before = _files(run)
        path = run / "trace-test.safetensors"
        content = bytearray(path.read_bytes())
        if damage == "removed":
            path.unlink()
        elif damage == "truncated":
            path.write_bytes(content[:-100])
        else:
            content[-1] ^= 1
            path.write_bytes(content)
        said = cli(*_train_again(run))
        assert said.code == 0, said.err
        assert "recording the test trace again" in said.err
        after = _files(run)
        after.pop(path), before.pop(path)
        assert after == before
        trace, wanted = Trace.load(path), Trace.load(finished_run / path.name)
        for field in fields(Trace):
            np.testing.assert_equal(getattr(trace, field.name), getattr(wanted, field.name))

    def test_altered_weights_are_refused(
        self, run_copy: Callable[..., Path], cli: Callable[..., Said]
    ) -> None:
        run = run_copy()
        weights = run / "model" / "model.safetensors"
        content = bytearray(weights.read_bytes())
        content[-1] ^= 1
        weights.write_bytes(content)
        line = cli(*_train_again(run)).complaint()
        assert "missing or altered" in line
        assert "--overwrite" in line

    def test_other_settings_are_refused_by_name(
        self, run_copy: Callable[..., Path], cli: Callable[..., Said]
    ) -> None:
        run = run_copy()
        before = _files(run)
        line = cli(*_train_again(run), "--batch-size", "32", "--seed", "5").complaint()
        assert "--batch-size: 16 here, 32 there" in line
        assert "seed: 0 here, 5 there" in line
        assert "learning_rate" not in line
        assert _files(run) == before

    def test_data_that_changed_since_are_refused(
        self, tmp_path: Path, tiny_backbone: Path, cli: Callable[..., Said]
    ) -> None:
        table, out = tmp_path / "reviews.csv", tmp_path / "run"
        rows = reviews(60)
        write_reviews(table, rows)
        source = ["--task", f"csv:{table}", "--backbone", str(tiny_backbone)]
        options = [*source, *FAST, "--epochs", "2", "--out", str(out)]
        assert cli("train", *options).code == 0
        write_reviews(table, [(rows[0][0] + "!", rows[0][1]), *rows[1:]])
        assert f"the rows of csv:{table} have changed" in cli("train", *options).complaint()
        write_reviews(table, rows)
        assert "is trained already" in cli("train", *options).err

    def test_overwrite_trains_anew_and_keeps_what_is_not_ours(
        self, run_copy: Callable[..., Path], cli: Callable[..., Said]
    ) -> None:
        run = run_copy()
        (run / "notes.txt").write_text("mine")
        said = cli(*_train_again(run), "--epochs", "2", "--overwrite")
        assert said.code == 0, said.err
        assert len(Run(run).training()["history"]) == 2
        assert (run / "notes.txt").read_text() == "mine"
        for name in ("fit.json", "policy.json", "policy.safetensors", "report"):
            assert not (run / name).exists()

    def test_overwrite_with_a_wrong_setting_discards_nothing(
        self, run_copy: Callable[..., Path], cli: Callable[..., Said]
    ) -> None:
        run = run_copy()
        before = _files(run)
        assert (
            "layers 1 to 4"
            in cli(*_train_again(run), "--exits", "1,2,9", "--overwrite").complaint()
        )
        assert _files(run) == before

    def test_a_run_without_its_settings_is_refused(
        self, run_copy: Callable[..., Path], cli: Callable[..., Said], tmp_path: Path
    ) -> None:
        run = run_copy()
        (run / "config.toml").rename(tmp_path / "config.toml")
        line = cli("train", "--config", tmp_path / "config.toml", "--out", run).complaint()
        assert "without its config.toml" in line


def test_early_stopping_is_written_down(finished_run: Path) -> None:
    record: dict[str, Any] = read_json(finished_run / "training.json", "dimec train")
    assert [epoch["epoch"] for epoch in record["history"]] == list(range(len(record["history"])))
    scores = [(e["metric"][-1], -e["validation_loss"][-1]) for e in record["history"]]
    assert record["best_epoch"] == scores.index(max(scores))
