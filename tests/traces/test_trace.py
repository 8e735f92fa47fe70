"""The trace: what it refuses, and what it derives."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given

from dimec.base.errors import ConfigError, DataError, MismatchError
from dimec.traces.sources import joint_model
from dimec.traces.trace import Trace
from support.builders import TraceFactory, make_trace, traces

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


def test_the_embedding_layer_may_be_an_exit(small_trace: TraceFactory) -> None:
    trace = small_trace(exits=(0, 2, 6), tiers=(0, 6))
    assert trace.column(0) == 0
    assert trace.columns(trace.tiers) == [0, 2]


def test_one_source_is_meant_where_none_is_named(small_trace: TraceFactory) -> None:
    trace = small_trace(sources=("phone",))
    assert trace.sources == ("phone",) * 3
    assert trace.tier_sources == ("phone",) * 3
    assert trace.models == {"phone": trace.model}
    assert trace.sources_in_order == ("phone",)
    assert trace.exits_of("phone") == (2, 4, 6)
    assert trace.exits_of("dc") == ()
    assert trace.columns((4, 6)) == trace.columns((4, 6), ("phone", "")) == [1, 2]
    with pytest.raises(ConfigError, match=r"layer 4 of 'dc'.*\[2, 4, 6\] of 'phone'"):
        trace.column(4, "dc")
    fewer = replace(
        trace, exits=(2, 6), tiers=(6,), probabilities=trace.probabilities[:, [0, 2]], model="b"
    )
    assert (fewer.sources, fewer.tier_sources) == (("phone",) * 2, ("phone",))
    assert fewer.models == {"phone": "b"}


MODELS = {"a": "1" * 64, "b": "2" * 64}
TWO: dict[str, Any] = {
    "exits": (2, 1, 6),
    "sources": ("a", "b", "a"),
    "tiers": (2, 1, 6),
    "tier_sources": ("a", "b", "a"),
    "models": MODELS,
    "model": joint_model(MODELS),
}


def test_exits_of_several_sources_are_found_by_source_and_layer(small_trace: TraceFactory) -> None:
    trace = small_trace(**TWO)
    assert trace.sources_in_order == ("a", "b")
    assert (trace.exits_of("a"), trace.exits_of("b")) == ((2, 6), (1,))
    assert trace.columns((1, 6, 2), ("b", "a", "a")) == [1, 2, 0]
    assert small_trace(**{**TWO, "models": dict(reversed(MODELS.items()))}).model == trace.model
    there = r"the trace has the exits \[2, 6\] of 'a'; \[1\] of 'b'$"
    with pytest.raises(ConfigError, match=f"no exit at layer 2 of 'b'; {there}"):
        trace.column(2, "b")
    with pytest.raises(ConfigError, match=f"no exit at layer 2 of ''; {there}"):
        trace.columns((2,))
    with pytest.raises(ConfigError, match="2 exits need as many sources, got 1"):
        trace.columns((2, 6), ("a",))


def test_a_source_without_a_name_may_stand_beside_others(small_trace: TraceFactory) -> None:
    models = {"": "1" * 64, "b": "2" * 64}
    names = {"sources": ("", "b", ""), "tier_sources": ("", "b", "")}
    trace = small_trace(**{**TWO, **names, "models": models, "model": joint_model(models)})
    assert trace.columns((2, 6)) == [0, 2]
    with pytest.raises(ConfigError, match=r"layer 1 of ''; .*\[2, 6\] of ''; \[1\] of 'b'"):
        trace.column(1)


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
        ("labels", np.zeros(3), r"labels must be whole numbers .*float64"),
        ("labels", np.array(1), r"labels.*shape \(\)"),
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
        ({"tiers": (0, 2, 6)}, r"layer 0.*\[2, 4, 6\]"),
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


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"exits": (6, 1, 2), "tiers": (1,)}, r"exits must ascend.*\[6, 2\] of 'a'"),
        ({"sources": ("a", "b")}, "expected a source for each exit, 3 in all, got 2"),
        ({"sources": ("a", "b", "a b")}, "the name of a source must be .*'a b'"),
        ({"tier_sources": ()}, "the sources 'a', 'b' needs the source of each of its tiers"),
        ({"tier_sources": ("a", "b")}, "expected a source for each tier, 3 in all, got 2"),
        ({"tier_sources": ("a", "c", "a")}, r"no exit at layer 1 of 'c'"),
        ({"tiers": (6, 1, 2)}, r"tiers must ascend, got \[6, 2\] of 'a'"),
        ({"models": {"a": "1"}}, "the fingerprint of each one's model, got those of 'a'"),
        ({"models": {}}, "the fingerprint of each one's model, got those of none"),
    ],
)
def test_sources_that_do_not_fit_are_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make_trace(3, **{**TWO, **fields})


def test_several_sources_go_by_the_digest_of_their_models(small_trace: TraceFactory) -> None:
    with pytest.raises(MismatchError, match=r"'a', 'b' is not the digest of their models"):
        small_trace(**{**TWO, "model": "1" * 64})
    with pytest.raises(MismatchError, match="the test trace was made by the model"):
        small_trace(**TWO).require_model("1" * 64, "the router")


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
