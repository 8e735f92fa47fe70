"""Traces of several models, joined: held to a slow join by guid and by the names of labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import accumulate
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dimec.base.errors import ConfigError, MismatchError, typed_options
from dimec.evaluation.replay import replay, standard_policies
from dimec.policies.base import Outcome, no_steps, outcome_of
from dimec.policies.step import Site, Steps
from dimec.routing import CentroidRouter
from dimec.tiers.deployment import Deployment
from dimec.tiers.paths import leg
from dimec.tiers.tier import Tier
from dimec.traces.joining import join
from dimec.traces.sources import joint_model
from dimec.traces.trace import Trace
from support.builders import TraceFactory, make_trace
from support.joined import NAMES, recoded, same_samples, shuffled


def said_of(trace: Trace, guid: str, layer: int, source: str = "") -> dict[str, float]:
    """What an exit says of a sample, by the name of the class."""
    odds = trace.probabilities[trace.guids.index(guid), trace.column(layer, source)]
    return dict(zip(trace.label_names, odds.tolist(), strict=True))


# --- What it joins -------------------------------------------------------------------------------


@given(same_samples())
def test_every_exit_says_of_every_sample_what_it_said(traces: dict[str, Trace]) -> None:
    joined, first = join(traces), next(iter(traces.values()))
    assert joined.guids == first.guids
    assert joined.label_names == first.label_names
    for name in ("embeddings", "labels", "lengths"):
        assert np.array_equal(getattr(joined, name), getattr(first, name)), name
    assert len(joined.exits) == sum(len(trace.exits) for trace in traces.values())
    for source, trace in traces.items():
        assert joined.exits_of(source) == trace.exits
        for guid in joined.guids:
            for layer in trace.exits:
                assert said_of(joined, guid, layer, source) == said_of(trace, guid, layer)


@given(same_samples())
def test_answers_are_right_where_they_were(traces: dict[str, Trace]) -> None:
    joined = join(traces)
    ends = list(accumulate(len(trace.exits) for trace in traces.values()))
    for end, trace in zip(ends, traces.values(), strict=True):
        at = [trace.guids.index(guid) for guid in joined.guids]
        own = slice(end - len(trace.exits), end)
        assert np.array_equal(joined.confidences[:, own], trace.confidences[at])
        # An answer of two classes that are equally likely is that of the lower code.
        odds = np.sort(trace.probabilities[at], axis=-1)
        clear = odds[..., -1] > odds[..., -2]
        assert np.array_equal(joined.correct[:, own][clear], trace.correct[at][clear])


@given(same_samples())
def test_the_models_are_kept_and_named_by_one_digest(traces: dict[str, Trace]) -> None:
    joined = join(traces)
    models = {source: trace.model for source, trace in traces.items()}
    assert joined.models == models
    assert joined.sources_in_order == tuple(traces)
    assert joined.model == joint_model(models) == join(traces).model
    other = dict(reversed(traces.items()))  # has the embeddings of another source
    assert join(other).model != joined.model


def test_a_tier_is_the_deepest_of_its_source_unless_tiers_are_given() -> None:
    small, large = make_trace(), make_trace(exits=(0, 4, 12), tiers=(4, 12))
    joined = join({"small": small, "large": large})
    assert (joined.tiers, joined.tier_sources) == ((6, 12), ("small", "large"))
    assert joined.columns(joined.tiers, joined.tier_sources) == [2, 5]
    tiers = [("small", 2), ("large", 4), ("large", 12)]
    joined = join({"small": small, "large": large}, tiers=tiers)
    assert (joined.tiers, joined.tier_sources) == ((2, 4, 12), ("small", "large", "large"))
    with pytest.raises(ConfigError, match=r"layer 5 of 'large'"):
        join({"small": small, "large": large}, tiers=[("small", 2), ("large", 5)])


def test_one_trace_gets_a_name() -> None:
    trace = make_trace()
    joined = join({"phone": trace})
    assert (joined.sources, joined.model) == (("phone",) * 3, trace.model)
    assert joined.columns(trace.tiers) == trace.columns(trace.tiers)


def test_no_samples_are_joined_too() -> None:
    joined = join({"a": make_trace(0), "b": make_trace(0)})
    assert (len(joined), joined.probabilities.shape) == (0, (0, 6, 2))


# --- Samples that not all have -------------------------------------------------------------------


@given(same_samples(), st.data())
def test_common_samples_are_those_in_all(traces: dict[str, Trace], data: st.DataObject) -> None:
    size = len(next(iter(traces.values())))
    keep = {
        source: data.draw(st.lists(st.sampled_from(range(size)), min_size=1, unique=True))
        for source in traces
    }
    parts = {source: rows_of(trace, keep[source]) for source, trace in traces.items()}
    first = next(iter(parts.values()))
    common = [g for g in first.guids if all(g in part.guids for part in parts.values())]
    if not common:
        with pytest.raises(MismatchError, match="no sample in common"):
            join(parts, common=True)
        return
    joined, whole = join(parts, common=True), join(traces)
    assert list(joined.guids) == common
    at = [whole.guids.index(guid) for guid in common]
    for name in ("embeddings", "probabilities", "labels", "lengths"):
        assert np.array_equal(getattr(joined, name), getattr(whole, name)[at]), name
    if all(len(part) == len(common) for part in parts.values()):
        assert join(parts).guids == joined.guids
    else:
        with pytest.raises(MismatchError, match="lacks"):
            join(parts)


def rows_of(trace: Trace, rows: list[int]) -> Trace:
    """The trace of these rows alone."""
    arrays = ("embeddings", "probabilities", "labels", "lengths")
    fields: dict[str, Any] = {name: getattr(trace, name)[rows] for name in arrays}
    extra = {name: column[rows] for name, column in trace.extra.items()}
    return replace(trace, **fields, extra=extra, guids=tuple(trace.guids[row] for row in rows))


def test_what_is_missing_is_counted_and_the_first_named() -> None:
    whole = make_trace(5)
    part = rows_of(whole, [3, 0, 4])
    message = r"'b' lacks 2 of the samples of 'a', the first is 'test-1'.*common=True"
    with pytest.raises(MismatchError, match=message):
        join({"a": whole, "b": part})
    with pytest.raises(MismatchError, match=r"'b' lacks 2 .* of 'a', the first is 'test-1'"):
        join({"b": part, "a": whole})
    with (
        typed_options({"common": "--common"}),
        pytest.raises(MismatchError, match=r"with --common$"),
    ):
        join({"a": whole, "b": part})


def test_guids_that_differ_in_a_zero_character_are_two() -> None:
    """As numpy's texts, which end in zeros, they would be one."""
    one = make_trace(2, guids=("a", "a\0"), labels=np.array([0, 1]))
    joined = join({"one": one, "two": shuffled(one, np.array([1, 0]))})
    assert joined.guids == ("a", "a\0")
    assert np.array_equal(joined.probabilities[:, :3], joined.probabilities[:, 3:])


