"""Training is measured beside a program and alone, with either way to wait."""

from __future__ import annotations

import sys

import pytest
from benchmarks.busy import LOOP, Sizes, run

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="GNU's OpenMP is torch's on Linux")


def test_each_way_to_wait_is_measured_at_each_place() -> None:
    result = run(Sizes(steps=1, batch_size=1, repeats=1), 0)
    looks = {name: measured[0]["looks"] for name, measured in result.runs.items()}
    assert looks == {
        "alone, asleep": "1000",
        "alone, in a loop": LOOP,
        "beside a program, asleep": "1000",
        "beside a program, in a loop": LOOP,
    }
    goals = {figure.name: figure.goal for figure in result.figures if figure.goal is not None}
    assert goals == {"asleep / in a loop: alone": 0.85, "asleep / in a loop: beside a program": 3.0}
    assert all(figure.value > 0 for figure in result.figures)
