"""Training is measured beside a program and alone, with either way to wait."""

from __future__ import annotations

import sys
from typing import Any

import psutil
import pytest
from benchmarks.busy import LOOP, Sizes, run, train
from benchmarks.harness import Measured, in_fresh_process

from benchmarks import busy


@pytest.mark.skipif(sys.platform != "linux", reason="GNU's OpenMP is torch's on Linux")
@pytest.mark.parametrize(("looks", "told"), [(None, "1000"), (LOOP, LOOP)])
def test_threads_wait_as_they_are_told(looks: str | None, told: str) -> None:
    found = in_fresh_process(train, steps=1, batch_size=1, seed=0, looks=looks).value
    assert found["looks"] == told
    assert found["rate"] > 0


def test_a_ratio_is_that_of_one_turn_and_the_program_is_there_for_its_part_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rates = iter([50.0, 40.0, 30.0, 3.0, 20.0, 40.0, 10.0, 2.0])
    seen: list[tuple[bool, bool]] = []

    def measured(function: Any, looks: str | None, **words: int) -> Measured:
        assert (function, words) == (train, {"steps": 7, "batch_size": 5, "seed": 3})
        lines = [child.cmdline() for child in psutil.Process().children()]
        seen.append((any(busy._LOOP_OF_ITS_OWN in line for line in lines), looks == LOOP))
        return Measured({"rate": next(rates)}, 0)

    monkeypatch.setattr(busy, "in_fresh_process", measured)
    result = run(Sizes(steps=7, batch_size=5, repeats=2), 3)
    turn = [(False, False), (False, True), (True, False), (True, True)]
    assert seen == turn * 2
    figures = {one.name: (one.value, one.low, one.high, one.goal) for one in result.figures}
    assert figures["waiting in a loop: beside a program"] == (2.5, 2.0, 3.0, None)
    assert figures["asleep / in a loop: alone"] == (0.875, 0.5, 1.25, 0.85)
    assert figures["asleep / in a loop: beside a program"] == (7.5, 5.0, 10.0, 3.0)