# --- What it refuses -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"task": "glue/rte"}, "'a' and 'b' differ in the task: 'glue/sst2' and 'glue/rte'"),
        ({"split": "stream"}, "differ in the split: 'test' and 'stream'"),
        ({"metric": "f1"}, "differ in the metric: 'accuracy' and 'f1'"),
        ({"label_names": ("class 0", "good")}, "differ in the names of labels.*'good'"),
        ({"guids": ("test-0", "test-1", "test-0")}, "'b' holds the guid 'test-0' more than once"),
        ({"guids": ("x", "y", "z")}, "'b' lacks 3 .* of 'a', the first is 'test-0'"),
        ({"labels": np.array([0, 1, 0])}, "other labels for 2 samples, the first is 'test-1'"),
    ],
)
def test_traces_of_other_samples_are_refused(fields: dict[str, Any], message: str) -> None:
    one = make_trace(3, labels=np.array([0, 0, 1]))
    with pytest.raises(MismatchError, match=message):
        join({"a": one, "b": replace(one, **fields)})


def test_equal_names_in_another_order_are_no_other_labels() -> None:
    one = make_trace(4, classes=3)
    two = recoded(one, [2, 0, 1])
    assert two.labels.tolist() != one.labels.tolist()
    joined = join({"one": one, "two": two})
    assert np.array_equal(joined.probabilities[:, :3], joined.probabilities[:, 3:])


@pytest.mark.parametrize("name", ["a b", "a=b", "a/b", "x" * 65, "\n", 3, None])
def test_other_names_of_sources_are_refused(name: Any) -> None:
    with pytest.raises(ConfigError, match="the name of a source must be"):
        join({"a": make_trace(), name: make_trace()})


def test_nothing_and_what_is_joined_already_are_refused() -> None:
    with pytest.raises(ConfigError, match="one or more traces"):
        join({})
    joined = join({"a": make_trace(), "b": make_trace()})
    with pytest.raises(ConfigError, match=r"'c' joins the sources 'a', 'b' already"):
        join({"c": joined, "d": make_trace()})


# --- Extra columns -------------------------------------------------------------------------------


