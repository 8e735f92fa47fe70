"""Every policy's figures on two recorded traces are those that are written down.

A change of method, of a fit or of a price is seen here, whether or not it was meant.
"""

from __future__ import annotations

import pytest

from support.pinned import AGAIN, TRACES, figures, moved, pinned

TOLERANCE = 1e-9


@pytest.mark.parametrize("name", TRACES)
def test_no_figure_has_moved(name: str) -> None:
    if lines := moved(pinned()[name], figures(name), TOLERANCE):
        told = "\n  ".join(lines)
        pytest.fail(f"on {name} these moved:\n  {told}\nif they were meant to: {AGAIN}")


def test_what_moved_is_told_by_name() -> None:
    before = {"a": {"accuracy": 0.5, "cost": 2.0}, "b": {"accuracy": 0.25, "cost": 1.0}}
    now = {"a": {"accuracy": 0.5, "cost": 2.0 + 1e-6}, "c": {"accuracy": 1.0, "cost": 1.0}}
    lines = ["a: cost was 2.0, is 2.000001", "b is gone", "c is new"]
    assert moved(before, now, TOLERANCE) == lines
    assert moved(before, before, TOLERANCE) == []
    nothing = {"a": {"accuracy": float("nan"), "cost": 2.0}}
    assert moved({"a": before["a"]}, nothing, TOLERANCE) == ["a: accuracy was 0.5, is nan"]
