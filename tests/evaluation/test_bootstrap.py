"""The bootstrap against drawing row by row, and the intervals made of it."""

from __future__ import annotations

import math
from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dimec.evaluation import bootstrap
from dimec.evaluation.bootstrap import bootstrap_means
from dimec.evaluation.evaluate import evaluate
from dimec.evaluation.ledger import LedgerRow
from dimec.evaluation.replay import standard_policies
from dimec.policies import RouterPolicy
from dimec.routing import CentroidRouter, SingleTierRouter
from dimec.traces.trace import Trace
from support import reference
from support.builders import (
    Floats,
    TraceFactory,
    deployment_of,
    ledger_of,
    matrices,
    prices_of,
    right_of,
    routers_of,
    traces,
)


def ledger_like(n: int, seed: int) -> Floats:
    """(n, 3) rows as a ledger has them: right or wrong twice, and one of three prices."""
    rng = np.random.default_rng(seed)
    cloud = rng.random(n) < 0.9
    mobile = np.where(rng.random(n) < 0.8, cloud, ~cloud)
    cost = rng.choice([6.0, 8.5, 18.0], n, p=[0.5, 0.2, 0.3])
    return np.stack([cloud, mobile, cost], axis=1).astype(np.float64)


def test_counting_equal_rows_together_is_drawing_row_by_row() -> None:
    """Mean, spread, quantiles, covariance and the whole distribution agree."""
    values, draws = ledger_like(50, seed=1), 3000
    fast = bootstrap_means(values, draws, seed=2)
    slow = np.array(reference.bootstrap(values.tolist(), draws, seed=3))
    assert fast.shape == slow.shape == (draws, 3)
    for v in range(3):
        a, b = fast[:, v], slow[:, v]
        spread = values[:, v].std() / math.sqrt(len(values))  # of a bootstrap mean, exactly
        for means in (a, b):
            error = spread / math.sqrt(draws)
            assert means.mean() == pytest.approx(values[:, v].mean(), rel=0, abs=5 * error)
            assert means.std() == pytest.approx(spread, rel=5 / math.sqrt(2 * draws))
        # Kolmogorov-Smirnov, at a chance of one in ten thousand.
        grid = np.union1d(a, b)
        below = [np.searchsorted(np.sort(x), grid + 1e-9) / draws for x in (a, b)]
        assert np.abs(below[0] - below[1]).max() < 2.23 * math.sqrt(2 / draws)
        for q in (0.025, 0.25, 0.5, 0.75, 0.975):
            assert abs(np.quantile(a, q) - np.quantile(b, q)) < 0.4 * spread
    # Columns of one row are drawn together.
    exact = np.cov(values.T, bias=True) / len(values)
    scale = np.sqrt(np.outer(np.diag(exact), np.diag(exact)))
    for means in (fast, slow):
        assert np.all(np.abs(np.cov(means.T) - exact) < 5 * scale * math.sqrt(2 / draws))


def test_two_rows_are_drawn_with_their_exact_odds() -> None:
    """Of 0 and 1 drawn twice: 0 and 1 a quarter of the time each, 1/2 half of the time."""
    draws = 10_000
    means = bootstrap_means(np.array([[0.0], [1.0]]), draws, seed=0)[:, 0]
    for value, odds in ((0.0, 0.25), (0.5, 0.5), (1.0, 0.25)):
        error = math.sqrt(odds * (1 - odds) / draws)
        assert np.mean(means == value) == pytest.approx(odds, rel=0, abs=5 * error)


@given(matrices((1, 12), (1, 3), st.floats(-5, 5)), st.integers(0, 99))
def test_bootstrap_means_stay_within_the_values(values: Floats, seed: int) -> None:
    means = bootstrap_means(values, 10, seed)
    assert means.shape == (10, values.shape[1])
    assert np.all(means >= values.min(axis=0) - 1e-12)
    assert np.all(means <= values.max(axis=0) + 1e-12)
    assert np.array_equal(means, bootstrap_means(values, 10, seed))


@pytest.mark.parametrize("cells", [1, 17, 100])
def test_the_size_of_a_block_changes_no_draw(monkeypatch: pytest.MonkeyPatch, cells: int) -> None:
    values = ledger_like(30, seed=4)
    whole = bootstrap_means(values, 25, seed=5)
    monkeypatch.setattr(bootstrap, "_CHUNK_CELLS", cells)
    assert np.array_equal(bootstrap_means(values, 25, seed=5), whole)


