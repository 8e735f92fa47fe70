"""Traces as tables of Arrow, pandas and Parquet, and back."""

from __future__ import annotations

import importlib
import json
import re
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars
import pyarrow
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dimec.base.errors import (
    ConfigError,
    CorruptArtefactError,
    DataError,
    MissingArtefactError,
    MissingExtraError,
)
from dimec.base.tables import with_metadata
from dimec.traces.joining import join
from dimec.traces.tables import KEY
from dimec.traces.trace import Trace
from support.builders import make_trace, traces
from support.joined import same_samples


def same(one: Trace, other: Trace) -> None:
    for field in fields(Trace):
        a, b = getattr(one, field.name), getattr(other, field.name)
        if isinstance(a, np.ndarray):
            np.testing.assert_array_equal(a, b, strict=field.name != "labels")
        elif field.name == "extra":
            assert list(a) == list(b)
            for name in a:
                np.testing.assert_array_equal(a[name], b[name], strict=True)
        else:
            assert a == b, field.name


@given(traces(), st.booleans(), st.dictionaries(st.text(max_size=5), st.none(), max_size=2))
def test_a_table_becomes_the_same_trace(trace: Trace, known: bool, extra: dict[str, None]) -> None:
    rng = np.random.default_rng(len(trace))
    columns = {name: rng.normal(size=len(trace)) for name in extra}
    trace = replace(trace, extra=columns, answers_only=known, outcomes_only=known)
    same(Trace.from_arrow(trace.to_arrow()), trace)
    same(Trace.from_arrow(trace.to_pandas()), trace)


@given(same_samples())
def test_traces_of_several_models_too(parts: dict[str, Trace]) -> None:
    named = {name or "unnamed": trace for name, trace in parts.items()}
    trace = join(named)
    table = trace.to_arrow()
    same(Trace.from_arrow(table), trace)
    source, layer = trace.sources[-1], trace.exits[-1]
    assert f"{source}.exit_{layer}_confidence" in table.column_names


@given(traces(), st.data())
def test_some_of_the_rows_in_any_order_are_a_trace(trace: Trace, data: st.DataObject) -> None:
    rows = data.draw(st.lists(st.integers(0, len(trace) - 1), unique=True))
    picked = np.array(rows, np.int64)
    same(Trace.from_arrow(trace.to_pandas().iloc[picked]), trace.take(picked))
    same(Trace.from_arrow(trace.to_arrow().take(pyarrow.array(picked))), trace.take(picked))


@pytest.mark.parametrize("ending", ["parquet", "arrow", "FEATHER"])
@pytest.mark.parametrize("size", [0, 7])
def test_files_hold_it_whole(ending: str, size: int, tmp_path: Path) -> None:
    trace = make_trace(7, extra={"map.2.confidence": np.arange(7.0)}).take(np.arange(size))
    trace.to_parquet(tmp_path / f"a.{ending}")
    same(Trace.from_parquet(tmp_path / f"a.{ending}"), trace)
    assert [path.name for path in tmp_path.iterdir()] == [f"a.{ending}"]


def test_what_the_columns_are() -> None:
    trace = make_trace(5, classes=3, exits=(0, 2, 6), tiers=(2, 6))
    frame = trace.to_pandas()
    exits = [f"exit_{layer}" for layer in (0, 2, 6)]
    kinds = ("", "_confidence", "_p_class 0", "_p_class 1", "_p_class 2")
    told = [f"{name}{kind}" for name in exits for kind in kinds]
    assert list(frame) == ["guid", "split", "label", "length", *told, "embedding"]
    assert list(frame["label"].cat.categories) == list(trace.label_names)
    for at, name in enumerate(exits):
        assert ((frame[name] == frame["label"]) == trace.correct[:, at]).all()
        np.testing.assert_array_equal(frame[f"{name}_confidence"], trace.confidences[:, at])
        np.testing.assert_array_equal(frame[f"{name}_p_class 1"], trace.probabilities[:, at, 1])
    np.testing.assert_array_equal(np.stack(frame["embedding"]), trace.embeddings)
    assert frame.attrs[KEY]["tiers"] == [2, 6]
    kind = trace.to_arrow().schema.field("embedding").type
    assert kind == pyarrow.list_(pyarrow.float32(), trace.embeddings.shape[1])


