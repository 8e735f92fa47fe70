"""The nearest-centroid router against Algorithm 2, sample by sample."""

from __future__ import annotations

import doctest
import math
from types import ModuleType

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dimec.base.errors import ConfigError, DataError
from dimec.routing import CentroidRouter, Router, centroid
from dimec.routing import reference as other_routers
from support import reference
from support.builders import Floats, Ints
from support.routers import state, streams

# Decisions nearer to a tie than this are the rounding's, not the rule's.
CLOSE = 1e-9


@given(streams())
def test_centres_are_the_pool_averages(case: tuple[Floats, Ints, Floats]) -> None:
    x, pools, _ = case
    router = CentroidRouter().fit(x, pools)
    averages, sizes = reference.pool_averages(x.tolist(), pools.tolist())
    assert router.counts.tolist() == sizes
    assert router.counts.dtype == np.int64
    for centre, average in zip(router.centroids, averages, strict=True):
        expected = np.array(average or [math.nan] * x.shape[1])
        np.testing.assert_allclose(centre, expected, rtol=0, atol=1e-12)


@given(streams())
def test_fixed_routing_is_algorithm_2_without_its_updates(
    case: tuple[Floats, Ints, Floats],
) -> None:
    x, pools, stream = case
    router = CentroidRouter().fit(x, pools)
    before = state(router)
    averages, sizes = reference.pool_averages(x.tolist(), pools.tolist())
    decisions, _, _ = reference.route(stream.tolist(), averages, sizes, adaptive=False)
    tiers = router.route(stream)
    assert tiers.shape == (len(stream),)
    assert tiers.dtype == np.int64
    for tier, decision in zip(tiers, decisions, strict=True):
        assert tier == decision.tier or decision.margin < CLOSE
    assert state(router) == before


@given(streams())
def test_adaptive_routing_is_algorithm_2_in_order_of_arrival(
    case: tuple[Floats, Ints, Floats],
) -> None:
    x, pools, stream = case
    router = CentroidRouter(adaptive=True).fit(x, pools)
    averages, sizes = reference.pool_averages(x.tolist(), pools.tolist())
    decisions, averages, sizes = reference.route(stream.tolist(), averages, sizes, adaptive=True)
    tiers = router.route(stream)
    # From the first near tie on, the two may follow different, equally right, paths.
    clear = next((i for i, d in enumerate(decisions) if d.margin < CLOSE), len(decisions))
    assert tiers[:clear].tolist() == [d.tier for d in decisions[:clear]]
    if clear == len(decisions):
        assert router.counts.tolist() == sizes
        for centre, average in zip(router.centroids, averages, strict=True):
            expected = np.array(average or [math.nan] * x.shape[1])
            np.testing.assert_allclose(centre, expected, rtol=0, atol=1e-10)


@given(streams(), st.booleans())
def test_a_stream_is_route_one_and_learn_one_for_each(
    case: tuple[Floats, Ints, Floats], adaptive: bool
) -> None:
    x, pools, stream = case
    at_once = CentroidRouter(adaptive).fit(x, pools)
    one_by_one = at_once.copy()
    tiers = []
    for row in stream:
        before = state(one_by_one)
        route = one_by_one.route_one(row)
        assert one_by_one.route_one(row) == route
        assert state(one_by_one) == before
        one_by_one.learn_one(row, route.tier)
        assert (state(one_by_one) != before) == adaptive
        tiers.append(route.tier)
    assert at_once.route(stream).tolist() == tiers
    assert state(at_once) == state(one_by_one)


@given(streams(), st.booleans(), st.integers(0, 30))
def test_a_stream_may_come_in_pieces(
    case: tuple[Floats, Ints, Floats], adaptive: bool, cut: int
) -> None:
    x, pools, stream = case
    whole = CentroidRouter(adaptive).fit(x, pools)
    pieces = whole.copy()
    parts = [pieces.route(stream[:cut]), pieces.route(stream[cut:])]
    assert whole.route(stream).tolist() == np.concatenate(parts).tolist()
    assert state(whole) == state(pieces)


