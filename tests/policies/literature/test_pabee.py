"""PABEE against the paper's rule in plain loops."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dimec.base.errors import ConfigError
from dimec.policies.literature.pabee import PabeePolicy, agreements
from dimec.policies.registry import system
from dimec.tiers.deployment import Deployment
from dimec.traces.trace import Trace
from support.builders import make_trace
from support.scenes import Scene, scenes


def slow_exits(trace: Trace, patience: int) -> list[int]:
    """Exit after exit with one counter, as the paper's algorithm runs."""

    def leaves(sample: list[list[float]]) -> int:
        counter, before = 0, None
        for layer, p in zip(trace.exits, sample, strict=True):
            predicted = p.index(max(p))
            counter = counter + 1 if predicted == before else 0
            before = predicted
            if counter == patience:
                return layer
        return trace.exits[-1]

    return [leaves(sample) for sample in trace.probabilities.tolist()]


def exits_of(trace: Trace, patience: int, deployment: Deployment | None = None) -> list[int]:
    """The same by the policy."""
    outcome = PabeePolicy(patience).replay(trace, deployment or Deployment.paper(trace.tiers))
    return [trace.exits[row.index(1.0)] for row in outcome.answers.tolist()]


def sample_saying(*classes: int) -> Trace:
    """One sample whose exits 1, 2, 3, … predict these classes out of three."""
    p = np.full((1, len(classes), 3), 0.25, np.float32)
    p[0, np.arange(len(classes)), list(classes)] = 0.5
    layers = tuple(range(1, len(classes) + 1))
    tiers = (1, 1, len(classes))
    return make_trace(1, classes=3, exits=layers, tiers=tiers, probabilities=p)


@given(scenes(), st.integers(1, 8))
def test_it_leaves_where_the_paper_says(scene: Scene, patience: int) -> None:
    trace = scene.trace("test")
    assert exits_of(trace, patience) == slow_exits(trace, patience)


@pytest.mark.parametrize(
    ("said", "patience", "layer"),
    [
        ((0, 0, 0, 0, 0, 0), 3, 4),  # counters 0 1 2 3
        ((0, 0, 0, 1, 1, 1), 3, 6),  # 0 1 2 0 1 2: the last exit has to answer
        ((0, 1, 1, 1, 1, 2), 3, 5),  # 0 0 1 2 3
        ((0, 0, 0, 1, 1, 1), 2, 3),
        ((0, 1, 2, 0, 1, 2), 1, 6),
        ((0, 1, 1, 2, 2, 2), 1, 3),
        ((1, 1), 3, 2),  # fewer exits than patience + 1
        ((1,), 3, 1),
    ],
)
def test_by_hand(said: tuple[int, ...], patience: int, layer: int) -> None:
    assert exits_of(sample_saying(*said), patience) == [layer]


def test_the_answer_is_the_prediction_that_was_agreed_on() -> None:
    trace = sample_saying(2, 0, 0, 0, 0, 2)
    outcome = PabeePolicy(3).replay(trace, Deployment.paper(trace.tiers))
    assert trace.predictions[0, outcome.answers[0].argmax()] == 0


def test_the_counter() -> None:
    said = np.array([[1, 1, 1, 0, 0], [0, 1, 0, 1, 1], [2, 2, 2, 2, 2]])
    assert agreements(said).tolist() == [[0, 1, 2, 0, 1], [0, 0, 0, 0, 1], [0, 1, 2, 3, 4]]


def test_it_goes_no_deeper_than_the_deployed_model() -> None:
    trace = sample_saying(0, 1, 0, 0, 0, 0)
    assert exits_of(trace, 3, Deployment.paper((1, 1, 4))) == [4]


@given(scenes(), st.integers(1, 6))
def test_more_patience_leaves_no_earlier(scene: Scene, patience: int) -> None:
    trace = scene.trace("test")
    pairs = zip(exits_of(trace, patience), exits_of(trace, patience + 1), strict=True)
    assert all(less <= more for less, more in pairs)


def test_cost_by_hand() -> None:
    """γ = 1.5·6 - 3 = 6: leaving at layer 4 of 6 costs 3 + 6·4/6 = 7, at the last one 9."""
    trace = sample_saying(0, 0, 0, 0, 0, 0)
    deployment = Deployment.paper(trace.tiers)
    for patience, cost in ((3, 7.0), (4, 8.0), (5, 9.0), (8, 9.0)):
        outcome = PabeePolicy(patience).replay(trace, deployment)
        assert deployment.price(outcome.usage).tolist() == [cost]


def test_the_patience_tried_is_the_authors() -> None:
    assert system("pabee").grid == {"patience": (3, 4, 5, 6, 7, 8)}


@pytest.mark.parametrize("patience", [0, -1, 2.5, "3"])
def test_a_patience_that_makes_no_sense_is_refused(patience: Any) -> None:
    with pytest.raises(ConfigError, match=f"at least 1, got {patience!r}"):
        PabeePolicy(patience)
