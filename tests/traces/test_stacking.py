"""Traces of different samples, one after the other."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given

from dimec.base.errors import ConfigError, MismatchError
from dimec.traces.joining import join
from dimec.traces.stacking import stack
from dimec.traces.trace import Trace
from support.builders import make_trace
from support.joined import same_samples


def named(trace: Trace, prefix: str) -> Trace:
    """The same rows under other names."""
    return replace(trace, guids=tuple(f"{prefix}{guid}" for guid in trace.guids))


@given(same_samples())
def test_each_row_is_what_it_was(traces: dict[str, Trace]) -> None:
    """Also of several sources: row by row, by guid."""
    one = join(traces)
    other = named(one, "other ")
    both = stack([one, other])
    assert both.guids == one.guids + other.guids
    assert (both.exits, both.sources, both.models) == (one.exits, one.sources, one.models)
    for row in range(len(both)):
        source, at = (one, row) if row < len(one) else (other, row - len(one))
        assert both.labels[row] == source.labels[at]
        assert both.lengths[row] == source.lengths[at]
        assert np.array_equal(both.probabilities[row], source.probabilities[at])
        assert np.array_equal(both.embeddings[row], source.embeddings[at])


def test_columns_that_one_lacks_are_not_numbers_there() -> None:
    one = make_trace(2, extra={"raters": np.array([0.5, 1.0])})
    two = named(make_trace(1, extra={"fold": np.array([3.0])}), "b")
    extra = stack([one, two]).extra
    np.testing.assert_array_equal(extra["raters"], [0.5, 1.0, np.nan])
    np.testing.assert_array_equal(extra["fold"], [np.nan, np.nan, 3.0])


def test_task_and_split_are_the_first_s_and_one_alone_stays() -> None:
    one, two = make_trace(2), named(make_trace(3, split="out-of-fold", task="x"), "b")
    both = stack([one, two])
    assert (both.split, both.task, len(both)) == ("test", "glue/sst2", 5)
    assert stack([one]).guids == one.guids


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"exits": (2, 3, 6), "tiers": (2, 3, 6)}, "the same exits"),
        ({"tiers": (2, 2, 6)}, "the same tiers"),
        ({"model": "f" * 64}, "the same model"),
        ({"label_names": ("no", "yes")}, "the same label names"),
        ({"sources": ("phone",)}, "the same sources"),
        ({"dim": 5}, "of the same width; got 4 and 5"),
    ],
)
def test_other_exits_models_or_classes_are_refused(changed: dict[str, Any], told: str) -> None:
    with pytest.raises(MismatchError, match=told):
        stack([make_trace(2), named(make_trace(2, **changed), "b")])


def test_a_guid_that_comes_twice_and_nothing_at_all_are_refused() -> None:
    with pytest.raises(MismatchError, match="the guid 'test-0' comes twice"):
        stack([make_trace(2), make_trace(1)])
    with pytest.raises(ConfigError, match="one or more traces to stack"):
        stack([])