@given(streams())
def test_a_route_tells_distances_and_margin(case: tuple[Floats, Ints, Floats]) -> None:
    x, pools, stream = case
    router = CentroidRouter().fit(x, pools)
    averages, _ = reference.pool_averages(x.tolist(), pools.tolist())
    for row in stream:
        route = router.route_one(row)
        expected = reference.decide(row.tolist(), averages)
        np.testing.assert_allclose(route.distances, expected.distances, rtol=0, atol=1e-9)
        assert route.tier == expected.tier or expected.margin < CLOSE
        assert route.margin == pytest.approx(expected.margin, abs=1e-9)
        assert route.margin >= 0


def test_a_stream_longer_than_a_block_is_routed_the_same() -> None:
    rng = np.random.default_rng(3)
    router = CentroidRouter().fit(rng.standard_normal((9, 2)), np.arange(9) % 3)
    stream = rng.standard_normal((10_000, 2)).astype(np.float32)
    tiers = router.route(stream)
    assert tiers[::97].tolist() == [router.route_one(x).tier for x in stream[::97]]
    distances = np.linalg.norm(stream[:, None] - router.centroids, axis=2)
    assert np.array_equal(tiers, distances.argmin(axis=1))


def test_three_pools_by_hand() -> None:
    """Easy {(0,0), (2,0)}, medium {(4,0)}, hard {(8,0), (8,2)}."""
    x = np.array([[0, 0], [2, 0], [4, 0], [8, 0], [8, 2]])
    pools = np.array([0, 0, 1, 2, 2])
    fixed = CentroidRouter().fit(x, pools)
    assert fixed.centroids.tolist() == [[1, 0], [4, 0], [8, 1]]
    assert fixed.counts.tolist() == [2, 1, 2]
    # (2.5, 0) is 1.5 from easy and 1.5 from medium: a tie goes to the mobile.
    # (6, 0) is 2 from medium, √5 from hard.
    route = fixed.route_one(np.array([2.5, 0.0]))
    assert (route.tier, route.margin) == (0, 0.0)
    assert route.distances == (1.5, 1.5, math.hypot(5.5, 1))
    route = fixed.route_one(np.array([6.0, 0.0]))
    assert route.tier == 1
    assert route.margin == pytest.approx(math.sqrt(5) - 2)
    stream = np.array([[2.5, 0], [2.6, 0], [6, 0], [3, 0]])
    assert fixed.route(stream).tolist() == [0, 1, 1, 1]
    # Adaptive: (2.5,0) is easy: its centre moves to (2·1 + 2.5)/3 = (1.5, 0). So (2.6,0) is now
    # 1.1 from easy and 1.4 from medium: easy, (3·1.5 + 2.6)/4 = (1.775, 0). (6,0) is medium:
    # (4 + 6)/2 = (5, 0). Then (3,0) is 1.225 from easy and 2 from medium: easy.
    adaptive = fixed.copy(adaptive=True)
    assert adaptive.route(stream).tolist() == [0, 0, 1, 0]
    assert adaptive.counts.tolist() == [5, 2, 2]
    np.testing.assert_allclose(
        adaptive.centroids, [[2.02, 0.0], [5.0, 0.0], [8.0, 1.0]], atol=1e-12
    )
    assert fixed.counts.tolist() == [2, 1, 2]


