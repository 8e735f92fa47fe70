"""Rank correlation against scipy's, and paired differences against hand-worked ones."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr

from dimec.evaluation.replay import replay
from dimec.policies import RouterPolicy
from dimec.routing import SingleTierRouter
from dimec_studies.robustness import correlate, difference, spearman
from dimec_studies.summary import SeedReplays
from support.builders import deployment_of, trace_of_answers


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=3, max_size=30))
def test_spearman_is_scipys(pairs: list[tuple[int, int]]) -> None:
    one, other = np.array(pairs, float).T
    if len(set(one)) < 2 or len(set(other)) < 2:
        assert spearman(one, other) == 0.0  # scipy has no number there
        return
    assert spearman(one, other) == pytest.approx(spearmanr(one, other).statistic, abs=1e-12)


def test_a_correlation_lies_in_its_interval_and_keeps_its_sign() -> None:
    rng = np.random.default_rng(0)
    one = rng.normal(size=300)
    found = correlate(one, -one + rng.normal(size=300), draws=300, seed=1)
    assert -1 < found["low"] < found["value"] < found["high"] < -0.4
    assert found == correlate(one, -one + np.random.default_rng(0).normal(size=600)[300:], 300, 1)


def test_a_difference_is_paired() -> None:
    """Right together, wrong together: no difference in any draw, however the samples fall."""
    trace = trace_of_answers([[True, True, True], [False, False, True]] * 20)
    replays = [
        replay(RouterPolicy(name, SingleTierRouter(k)), trace, deployment_of(trace))
        for k, name in enumerate(("mobile", "edge", "cloud"))
    ]
    seeds = [SeedReplays(seed, replays[2], replays) for seed in range(2)]
    same = difference(seeds, "edge", "mobile", 200)
    assert same["accuracy"] == {"mean": 0.0, "low": 0.0, "high": 0.0}
    # exits 2 and 4: 1.5·2 = 3 on the mobile, 4 + 2.5 at the edge
    assert same["cost"]["mean"] == pytest.approx(3.5)
    half = difference(seeds, "cloud", "mobile", 200)
    assert half["accuracy"]["mean"] == 0.5
    assert 0.3 < half["accuracy"]["low"] < 0.5 < half["accuracy"]["high"] < 0.7
