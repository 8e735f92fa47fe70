"""``dimec join``: traces of several models in one file."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from dimec.traces.trace import Trace
from support.builders import make_trace
from support.joined import recoded, shuffled
from support.tiny import Said

Cli = Callable[..., Said]


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """Traces of a small model and of a large one, which lacks three of its samples."""
    small = make_trace(8)
    large = make_trace(8, exits=(6, 12), tiers=(12,), seed=1, labels=small.labels, model="f" * 64)
    small_file, large_file = tmp_path / "small=1.safetensors", tmp_path / "large.safetensors"
    small.save(small_file)
    recoded(shuffled(large, np.array([7, 1, 0, 5, 3])), [1, 0]).save(large_file)
    return small_file, large_file


def test_it_writes_one_trace_of_both_models(
    files: tuple[Path, Path], cli: Cli, tmp_path: Path
) -> None:
    small, large = files
    out = tmp_path / "new folder" / "both.safetensors"
    words = ["join", f"phone={small}", f"dc={large}", "--out", out, "--common"]
    said = cli(*words)
    assert said.code == 0, said.err
    trace = Trace.load(out)
    assert trace.guids == ("test-0", "test-1", "test-3", "test-5", "test-7")
    assert (trace.sources, trace.exits) == (("phone",) * 3 + ("dc",) * 2, (2, 4, 6, 6, 12))
    assert trace.models == {"phone": Trace.load(small).model, "dc": "f" * 64}
    accuracy = 100 * trace.correct.mean(axis=0)[trace.column(6, "dc")]
    lines = said.out.splitlines()
    assert lines[0] == f"{out}: 5 samples of glue/sst2, 5 exits of 2 models"
    assert lines[1] == "  phone: left out 3 samples that are not in all traces"
    assert f"  dc exit 6: accuracy {accuracy:.1f} %" in lines
    assert len(lines) == 7

    shown = json.loads(cli(*words, "--json").out)
    assert (shown["samples"], shown["left_out"]) == (5, {"phone": 3, "dc": 0})
    assert shown["model"] == trace.model
    assert [(exit_["source"], exit_["exit"]) for exit_ in shown["exits"]] == list(
        zip(trace.sources, trace.exits, strict=True)
    )


def test_what_cannot_be_joined_is_refused_and_leaves_nothing(
    files: tuple[Path, Path], cli: Cli, tmp_path: Path
) -> None:
    small, large = files
    out = tmp_path / "both.safetensors"
    both = (f"phone={small}", f"dc={large}")
    line = cli("join", *both, "--out", out).complaint()
    assert line.endswith("keep those in all of them with --common")
    assert "'dc' lacks 3 of the samples of 'phone', the first is 'test-2'" in line
    for words, message in (
        ([both[0], str(large)], "expected NAME=FILE for each trace, got"),
        ([both[0], f"={large}"], "expected NAME=FILE for each trace, got"),
        ([both[0], "dc="], "expected NAME=FILE for each trace, got 'dc='"),
        ([both[0], f"phone={large}"], "two traces are called 'phone'"),
        ([both[0], f"my dc={large}"], "the name of a source must be"),
        ([both[0]], "two or more traces"),
        ([both[0], f"dc={tmp_path}"], f"{tmp_path} is a folder; give the file of a trace"),
        ([both[0], f"dc={tmp_path / 'x'}"], f"{tmp_path / 'x'} does not exist"),
    ):
        assert message in cli("join", *words, "--out", out, "--common").complaint()
    assert not out.exists()
    before = large.read_bytes()
    line = cli("join", *both, "--common", "--out", large).complaint()
    assert "is one of the traces to join" in line
    assert large.read_bytes() == before