@pytest.mark.parametrize("adaptive", [False, True])
def test_ties_go_to_mobile_then_edge_then_cloud(adaptive: bool) -> None:
    """Corners of a square, asked from its middle and from the middle of its sides."""
    corners = np.array([[0.0, 0.0], [2.0, 0.0], [2.0, 2.0]])
    for pools, point, tier in (
        ([0, 1, 2], [1.0, 1.0], 0),
        ([2, 1, 0], [1.0, 1.0], 0),
        ([0, 1, 2], [1.0, 0.0], 0),
        ([0, 1, 2], [2.0, 1.0], 1),
        ([1, 0, 2], [2.0, 1.0], 0),
        ([1, 2, 0], [1.0, 0.0], 1),
    ):
        router = CentroidRouter(adaptive).fit(corners, np.array(pools))
        assert router.route_one(np.array(point)).tier == tier
        assert router.route(np.array([point])).tolist() == [tier]


@pytest.mark.parametrize("adaptive", [False, True])
@pytest.mark.parametrize("present", [[0], [1], [2], [0, 1], [0, 2], [1, 2]])
def test_an_empty_pool_gets_no_traffic(present: list[int], adaptive: bool) -> None:
    rng = np.random.default_rng(4)
    pools = np.array(present)
    router = CentroidRouter(adaptive).fit(rng.standard_normal((len(pools), 3)), pools)
    empty = [pool for pool in range(3) if pool not in present]
    assert np.isnan(router.centroids[empty]).all()
    stream = 10 * rng.standard_normal((200, 3))
    route = router.route_one(stream[0])
    assert all(math.isinf(route.distances[pool]) for pool in empty)
    assert math.isinf(route.margin) == (len(present) == 1)
    assert set(router.route(stream).tolist()) == set(present)
    assert router.counts[empty].tolist() == [0] * len(empty)


@pytest.mark.parametrize("adaptive", [False, True])
def test_an_empty_pool_opens_with_the_first_sample_that_it_is_given(adaptive: bool) -> None:
    """A sample may reach a tier by another way than the router, for example as a fallback."""
    router = CentroidRouter(adaptive).fit(np.zeros((1, 2)), np.array([2]))
    router.learn_one(np.array([4.0, 0.0]), 0)
    assert router.counts.tolist() == ([1, 0, 1] if adaptive else [0, 0, 1])
    assert router.route_one(np.array([3.0, 0.0])).tier == (0 if adaptive else 2)


def test_one_sample_sends_everything_to_its_tier() -> None:
    router = CentroidRouter().fit(np.array([[1.0, 2.0]], np.float32), np.array([1]))
    assert router.route(np.random.default_rng(0).standard_normal((20, 2))).tolist() == [1] * 20


def test_no_input_no_decision() -> None:
    router = CentroidRouter(adaptive=True).fit(np.zeros((1, 2)), np.array([0]))
    before = state(router)
    assert router.route(np.zeros((0, 2))).tolist() == []
    assert state(router) == before


def test_fitting_again_starts_afresh() -> None:
    router = CentroidRouter(adaptive=True).fit(np.ones((4, 2)), np.array([0, 0, 1, 2]))
    router.route(np.ones((5, 2)))
    router.fit(np.zeros((1, 3)), np.array([1]))
    assert router.counts.tolist() == [0, 1, 0]
    assert router.sums.tolist() == np.zeros((3, 3)).tolist()


@pytest.mark.parametrize("width", [1, 384, 768])
@pytest.mark.parametrize("present", [[1], [0, 2], [0, 1, 2]])
def test_one_decision_measures_as_the_definition_says_to_the_last_bit(
    width: int, present: list[int]
) -> None:
    rng = np.random.default_rng(width)
    pools = rng.permutation(present * 4)
    router = CentroidRouter(adaptive=True).fit(rng.standard_normal((len(pools), width)), pools)
    for x in rng.standard_normal((50, width)).astype(np.float32):
        route = router.route_one(x)
        for pool in range(3):
            difference = router.centroids[pool] - x.astype(np.float64)
            expected = math.sqrt(float(np.vecdot(difference, difference)))
            assert route.distances[pool] == (expected if pool in present else math.inf)
        assert route.tier == int(np.argmin(route.distances))
        assert router.copy().route(x[None]).tolist() == [route.tier]
        router.learn_one(x, route.tier)