def test_embeddings_may_be_left_out() -> None:
    trace = make_trace(4)
    frame = trace.to_pandas(embeddings=False)
    assert "embedding" not in frame
    same(Trace.from_arrow(frame), replace(trace, embeddings=trace.embeddings[:, :0]))


def test_other_tools_read_the_file(tmp_path: Path) -> None:
    trace = make_trace(6, exits=(2, 6), tiers=(2, 6))
    trace.to_parquet(tmp_path / "a.parquet")
    frame = polars.read_parquet(tmp_path / "a.parquet")
    right = (frame["exit_6"].cast(polars.String) == frame["label"].cast(polars.String)).mean()
    assert right == trace.correct[:, 1].mean()
    with pytest.raises(DataError, match="polars drops it"):
        Trace.from_arrow(frame)


def test_the_code_of_the_page_runs() -> None:
    page = (Path(__file__).parents[2] / "docs" / "data.md").read_text("utf-8")
    (block,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    names: dict[str, Any] = {}
    exec(compile(block, "docs/data.md", "exec"), names)
    longer = names["trace"].lengths > 40
    assert 0 < len(names["long"]) == longer.sum() < len(longer)
    (row,) = names["ledger"].rows
    assert row.reduction_low <= row.reduction <= row.reduction_high


def test_what_is_wrong_is_said(tmp_path: Path) -> None:
    trace = make_trace(3)
    table, frame = trace.to_arrow(), trace.to_pandas()
    empty, odd, short = (frame.copy() for _ in range(3))
    empty["length"] = [1.0, None, 2.0]
    odd["label"] = ["class 0", "class 9", "class 1"]
    short["embedding"] = [[1.0], [2.0], [3.0]]
    for source, message in (
        ([1], "expected a trace as a table of Arrow or pandas, got list"),
        (pyarrow.table({"a": [1]}), "got one without 'dimec.trace' in its metadata"),
        (table.drop_columns(["guid"]), "one column 'guid', got one with 0; keep all columns"),
        (empty, "the column 'length' of a trace's table has empty cells"),
        (odd, "the label 'class 9' is none of the trace's classes"),
        (short, "expected embeddings of 4 numbers, got"),
        (frame.assign(embedding="x"), "expected lists of numbers as embeddings, got"),
        (frame.assign(embedding=[["x"]] * 3), "expected lists of numbers as embeddings, got"),
        (frame.assign(length="x"), "expected numbers in the column 'length', got"),
        (frame.assign(guid=1), "expected texts in the column 'guid'"),
        (frame.assign(guid=[1, "a", None]), "a table that Arrow cannot take"),
    ):
        with pytest.raises(DataError, match=message):
            Trace.from_arrow(source)
    for said in ({"version": 9}, {"version": 1}, {"version": 1, "width": 5, "extra": []}):
        with pytest.raises(CorruptArtefactError):
            Trace.from_arrow(with_metadata(table, KEY, said))
    kept = json.loads(table.schema.metadata[KEY.encode()])
    for name in kept:
        with pytest.raises(CorruptArtefactError):
            Trace.from_arrow(with_metadata(table, KEY, {**kept, name: 7.5}))
    with pytest.raises(DataError, match="two columns 'a'; give its classes"):
        make_trace(3, label_names=("a", "a")).to_arrow()
    with pytest.raises(ConfigError, match=r"ends in \.parquet, \.arrow, \.feather, got"):
        trace.to_parquet(tmp_path / "a.csv")
    with pytest.raises(MissingArtefactError, match="make it with: dimec trace export"):
        Trace.from_parquet(tmp_path / "a.parquet")
    for name in ("torn.parquet", "torn.arrow"):
        trace.to_parquet(tmp_path / name)
        (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:-20])
        with pytest.raises(CorruptArtefactError, match="is not a whole table"):
            Trace.from_parquet(tmp_path / name)


@pytest.mark.parametrize(("package", "call"), [("pyarrow", "to_arrow"), ("pandas", "to_pandas")])
def test_the_extra_is_named(package: str, call: str, monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.import_module

    def without(name: str, *rest: Any) -> Any:
        if name == package:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return real(name, *rest)

    monkeypatch.setattr(importlib, "import_module", without)
    with pytest.raises(MissingExtraError, match=r"pip install 'dimec\[tables\]'"):
        getattr(make_trace(3), call)()
