"""The trace: what it refuses, what it derives, and its file."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dimec.base.errors import (
    ArtefactError,
    ConfigError,
    CorruptArtefactError,
    DataError,
    MismatchError,
    MissingArtefactError,
)
from dimec.base.storage import save_arrays
from dimec.traces.trace import Trace
from support.builders import TraceFactory, make_trace, traces


def assert_same(one: Trace, two: Trace) -> None:
    """Every field is equal, arrays also in their type."""
    for field in fields(Trace):
        a, b = getattr(one, field.name), getattr(two, field.name)
        if isinstance(a, np.ndarray):
            assert a.dtype == b.dtype, field.name
            assert np.array_equal(a, b), field.name
        elif field.name != "extra":
            assert a == b, field.name
            assert type(a) is type(b), field.name
    assert one.extra.keys() == two.extra.keys()
    for name, column in one.extra.items():
        assert np.array_equal(column, two.extra[name])


# --- What it derives -----------------------------------------------------------------------------


@given(traces())
def test_predictions_confidences_and_correct_are_per_exit(trace: Trace) -> None:
    assert trace.predictions.dtype == np.int64
    assert trace.confidences.dtype == np.float64
    for i, sample in enumerate(trace.probabilities.tolist()):
        for x, classes in enumerate(sample):
            top = max(classes)
            assert trace.confidences[i, x] == top
            assert trace.predictions[i, x] == classes.index(top)
            assert trace.correct[i, x] == (classes.index(top) == trace.labels[i])


def test_equal_probabilities_predict_the_lower_code() -> None:
    third = np.full((1, 1, 3), 1 / 3, np.float32)
    trace = make_trace(1, classes=3, exits=(6,), tiers=(6, 6, 6), probabilities=third)
    assert trace.predictions.tolist() == [[0]]


@given(traces())
def test_columns_find_the_exits(trace: Trace) -> None:
    assert [trace.exits[column] for column in trace.columns(trace.tiers)] == list(trace.tiers)
    assert trace.columns(()) == []


def test_an_exit_that_the_model_lacks_is_refused(small_trace: TraceFactory) -> None:
    with pytest.raises(ConfigError, match=r"layer 5.*\[2, 4, 6\]"):
        small_trace().columns((2, 5))


def test_length_is_that_of_the_labels(small_trace: TraceFactory) -> None:
    assert [len(small_trace(n)) for n in (0, 1, 7)] == [0, 1, 7]


# --- What it refuses -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("embeddings", np.zeros((4, 4), np.float32), r"embeddings of \(3,\), got \(4,\)"),
        ("probabilities", np.zeros((3, 2, 2), np.float32), r"\(3, 3, 2\), got \(3, 2, 2\)"),
        ("probabilities", np.zeros((3, 3, 3), np.float32), r"\(3, 3, 2\), got \(3, 3, 3\)"),
        ("probabilities", np.zeros((2, 3, 2), np.float32), r"\(3, 3, 2\), got \(2, 3, 2\)"),
        ("guids", ("a", "b"), r"guids of \(3,\), got \(2,\)"),
        ("lengths", np.zeros(2, np.int64), r"lengths of \(3,\), got \(2,\)"),
        ("lengths", np.zeros((3, 1), np.int64), r"lengths of \(3,\), got \(3, 1\)"),
        ("extra", {"rating": np.zeros(4)}, r"rating of \(3,\), got \(4,\)"),
        ("labels", np.array([0, 1, 2]), "codes from 0 to 1"),
        ("labels", np.array([0, -1, 1]), "codes from 0 to 1"),
        ("labels", np.zeros((3, 1), np.int64), r"labels.*\(3, 1\)"),
        ("embeddings", np.zeros(3, np.float32), r"embeddings.*\(3,\)"),
        ("embeddings", np.zeros((3, 4, 2), np.float32), r"embeddings.*\(3, 4, 2\)"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(name: str, value: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        make_trace(3, **{name: value})


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", ["embeddings", "probabilities"])
def test_values_that_are_not_finite_are_refused(name: str, value: float) -> None:
    array = getattr(make_trace(3), name).copy()
    array.flat[-1] = value
    with pytest.raises(DataError, match=f"{name}.*not finite.*diverged"):
        make_trace(3, **{name: array})


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"tiers": (4, 2, 6)}, r"tiers must ascend, got \[4, 2, 6\]"),
        ({"tiers": (0, 2, 6)}, r"tiers must be .* of at least 1, got \[0, 2, 6\]"),
        ({"tiers": ()}, r"tiers must be one or more .*got \[\]"),
        ({"tiers": (2, 4.0)}, r"tiers must be .*whole numbers.*got \[2, 4.0\]"),
        ({"tiers": (2, 4, 12)}, r"layer 12.*\[2, 4, 6\]"),
        ({"exits": (6, 4, 2)}, r"\(?\[?6, 4, 2"),
        ({"exits": (2, 2, 6), "tiers": (2, 2, 6)}, r"\(?\[?2, 2, 6"),
    ],
)
def test_exits_that_do_not_fit_are_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make_trace(3, **fields)


def test_a_trace_of_another_model_is_refused(small_trace: TraceFactory) -> None:
    trace = small_trace(model="a" * 64)
    trace.require_model("a" * 64, "the router")
    with pytest.raises(MismatchError) as caught:
        trace.require_model("b" * 64, "the router")
    message = str(caught.value)
    assert "the test trace" in message
    assert "a" * 12 in message
    assert "b" * 12 in message
    assert "the router" in message
    assert "dimec fit" in message


# --- Its file ------------------------------------------------------------------------------------


@given(
    traces(),
    st.text(st.characters(codec="utf-8"), max_size=8),
    st.lists(st.text(st.characters(codec="utf-8"), max_size=5), max_size=3, unique=True),
)
def test_what_is_saved_loads_the_same(trace: Trace, text: str, columns: list[str]) -> None:
    rng = np.random.default_rng(0)
    trace = make_trace(
        len(trace),
        classes=len(trace.label_names),
        exits=trace.exits,
        tiers=trace.tiers,
        probabilities=trace.probabilities,
        guids=tuple(f"{text}{i}" for i in range(len(trace))),
        task=f"csv:{text}.csv",
        extra={name: rng.standard_normal(len(trace)) for name in columns},
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "runs" / "trace-test.safetensors"
        trace.save(path)
        assert_same(Trace.load(path), trace)


def test_an_empty_trace_loads_the_same(tmp_path: Path, small_trace: TraceFactory) -> None:
    trace = small_trace(0, extra={"rating": np.zeros(0)})
    trace.save(tmp_path / "trace")
    assert_same(Trace.load(tmp_path / "trace"), trace)


def truncate(path: Path) -> None:
    """Lose the second half."""
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def flip(path: Path) -> None:
    """Alter one bit of the last embedding or probability."""
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))


@pytest.mark.parametrize("damage", [truncate, flip, lambda path: path.write_bytes(b"")])
def test_a_damaged_file_is_refused(
    tmp_path: Path, small_trace: TraceFactory, damage: Callable[[Path], object]
) -> None:
    path = tmp_path / "trace-test"
    small_trace().save(path)
    damage(path)
    with pytest.raises(CorruptArtefactError, match=r"trace-test.*make it again with: dimec train"):
        Trace.load(path)


def test_a_file_that_is_not_a_trace_is_refused(tmp_path: Path) -> None:
    save_arrays(tmp_path / "router", "centroid router", {"sums": np.zeros((3, 2))}, {})
    with pytest.raises(CorruptArtefactError, match=r"expected a trace file.*'centroid router'"):
        Trace.load(tmp_path / "router")
    with pytest.raises(MissingArtefactError, match="make it with: dimec train"):
        Trace.load(tmp_path / "nothing")


def test_a_trace_file_without_its_fields_is_refused(tmp_path: Path) -> None:
    """Of the right kind and sound, but another program's idea of a trace."""
    save_arrays(tmp_path / "trace", "trace", {"embeddings": np.zeros((3, 2))}, {"task": "x"})
    with pytest.raises(ArtefactError, match="trace"):
        Trace.load(tmp_path / "trace")