@pytest.mark.parametrize("pools", [[1], [0, 1, 2]])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_one_embedding_that_is_not_finite_is_refused(pools: list[int], value: float) -> None:
    router = CentroidRouter().fit(np.zeros((len(pools), 2)), np.array(pools))
    with pytest.raises(DataError, match="not finite"):
        router.route_one(np.array([0.0, value]))


# --- Refusals ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("embeddings", "pools", "message"),
    [
        (np.zeros(3), [0, 1, 2], r"\(N, D\), got \(3,\)"),
        (np.zeros((3, 2, 1)), [0, 1, 2], r"\(N, D\), got \(3, 2, 1\)"),
        (np.zeros((3, 2)), [0, 1], r"each of 3 rows, got \(2,\)"),
        (np.zeros((2, 2)), [[0, 1]], r"each of 2 rows, got \(1, 2\)"),
        (np.zeros((2, 2)), [0, 3], "whole numbers from 0 to 2"),
        (np.zeros((2, 2)), [0, -1], "whole numbers from 0 to 2"),
        (np.zeros((2, 2)), [0, 0.5], "whole numbers from 0 to 2"),
        (np.zeros((0, 2)), [], "no samples"),
        (np.array([[0.0, 1.0], [0.0, np.nan]]), [0, 1], "sample 1 .*not finite"),
        (np.array([[np.inf, 1.0], [0.0, 0.0]]), [0, 1], "sample 0 .*not finite"),
    ],
)
def test_samples_that_cannot_be_fitted_are_refused(
    embeddings: Floats, pools: npt.ArrayLike, message: str
) -> None:
    router = CentroidRouter()
    with pytest.raises(DataError, match=message):
        router.fit(embeddings, np.asarray(pools))
    assert router.counts.tolist() == []


@pytest.mark.parametrize("adaptive", [False, True])
def test_inputs_that_cannot_be_routed_are_refused(adaptive: bool) -> None:
    router = CentroidRouter(adaptive).fit(np.zeros((3, 2)), np.array([0, 1, 2]))
    before = state(router)
    with pytest.raises(DataError, match=r"\(N, 2\), got \(5, 3\)"):
        router.route(np.zeros((5, 3)))
    with pytest.raises(DataError, match=r"\(N, 2\), got \(2,\)"):
        router.route(np.zeros(2))
    with pytest.raises(DataError, match=r"sample 1 .*not finite"):
        router.route(np.array([[1.0, 1.0], [np.nan, 0.0]]))
    with pytest.raises(DataError, match=r"\(N, 2\), got \(1, 3\)"):
        router.route_one(np.zeros(3))
    with pytest.raises(DataError, match="not finite"):
        router.learn_one(np.array([0.0, np.inf]), 0)
    with pytest.raises(DataError, match=r"\(N, 2\), got \(1, 3\)"):
        router.learn_one(np.zeros(3), 0)
    for tier in (-1, 3):
        with pytest.raises(DataError, match=f"from 0 to 2, got {tier}"):
            router.learn_one(np.zeros(2), tier)
    assert state(router) == before


def test_a_router_must_be_fitted_first() -> None:
    router = CentroidRouter()
    calls = (
        lambda: router.route(np.zeros((1, 2))),
        lambda: router.route_one(np.zeros(2)),
        lambda: router.learn_one(np.zeros(2), 0),
        lambda: router.centroids,
    )
    for call in calls:
        with pytest.raises(ConfigError, match=r"not been fitted; call fit\(embeddings, pools\)"):
            call()


# --- Protocol and documentation ------------------------------------------------------------------


def test_it_is_a_router() -> None:
    assert isinstance(CentroidRouter(), Router)


@pytest.mark.parametrize("module", [centroid, other_routers])
def test_the_examples_in_the_docstrings_hold(module: ModuleType) -> None:
    failed, tried = doctest.testmod(module)
    assert tried > 0
    assert failed == 0
