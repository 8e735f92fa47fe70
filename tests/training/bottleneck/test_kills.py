"""A bottleneck's training, interrupted and killed: it goes on, and ends like one that was not."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dimec.base.errors import MissingArtefactError
from dimec.runs.bottleneck import Objective
from dimec.runs.run import Run
from dimec.training.bottleneck.files import BottleneckFolder
from dimec.training.bottleneck.train import BottleneckSettings, bottleneck_traces, train_bottleneck
from support.listeners import Heard, Killed
from support.tiny import environment
from support.warm import WarmProcess

FAST = BottleneckSettings(width=3, bits=4, epochs=2)


def _assert_same(folder: Path, other: Path) -> None:
    """The same weights, traces and history, to the last bit."""
    records = [BottleneckFolder(path).record() for path in (folder, other)]
    for record in records:
        for epoch in record["history"]:
            del epoch["seconds"], epoch["validation_seconds"]
    assert records[0] == records[1]
    for one, two in zip(bottleneck_traces(folder), bottleneck_traces(other), strict=True):
        assert np.array_equal(one.probabilities, two.probabilities)
        assert np.array_equal(one.extra["code_bytes"], two.extra["code_bytes"])


@pytest.mark.parametrize("objective", ["task", "distil"])
def test_interrupted_at_every_stage_it_ends_like_one_that_was_not(
    run_copy: Callable[..., Path], objective: Objective
) -> None:
    settings = replace(FAST, objective=objective, train_tail=True, epochs=4)
    one, two = Run(run_copy("one")), Run(run_copy("two"))
    wanted = train_bottleneck(one, settings)
    moments = ["epoch 1 of 4", "epoch 1, validation", "epoch 2 of 4", "epoch 3 of 4"]
    moments += ["epoch 3, validation", "epoch 4 of 4"]
    moments += ["recording the validation trace", "recording the test trace"]
    for moment in moments:
        with pytest.raises(KeyboardInterrupt):
            train_bottleneck(two, settings, progress=Killed(moment))
        with pytest.raises(MissingArtefactError, match=r"bottleneck\.json"):
            bottleneck_traces(two.path / settings.for_tiers((1, 2, 4)).folder_name)
    heard = Heard()
    folder = train_bottleneck(two, settings, progress=heard)
    assert any("after epoch 4 of 4" in line for line in heard.said)
    _assert_same(folder, wanted)
    assert not (folder / "checkpoint").exists()
    assert not list(folder.glob(".*.tmp"))


def test_a_killed_process_loses_no_finished_epoch(run_copy: Callable[..., Path]) -> None:
    settings = BottleneckSettings(width=3, bits=4, epochs=4, batch_size=6, train_tail=True)
    one, two = Run(run_copy("one")), Run(run_copy("two"))
    folder = two.path / "bottleneck-1-3-4-task-tail"
    words = ["bottleneck", str(two.path), "--width", "3", "--bits", "4", "--epochs", "4"]
    words += ["--batch-size", "6", "--train-tail"]
    with open(os.devnull, "wb") as quiet:  # noqa: PTH123
        stream = quiet.fileno()
        process = WarmProcess(words, env=environment(), stdout=stream, stderr=stream)
    try:
        end = time.monotonic() + 120
        while not (folder / "checkpoint" / "epoch-0001.safetensors").exists():
            assert process.poll() is None, "it ended before its first epoch did"
            assert time.monotonic() < end, "no epoch after two minutes"
            time.sleep(0.001)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    finally:
        process.kill()
        process.wait()
    assert not (folder / "bottleneck.json").exists()
    heard = Heard()
    assert train_bottleneck(two, settings, progress=heard) == folder
    assert any("resuming" in line for line in heard.said)
    _assert_same(folder, train_bottleneck(one, settings))
