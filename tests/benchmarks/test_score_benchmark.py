"""The benchmark of much text, small: what it measures and what it holds against each other."""

from __future__ import annotations

from pathlib import Path

import pytest
from benchmarks.harness import Measured

from benchmarks import bundles, score


def test_turns_and_processes_of_a_small_run(
    finished_run: Path, monkeypatch: pytest.MonkeyPatch, one_trace: None
) -> None:
    """In this process, where a trace of the model may be at hand; the command's are its own."""
    source = {"tiers": [], "exits": [1, 2, 4], "backbone": "tiny", "train_rows": 1, "task": "x"}
    source |= {"tokens_mean": 9.0, "tokens_max": 20}
    made = bundles.Scene(finished_run, str(finished_run / "model"), source)
    monkeypatch.setattr(score, "scene", lambda run, seed: made)
    monkeypatch.setattr(
        score, "in_fresh_process", lambda function, **given: Measured(function(**given), 0)
    )
    found = score.run(score.Sizes(texts=12, few=2, repeats=1, samples=30), 0)
    names = [figure.name for figure in found.figures]
    assert names[:6] == [f"{n}, rows a core" for n in found.runs["turns"]]
    goals = {figure.name: figure.goal for figure in found.figures if figure.goal}
    assert list(goals.values()) == [3.0, 1.8]
    assert next(iter(goals)).endswith(f" / {score.SMALL}")
    assert {name: len(spans) for name, spans in found.runs["processes"].items()} == {"1": 1, "2": 1}
    assert all(figure.value > 0 for figure in found.figures)
