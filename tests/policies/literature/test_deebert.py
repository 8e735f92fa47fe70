"""DeeBERT against the paper's rule in plain loops."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dimec.base.errors import ConfigError
from dimec.policies.literature.deebert import THRESHOLDS, DeeBertPolicy, entropy
from dimec.policies.registry import system
from dimec.tiers.deployment import Deployment
from dimec.traces.trace import Trace
from support.builders import make_trace, traces
from support.scenes import Scene, scenes


def slow_entropy(p: list[float]) -> float:
    """H = -Σ p ln p."""
    return -math.fsum(x * math.log(x) for x in p if x > 0)


def slow_exits(trace: Trace, threshold: float) -> list[int]:
    """The layer at which each sample leaves: exit after exit, the last one at the latest."""

    def leaves(sample: list[list[float]]) -> int:
        for layer, p in zip(trace.exits, sample, strict=True):
            if slow_entropy(p) < threshold:
                return layer
        return trace.exits[-1]

    return [leaves(sample) for sample in trace.probabilities.tolist()]


def exits_of(trace: Trace, threshold: float, deployment: Deployment | None = None) -> list[int]:
    """The same by the policy."""
    outcome = DeeBertPolicy(threshold).replay(trace, deployment or Deployment.paper(trace.tiers))
    return [trace.exits[row.index(1.0)] for row in outcome.answers.tolist()]


def sample_of(*gold: float) -> Trace:
    """One sample of two classes with this probability of class 1 at exits 2, 4 and 6."""
    p = np.array([[1 - g, g] for g in gold], np.float32)
    return make_trace(1, probabilities=p[None])


@given(traces(), st.lists(st.integers(0, 50), min_size=4, max_size=4).filter(any))
def test_entropy(trace: Trace, weights: list[int]) -> None:
    rows = trace.probabilities.tolist()
    expected = [[slow_entropy(p) for p in sample] for sample in rows]
    np.testing.assert_allclose(entropy(trace.probabilities), expected, rtol=1e-12, atol=1e-15)
    p = np.array(weights) / sum(weights)
    assert float(entropy(p)) == pytest.approx(slow_entropy(p.tolist()), rel=1e-12, abs=1e-15)
    assert 0 <= float(entropy(p)) <= math.log(4) + 1e-12


def test_entropy_of_certainty_and_of_no_idea() -> None:
    p = np.array([[1.0, 0.0], [0.5, 0.5], [0.0, 1.0]], np.float32)
    assert entropy(p).tolist() == [0, math.log(2), 0]
    # What float32 may make of a softmax: a little more than 1.
    above = np.array([np.nextafter(np.float32(1), np.float32(2)), 0], np.float32)
    assert entropy(above) == 0


@given(scenes(), st.sampled_from([*THRESHOLDS, math.log(2), 1.2]))
def test_it_leaves_where_the_paper_says(scene: Scene, threshold: float) -> None:
    trace = scene.trace("test")
    values = [slow_entropy(p) for sample in trace.probabilities.tolist() for p in sample]
    if any(0 < abs(value - threshold) < 1e-9 for value in values):
        return  # where rounding decides, both are right
    assert exits_of(trace, threshold) == slow_exits(trace, threshold)


def test_by_hand() -> None:
    """H(0.9) = 0.325, H(0.99) = 0.056, H(0.5) = 0.693."""
    assert exits_of(sample_of(0.9, 0.99, 0.5), 0.4) == [2]
    assert exits_of(sample_of(0.9, 0.99, 0.5), 0.3) == [4]
    assert exits_of(sample_of(0.9, 0.99, 0.5), 0.05) == [6]


def test_the_threshold_itself_is_not_below_it() -> None:
    """Strictly: S = 0 never leaves early, not even where an exit is certain."""
    assert exits_of(sample_of(1.0, 1.0, 1.0), 0.0) == [6]
    assert exits_of(sample_of(1.0, 1.0, 1.0), 0.001) == [2]
    assert exits_of(sample_of(0.5, 0.5, 0.5), math.log(2)) == [6]
    assert exits_of(sample_of(0.5, 0.5, 0.5), np.nextafter(math.log(2), 1)) == [2]


def test_it_goes_no_deeper_than_the_deployed_model() -> None:
    trace = make_trace(
        1,
        exits=(2, 4, 6),
        probabilities=np.array([[[0.5, 0.5], [0.5, 0.5], [1, 0]]], np.float32),
    )
    assert exits_of(trace, 0.1, Deployment.paper((2, 4, 4))) == [4]


@given(scenes())
def test_a_higher_threshold_leaves_no_later(scene: Scene) -> None:
    trace = scene.trace("test")
    deep = [exits_of(trace, threshold) for threshold in THRESHOLDS]
    for lower, higher in itertools.pairwise(deep):
        assert all(a >= b for a, b in zip(lower, higher, strict=True))


def test_cost_by_hand() -> None:
    """γ = 1.5·6 - 3 = 6: leaving at layer 2 costs 3 + 6·2/6 = 5, at 6 what all-cloud costs."""
    deployment = Deployment.paper((2, 4, 6))
    for threshold, cost in ((0.4, 5.0), (0.3, 7.0), (0.05, 9.0)):
        outcome = DeeBertPolicy(threshold).replay(sample_of(0.9, 0.99, 0.5), deployment)
        assert deployment.price(outcome.usage).tolist() == [cost]


def test_the_thresholds_tried_are_the_authors() -> None:
    assert system("deebert").grid == {
        "threshold": (0, 0.001, 0.005, 0.01, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7)
    }


@pytest.mark.parametrize("threshold", [-0.1, math.nan, math.inf])
def test_a_threshold_that_makes_no_sense_is_refused(threshold: float) -> None:
    with pytest.raises(ConfigError, match=f"at least 0, got {threshold}"):
        DeeBertPolicy(threshold)
