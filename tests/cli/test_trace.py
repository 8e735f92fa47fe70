"""``dimec trace``: another task's rows through a trained model."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from dimec.traces.trace import Trace
from support.tiny import Said, reviews, write_reviews

Cli = Callable[..., Said]


@pytest.fixture
def other(tmp_path: Path) -> str:
    path = write_reviews(tmp_path / "other rows.csv", reviews(40, seed=8), ("review", "mood"))
    return f"csv:{path}"


def test_it_writes_a_trace_that_any_policy_can_replay(
    run_copy: Callable[..., Path], other: str, cli: Cli
) -> None:
    run = run_copy()
    columns = ("--text-column", "review", "--label-column", "mood")
    said = cli("trace", "record", run, "--task", other, *columns)
    assert said.code == 0, said.err
    target = run / "streams" / "other-rows-all.safetensors"
    assert f"{target}: 40 rows of" in said.out
    assert "exit 4: accuracy" in said.out
    trace = Trace.load(target)
    assert (len(trace), trace.split) == (40, "stream")

    out = run.parent / "some.safetensors"
    words = ["--rows", "test", "--out", out, "--seed", "2", "--json"]
    said = cli("trace", "record", run, "--task", other, *columns, *words)
    shown = json.loads(said.out)
    assert shown["samples"] == len(Trace.load(out)) == 4
    assert list(shown["accuracy"]) == ["0", "1", "2", "4"]


def test_what_cannot_be_traced_is_refused_and_leaves_nothing(
    run_copy: Callable[..., Path], other: str, cli: Cli, tmp_path: Path
) -> None:
    run = run_copy()
    line = cli("trace", "record", run, "--task", other).complaint()
    assert "text" in line
    wrong = write_reviews(tmp_path / "wrong.csv", [("good", "yes"), ("bad", "no")])
    line = cli("trace", "record", run, "--task", f"csv:{wrong}").complaint()
    assert "has the labels no, yes" in line
    assert (
        "rows is 'some'"
        in cli("trace", "record", run, "--task", f"csv:{wrong}", "--rows", "some").complaint()
    )
    words = ("trace", "record", run, "--task", f"csv:{wrong}", "--engine", "spark")
    assert "--engine: expected torch or local or ray, got 'spark'" in cli(*words).complaint()
    rows = [(text, "and so on", label) for text, label in reviews(6)]
    pairs = write_reviews(tmp_path / "pairs.csv", rows, ("text", "other", "label"))
    words = ("trace", "record", run, "--task", f"csv:{pairs}", "--pair-column", "other")
    for engine in ("torch", "local"):
        line = cli(*words, "--engine", engine).complaint()
        assert "takes one text, and the rows of csv:" in line
        assert line.endswith(
            "name the columns with --text-column and --pair-column, or give other rows"
        )
    assert not (run / "streams").exists()
