"""Cascades by confidence and class, where the answer is plain."""

from __future__ import annotations

import numpy as np
import pytest

from dimec.policies.ladder import ladder
from dimec.policies.literature.exit_thresholds import ThresholdsPolicy
from dimec.policies.registry import FitInputs, system
from dimec.tiers.deployment import Deployment
from dimec.traces.trace import Trace
from support.builders import make_trace

DEPLOYMENT = Deployment.paper((2, 3, 6))  # mobile 3.0, and then the edge 5.5, the cloud 9.0


def trace_of(first: list[float], labels: list[int]) -> Trace:
    """P(class 1) at the mobile's exit; the edge is always wrong, the cloud is always right."""
    gold = np.array(labels, float)
    p = np.stack([np.array(first), 1 - gold, gold], axis=1)
    probabilities = np.stack([1 - p, p], axis=-1).astype(np.float32)
    return make_trace(
        len(first),
        exits=(2, 3, 6),
        tiers=(2, 3, 6),
        probabilities=probabilities,
        labels=np.array(labels),
    )


# Class 0 is right even where it is unsure, class 1 is wrong even where it is sure.
ONE_CLASS = trace_of([0.1, 0.4, 0.45, 0.95, 0.9, 0.8], [0, 0, 0, 0, 0, 0])


def reward(name: str, trace: Trace, lam: float = 0.01) -> float:
    return system(name).fit(FitInputs(trace, DEPLOYMENT, lam)).reward


@pytest.mark.parametrize("name", ["class-cascade", "class-gate"])
def test_a_class_that_errs_goes_on(name: str) -> None:
    """Half of them at 3, half past the edge to the cloud at 3 + 9; all right."""
    assert reward(name, ONE_CLASS) == pytest.approx(1 - 0.01 * (3 + 12) / 2)


def test_one_threshold_for_all_classes_cannot_tell_them_apart() -> None:
    """The sure ones are wrong: the best it can do is to let all go on, at 12."""
    assert reward("exit-cascade", ONE_CLASS) == pytest.approx(1 - 0.01 * 12)


def test_confidence_tells_where_the_class_does_not() -> None:
    trace = trace_of([0.9, 0.95, 0.6, 0.1, 0.4, 0.05], [1, 1, 0, 0, 1, 0])
    expected = 1 - 0.01 * (4 * 3 + 2 * 12) / 6
    assert reward("exit-cascade", trace) == pytest.approx(expected)
    assert reward("class-cascade", trace) == pytest.approx(expected)
    assert reward("class-gate", trace) < expected - 0.01


def test_the_edge_is_asked_where_that_pays() -> None:
    """The edge is as good as the cloud, for 5.5 in place of 9."""
    labels = np.array([0, 1, 0, 1])
    sure = np.stack([np.full(4, 0.5), labels, labels], axis=1)
    probabilities = np.stack([1 - sure, sure], axis=-1).astype(np.float32)
    trace = make_trace(
        4, exits=(2, 3, 6), tiers=(2, 3, 6), probabilities=probabilities, labels=labels
    )
    fitted = system("exit-cascade").fit(FitInputs(trace, DEPLOYMENT, 0.01))
    policy = fitted.policy
    assert isinstance(policy, ThresholdsPolicy)
    assert policy.way == ((0, 2), (1, 3), (2, 6))
    # No two confidences at the mobile's exit: class 0 is right half of the time, and goes on too.
    assert fitted.reward == pytest.approx(1 - 0.01 * (3 + 5.5))


@pytest.mark.parametrize("name", ["exit-cascade", "class-cascade", "class-gate"])
def test_along_the_ladder_it_gets_cheaper(name: str) -> None:
    trace = make_trace(80, exits=(2, 3, 6), tiers=(2, 3, 6), seed=2)
    made = ladder(system(name), FitInputs(trace, DEPLOYMENT, 0.5), (0.0, 0.01, 0.5))
    assert [lam for lam, _ in made] == [0.0, 0.01, 0.5]
    costs = [one.policy.replay(trace, DEPLOYMENT).cost.mean() for _, one in made]
    assert costs == sorted(costs, reverse=True)
    assert costs[-1] == 3  # all stay on the mobile
    again = system(name).fit(FitInputs(trace, DEPLOYMENT, 0.01))
    assert again.reward == made[1][1].reward