def joined_extra(held: Mapping[str, Mapping[str, list[float]]]) -> dict[str, list[float]]:
    """The extra columns of two samples, whose rows stand the other way round after the first."""
    traces = {}
    for place, (source, columns) in enumerate(held.items()):
        extra = {name: np.array(column, float) for name, column in columns.items()}
        trace = make_trace(2, labels=np.array([0, 1]), extra=extra)
        traces[source] = shuffled(trace, np.array([1, 0])) if place else trace
    return {name: column.tolist() for name, column in join(traces).extra.items()}


def test_an_extra_column_of_one_source_or_equal_in_all_keeps_its_name() -> None:
    held: dict[str, dict[str, list[float]]]
    held = {"a": {"stars": [1, np.nan], "x": [5, 6]}, "b": {"stars": [1, np.nan], "y": [7, 8]}}
    extra = joined_extra(held)
    assert list(extra) == ["stars", "x", "y"]
    assert (extra["x"], extra["y"]) == ([5, 6], [7, 8])
    assert np.array_equal(extra["stars"], [1, np.nan], equal_nan=True)


def test_extra_columns_that_differ_are_named_by_their_source() -> None:
    extra = joined_extra({"a": {"stars": [1, 2]}, "b": {"stars": [1, 3]}, "c": {"stars": [1, 2]}})
    assert extra == {"a.stars": [1, 2], "b.stars": [1, 3], "c.stars": [1, 2]}
    assert joined_extra({"": {"s": [1, 2]}, "b": {"s": [2, 1]}}) == {"s": [1, 2], "b.s": [2, 1]}


def test_a_name_that_another_column_has_is_not_taken() -> None:
    with pytest.raises(MismatchError, match=r"differ in the column 's', and 'b\.s' is the name"):
        joined_extra({"a": {"s": [1, 2], "b.s": [3, 4]}, "b": {"s": [2, 1]}})
    with pytest.raises(MismatchError, match=r"and 'a\.b\.s' is the name"):
        joined_extra({"a": {"s": [1, 2], "b.s": [0, 1]}, "a.b": {"s": [3, 4], "b.s": [5, 6]}})


# --- Its replay ----------------------------------------------------------------------------------


def test_what_knows_one_source_replays_it_as_before(small_trace: TraceFactory) -> None:
    """The other source stands beside, and changes no answer, tier or price."""
    own = small_trace(40)
    big = make_trace(40, exits=(1, 8), tiers=(8,), seed=3, labels=own.labels)
    rng = np.random.default_rng(1)
    joined = join({"": own, "big": shuffled(recoded(big, [1, 0]), rng.permutation(40))})
    router = CentroidRouter().fit(own.embeddings, np.arange(40) % 3)
    deployment = Deployment.paper((2, 4, 6))
    for policy in standard_policies({"router": router, "online": router.copy(adaptive=True)}):
        before, after = (replay(policy, trace, deployment) for trace in (own, joined))
        assert np.array_equal(before.votes, after.votes), policy.name
        assert np.array_equal(before.tiers, after.tiers), policy.name
        assert np.array_equal(before.cost, after.cost), policy.name


class Escalation:
    """Answers at an exit of one source where it is sure, and else at that of another."""

    name, sees_labels, learns_online = "escalation", False, False
    replay_only = "nobody serves two models here"

    def steps(self, site: Site) -> Steps:
        raise no_steps(self)

    def replay(self, trace: Trace, deployment: Deployment) -> Outcome:
        first, last = deployment.tiers
        sure = trace.confidences[:, trace.column(first.layer, first.source)] > 0.7
        legs = [
            leg(len(trace), 0, first.layer, ends=sure),
            leg(len(trace), 1, last.layer, taken=~sure),
        ]
        return outcome_of(trace, deployment, legs)


def test_a_policy_over_two_models_is_replayed_like_any_other() -> None:
    small = make_trace(40)
    big = make_trace(40, exits=(1, 8), tiers=(8,), seed=3, labels=small.labels)
    traces = {"small": small, "big": shuffled(recoded(big, [1, 0]), np.arange(40)[::-1])}
    tiers = Tier("phone", 2, 1.5, source="small"), Tier("dc", 8, visit_price=9, source="big")
    replayed = replay(Escalation(), join(traces), Deployment(tiers))
    right = replayed.right
    assert set(replayed.cost.tolist()) == {3.0, 12.0}
    for i, guid in enumerate(small.guids):
        odds = said_of(small, guid, 2)
        odds = odds if max(odds.values()) > 0.7 else said_of(traces["big"], guid, 8)
        answer = max(odds, key=odds.__getitem__)
        assert right[i] == (answer == NAMES[small.labels[i]])
