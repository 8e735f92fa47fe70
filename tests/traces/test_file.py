"""The file of a trace: what is saved loads the same, and nothing else is taken for a trace."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dimec.base.errors import (
    ArtefactError,
    ConfigError,
    CorruptArtefactError,
    DimecError,
    MissingArtefactError,
)
from dimec.base.storage import load_arrays, save_arrays
from dimec.traces.joining import join
from dimec.traces.trace import Trace
from support.builders import TraceFactory, json_values, make_trace, traces
from support.joined import same_samples


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


# --- Several sources, and the version before -----------------------------------------------------


@given(same_samples())
def test_a_trace_of_several_sources_loads_the_same(parts: dict[str, Trace]) -> None:
    trace = join(parts)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "joined"
        trace.save(path)
        loaded = Trace.load(path)
    assert_same(loaded, trace)
    assert list(loaded.models.items()) == list(trace.models.items())


def write_version_1(path: Path, trace: Trace) -> None:
    """The file as it was written before traces named their sources."""
    arrays: dict[str, npt.NDArray[Any]] = {
        "embeddings": trace.embeddings,
        "probabilities": trace.probabilities,
        "labels": trace.labels,
        "lengths": trace.lengths,
        **{f"extra.{name}": column for name, column in trace.extra.items()},
    }
    names = ("exits", "tiers", "guids", "label_names", "task", "split", "metric", "model")
    save_arrays(path, "trace", arrays, {name: getattr(trace, name) for name in names})


def test_a_file_of_version_1_is_read_as_one_source(tmp_path: Path) -> None:
    trace = make_trace(extra={"rating": np.arange(12.0)})
    write_version_1(tmp_path / "old", trace)
    old = Trace.load(tmp_path / "old")
    assert_same(old, trace)
    assert (old.sources, old.models) == (("",) * 3, {"": trace.model})
    old.save(tmp_path / "new")
    assert_same(Trace.load(tmp_path / "new"), trace)


def present(parts: dict[str, Any]) -> dict[str, Any]:
    return {name: part for name, part in parts.items() if part is not None}


def altered(path: Path, arrays: dict[str, Any], metadata: dict[str, Any]) -> Path:
    """Change parts of a trace's file, and sign it anew; None takes a part away."""
    old_arrays, old_metadata = load_arrays(path, "trace", "x")
    new_arrays, new_metadata = {**old_arrays, **arrays}, {**old_metadata, **metadata}
    save_arrays(path, "trace", present(new_arrays), present(new_metadata))
    return path


@pytest.fixture
def file(tmp_path: Path) -> Path:
    make_trace(3).save(tmp_path / "trace")
    return tmp_path / "trace"


@pytest.mark.parametrize("version", [0, 3, "2", [], {"a": 1}])
def test_another_version_is_refused(file: Path, version: Any) -> None:
    altered(file, {}, {"version": version})
    with pytest.raises(
        CorruptArtefactError, match=r"trace file of version .*reads versions 1 to 2"
    ):
        Trace.load(file)


@pytest.mark.parametrize(
    ("arrays", "metadata", "message"),
    [
        ({"labels": None}, {}, r"other parts than a trace \('labels'\); make it again with"),
        ({"task": np.zeros(3)}, {"task": None}, "other parts than a trace .*'task'"),
        ({"logits": np.zeros(3)}, {}, "other parts than a trace .*'logits'"),
        ({}, {"sources": None}, "other parts than a trace .*'sources'"),
        ({}, {"epoch": 3}, "other parts than a trace .*'epoch'"),
        ({}, {"version": None}, "other parts than a trace .*'models'"),
        ({}, {"models": ["", "a"]}, "models is of another type"),
        ({}, {"models": {"": 3}}, "models is of another type"),
        ({}, {"sources": "abc"}, "sources is of another type"),
        ({}, {"guids": [["a"], "b", "c"]}, "guids is of another type"),
        ({}, {"exits": [2, 4, True]}, "exits is of another type"),
        ({}, {"task": 5}, "task is of another type"),
    ],
)
def test_parts_that_are_no_traces_are_refused(
    file: Path, arrays: dict[str, Any], metadata: dict[str, Any], message: str
) -> None:
    altered(file, arrays, metadata)
    with pytest.raises(CorruptArtefactError, match=message):
        Trace.load(file)


@pytest.mark.parametrize(
    "metadata",
    [
        {"sources": ["a", "b", "a"], "tier_sources": ["a", "b", "a"]},
        {"sources": ["a\u202e", "b", "b"]},
        {"tier_sources": ["dc"]},
        {"tiers": []},
        {"tiers": [6, 2]},
        {"exits": [2, 4, -6]},
    ],
)
def test_sources_and_tiers_that_do_not_fit_are_refused(
    file: Path, metadata: dict[str, Any]
) -> None:
    altered(file, {}, metadata)
    with pytest.raises(ConfigError) as caught:
        Trace.load(file)
    assert str(caught.value).isprintable()


NAMES = [field.name for field in fields(Trace) if field.name != "extra"] + ["version"]


@given(st.sampled_from(NAMES), json_values)
def test_whatever_a_part_says_it_is_read_or_refused(name: str, value: Any) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "trace"
        join({"a": make_trace(2), "b": make_trace(2)}).save(path)
        altered(path, {}, {name: value})
        try:
            assert len(Trace.load(path)) == 2
        except DimecError as error:
            said = str(error)
        else:
            said = ""
    assert "\n" not in said
    assert said.replace(str(path), "").isprintable()
