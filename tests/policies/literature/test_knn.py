"""Nearest neighbours against plain loops."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dimec.base.errors import ConfigError
from dimec.policies.drive import site_of
from dimec.policies.ladder import ladder
from dimec.policies.literature import knn
from dimec.policies.literature.knn import (
    KS,
    Neighbours,
    NeighboursPolicy,
    neighbours_of,
    quantised,
)
from dimec.policies.registry import FitInputs, system
from dimec.tiers.deployment import Deployment
from dimec.traces.trace import Trace
from support.builders import make_trace

DEPLOYMENT = Deployment.paper((2, 4, 6))


def slow_shares(
    own: Neighbours, point: list[int], k: int, without: int | None = None
) -> list[float]:
    """Every distance, sorted; the first in the split where two are as near."""
    rows = [i for i in range(len(own)) if i != without]
    distance = {
        i: sum((a - b) ** 2 for a, b in zip(own.points[i].tolist(), point, strict=True))
        for i in rows
    }
    nearest = sorted(rows, key=lambda i: (distance[i], i))[:k]
    tiers = range(own.right.shape[1])
    return [sum(int(own.right[i, t]) for i in nearest) / len(nearest) for t in tiers]


def coarse(seed: int, n: int) -> Trace:
    """Embeddings of few values, so that many are equally near."""
    embeddings = np.random.default_rng(seed).integers(-1, 2, (n, 3)).astype(np.float32)
    return make_trace(n, seed=seed, embeddings=embeddings)


@settings(max_examples=40)
@given(st.integers(0, 500), st.integers(1, 30), st.integers(1, 40), st.booleans())
def test_shares_are_those_of_the_loop(seed: int, n: int, k: int, ties: bool) -> None:
    trace = coarse(seed, n) if ties else make_trace(n, seed=seed)
    own = neighbours_of(trace, DEPLOYMENT)
    queries = make_trace(5, seed=seed + 1).embeddings[:, : trace.embeddings.shape[1]]
    whole = quantised(queries, own.mean, own.scale).tolist()
    expected = [slow_shares(own, point, k) for point in whole]
    np.testing.assert_allclose(own.shares(queries, k), expected, rtol=0, atol=1e-12)


@settings(max_examples=30)
@given(st.integers(0, 500), st.integers(2, 20), st.booleans())
def test_leaving_one_out_is_that_of_the_loop(seed: int, n: int, ties: bool) -> None:
    own = neighbours_of(coarse(seed, n) if ties else make_trace(n, seed=seed), DEPLOYMENT)
    ks = (40, 7, 3, 1)
    for k, told in zip(ks, own.shares_left_out(ks), strict=True):
        points = own.points.tolist()
        expected = [slow_shares(own, points[i], k, without=i) for i in range(n)]
        np.testing.assert_allclose(told, expected, rtol=0, atol=1e-12)


def test_bytes_keep_the_neighbours_that_the_embeddings_have() -> None:
    """All but a few of the ten nearest of 300 texts, in 64 dimensions."""
    trace, rng = make_trace(300, dim=64), np.random.default_rng(1)
    own = neighbours_of(trace, DEPLOYMENT)
    queries = rng.standard_normal((20, 64)).astype(np.float32)
    keys = own.keys(quantised(queries, own.mean, own.scale))
    kept = 0
    for i in range(20):
        exact = np.square(trace.embeddings - queries[i]).sum(axis=1).argsort()[:10]
        kept += len(set(exact.tolist()) & set(keys[i].argsort()[:10].tolist()))
    assert kept >= 190


def clustered(seed: int, n: int = 300) -> Trace:
    """To the left the mobile is right, to the right the cloud alone."""
    rng = np.random.default_rng(seed)
    left = rng.integers(0, 2, n).astype(bool)
    embeddings = rng.standard_normal((n, 4)) + np.where(left, -6, 6)[:, None]
    labels = np.ones(n, np.int64)
    gold = np.stack([np.where(left, 0.9, 0.2), np.full(n, 0.2), np.full(n, 0.9)], axis=1)
    probabilities = np.stack([1 - gold, gold], axis=-1).astype(np.float32)
    return make_trace(
        n, embeddings=embeddings.astype(np.float32), probabilities=probabilities, labels=labels
    )


def test_an_input_goes_where_its_neighbours_were_answered_best_for_the_price() -> None:
    test = clustered(1)
    fitted = system("knn").fit(FitInputs(clustered(0), DEPLOYMENT, 0.01))
    tiers = fitted.policy.replay(test, DEPLOYMENT).tiers
    left = test.probabilities[:, 0, 1] > 0.5
    np.testing.assert_array_equal(tiers[:, 0] == 1, left)
    np.testing.assert_array_equal(tiers[:, 2] == 1, ~left)


def test_k_is_the_best_of_leaving_one_out_and_the_larger_of_two() -> None:
    """Of 160 most are of the own half, as of fewer; all others say the same of everybody."""
    inputs = FitInputs(clustered(0), DEPLOYMENT, 0.01)
    assert system("knn").fit(inputs).settings["k"] == 160
    noise = make_trace(200, seed=5)  # where nothing is to be learnt, whatever is cheapest
    assert system("knn").fit(FitInputs(noise, DEPLOYMENT, 1.0)).settings["k"] == KS[0]


def test_along_the_ladder_it_gets_cheaper() -> None:
    trace = make_trace(150, seed=3)
    made = ladder(system("knn"), FitInputs(trace, DEPLOYMENT, 0.5), (0.0, 0.02, 0.5, 1.0))
    assert len(made) == 4  # none is taken for another, as those of 0.5 and 1 have the same k
    costs = [one.policy.replay(trace, DEPLOYMENT).cost.mean() for _, one in made]
    assert costs == sorted(costs, reverse=True)
    assert costs[-1] == DEPLOYMENT.prices[0]


def test_of_a_large_split_a_sample_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(knn, "MOST", 50)
    trace = make_trace(200)
    own = neighbours_of(trace, DEPLOYMENT)
    assert len(own) == 50
    again = neighbours_of(trace, DEPLOYMENT)
    np.testing.assert_array_equal(own.points, again.points)
    every = quantised(trace.embeddings, own.mean, own.scale).tolist()
    assert all(point in every for point in own.points.tolist())


def test_blocks_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    own, queries = neighbours_of(make_trace(40), DEPLOYMENT), make_trace(25, seed=9).embeddings
    whole, left_out = own.shares(queries, 5), own.shares_left_out((10, 5))
    monkeypatch.setattr(knn, "_BLOCK", 7)
    np.testing.assert_array_equal(own.shares(queries, 5), whole)
    for one, two in zip(own.shares_left_out((10, 5)), left_out, strict=True):
        np.testing.assert_array_equal(one, two)


def test_wide_embeddings_are_exact_too() -> None:
    """Their sums of products are over what float32 holds."""
    own = neighbours_of(make_trace(6, dim=1100), DEPLOYMENT)
    full = np.full((1, 1100), 127, np.int8)
    expected = [sum((127 - value) ** 2 for value in row) for row in own.points.tolist()]
    keys = own.keys(full)[0]
    assert keys.argsort().tolist() == sorted(range(6), key=lambda i: (expected[i], i))
    gaps = [(a - b) * 6 for a, b in pairwise(expected)]
    assert [a - b + 1 for a, b in pairwise(keys.tolist())] == gaps


def test_other_tiers_and_settings_that_make_no_sense_are_refused() -> None:
    trace = make_trace(10)
    policy = NeighboursPolicy(neighbours_of(trace, DEPLOYMENT), 3, 0.01)
    two = Deployment.paper((2, 6), names=["a", "b"])
    with pytest.raises(ConfigError, match="knn was fitted for 3 tiers, there are 2"):
        policy.replay(trace, two)
    with pytest.raises(ConfigError, match="knn was fitted for 3 tiers, there are 2"):
        policy.steps(site_of(trace, two))
    with pytest.raises(ConfigError, match="a whole number of at least 1, got 0"):
        system("knn").fit(FitInputs(trace, DEPLOYMENT, 0.01, pinned={"k": 0}))
    fitted = system("knn").fit(FitInputs(trace, DEPLOYMENT, 0.01, pinned={"k": 3}))
    assert fitted.settings == {"k": 3, "lambda": 0.01}


def test_samples_that_do_not_fit_each_other_are_refused() -> None:
    points, right, mean = np.zeros((3, 2), np.int8), np.ones((3, 2), np.uint8), np.zeros(2)
    Neighbours(points, right, mean, 1.0)
    with pytest.raises(ValueError, match="3 rows of rightness"):
        Neighbours(points, right[:2], mean, 1.0)
    with pytest.raises(ValueError, match="finite mean"):
        Neighbours(points, right, mean + np.nan, 1.0)
    with pytest.raises(ValueError, match="scale above 0"):
        Neighbours(points, right, mean, 0.0)
    with pytest.raises(ValueError, match="uint8 of 0 and 1"):
        Neighbours(points, right * np.uint8(2), mean, 1.0)