def test_intervals_are_those_of_drawing_row_by_row(small_trace: TraceFactory) -> None:
    """Drop and reduction of a router, each sample drawn together for router and cloud."""
    trace, draws = small_trace(60, seed=9), 3000
    router = routers_of(trace)["dimec-fixed"]
    policies = standard_policies({"dimec-fixed": router})
    row = evaluate(trace, policies, deployment_of(trace), draws=draws).row("dimec-fixed")
    chosen, prices = router.route(trace.embeddings).tolist(), prices_of(trace)
    table = [
        [float(right[2]), float(right[k]), prices[2], prices[k]]
        for right, k in zip(right_of(trace), chosen, strict=True)
    ]
    means = reference.bootstrap(table, draws, seed=1)
    drops = [cloud - mine for cloud, mine, _, _ in means]
    reductions = [1 - mine / cloud for _, _, cloud, mine in means]
    for values, low, high in (
        (drops, row.drop_low, row.drop_high),
        (reductions, row.reduction_low, row.reduction_high),
    ):
        spread = float(np.std(values))
        assert low == pytest.approx(reference.quantile(values, 0.025), rel=0, abs=0.35 * spread)
        assert high == pytest.approx(reference.quantile(values, 0.975), rel=0, abs=0.35 * spread)
    assert row.drop_low < row.drop < row.drop_high
    assert row.reduction_low < row.reduction < row.reduction_high


def test_intervals_are_paired(small_trace: TraceFactory) -> None:
    """A policy that is the cloud's twin has no drop in any draw, and twins have equal intervals."""
    trace = small_trace(50)
    policies = [*standard_policies({}), RouterPolicy("twin", SingleTierRouter(0))]
    ledger = evaluate(trace, policies, deployment_of(trace), draws=200)
    cloud, mobile, twin = (ledger.row(name) for name in ("all-cloud", "all-mobile", "twin"))
    assert (cloud.drop_low, cloud.drop_high) == (0.0, 0.0)
    assert (cloud.reduction_low, cloud.reduction_high) == (0.0, 0.0)
    assert (twin.drop_low, twin.drop_high) == (mobile.drop_low, mobile.drop_high)
    # One price for all: no draw can change what is saved.
    expected = pytest.approx((mobile.reduction, mobile.reduction), rel=0, abs=1e-12)
    assert (mobile.reduction_low, mobile.reduction_high) == expected


def test_the_seed_decides_the_intervals(small_trace: TraceFactory) -> None:
    trace = small_trace(200)
    assert ledger_of(trace, draws=50) == ledger_of(trace, draws=50)
    one, two = (ledger_of(trace, draws=50, seed=s).row("dimec-fixed") for s in (1, 2))
    assert (one.drop, one.cost) == (two.drop, two.cost)
    assert (one.drop_low, one.reduction_low) != (two.drop_low, two.reduction_low)


@settings(max_examples=20)
@given(traces())
def test_intervals_are_in_order(trace: Trace) -> None:
    for row in ledger_of(trace, draws=30).rows:
        assert row.drop_low <= row.drop_high
        assert row.reduction_low <= row.reduction_high
        for field in fields(LedgerRow):
            value = getattr(row, field.name)
            if field.name.startswith("gain") and value is None:
                continue  # of policies that have no random twin
            assert field.name in {"policy", "shares"} or type(value) is float
            assert field.name in {"policy", "shares"} or math.isfinite(value)
        assert all(map(math.isfinite, row.shares.values()))


def test_the_gain_over_random_is_paired(small_trace: TraceFactory) -> None:
    trace = small_trace(300)
    router = CentroidRouter().fit(trace.embeddings, np.arange(300) % 3)
    ledger = evaluate(trace, [RouterPolicy("r", router)], deployment_of(trace), draws=4000)
    row, twin = ledger.row("r"), ledger.row("random@r")
    assert row.gain == pytest.approx(row.accuracy - twin.accuracy, abs=1e-15)
    assert twin.gain is None
    # Against drawing row by row: the difference of the two policies on the same samples.
    chosen = router.route(trace.embeddings)
    correct = trace.correct[:, trace.columns(trace.tiers)].astype(float)
    shares = np.bincount(chosen, minlength=3) / 300
    difference = correct[np.arange(300), chosen] - correct @ shares
    rng = np.random.default_rng(5)
    means = difference[rng.integers(300, size=(4000, 300))].mean(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    assert row.gain_low == pytest.approx(low, abs=0.006)
    assert row.gain_high == pytest.approx(high, abs=0.006)
