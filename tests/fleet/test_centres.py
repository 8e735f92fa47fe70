"""Many mobiles' adaptive centres against the router itself, and what sharing makes of them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dimec.base.errors import DataError
from dimec.fleet import centres as module
from dimec.fleet.centres import Centres, route
from dimec.fleet.sharing import Exchange, dispersion, route_sharing
from dimec.routing import CentroidRouter
from support.builders import Floats, Ints
from support.routers import streams


@given(streams(), st.integers(1, 5), st.integers(0, 99), st.sampled_from([1, 1 << 20]))
def test_every_mobile_is_a_router_to_the_last_bit(
    stream: tuple[Floats, Ints, Floats], mobiles: int, seed: int, block: int
) -> None:
    fitted_on, pools, texts = stream
    rng = np.random.default_rng(seed)
    fitted = CentroidRouter(adaptive=True).fit(fitted_on, pools)
    size = 40 if len(texts) else 0
    owner = rng.integers(0, mobiles, size)
    rows = rng.integers(0, max(1, len(texts)), size)
    centres = Centres.alike(fitted.sums, fitted.counts, mobiles)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_BLOCK", block)
        tiers = route(centres, texts, owner, rows)
    for mobile in range(mobiles):
        router = fitted.copy()
        mine = owner == mobile
        assert router.route(texts[rows[mine]]).tolist() == tiers[mine].tolist()
        assert router.sums.tobytes() == centres.sums[mobile].tobytes()
        assert router.counts.tolist() == centres.counts[mobile].tolist()


def test_texts_of_another_width_are_refused() -> None:
    centres = Centres.alike(np.zeros((3, 4)), np.ones(3, np.int64), 2)
    with pytest.raises(DataError, match="width 4"):
        route(centres, np.zeros((1, 5)), np.zeros(1, np.int64), np.zeros(1, np.int64))


def _fleet(seed: int) -> tuple[CentroidRouter, Floats, Floats, Ints, Ints]:
    rng = np.random.default_rng(seed)
    middle = 3 * rng.standard_normal((3, 6))
    pools = rng.integers(0, 3, 30)
    pools[:3] = range(3)
    router = CentroidRouter(adaptive=True).fit(middle[pools] + rng.standard_normal((30, 6)), pools)
    texts = middle[rng.integers(0, 3, 50)] + rng.standard_normal((50, 6)) + 0.5
    size = 200
    return (
        router,
        texts,
        np.arange(1.0, size + 1),
        rng.integers(0, 4, size),
        rng.integers(0, 50, size),
    )


def test_sharing_after_every_text_is_one_router_that_sees_all() -> None:
    router, texts, times, mobiles, rows = _fleet(0)
    exchange = Exchange(router.sums, router.counts, 4, "counts")
    rng = np.random.default_rng(0)
    tiers = route_sharing(exchange, texts, times, mobiles, rows, times + 0.5, 0.0, rng)
    whole = router.copy()
    assert tiers.tolist() == whole.route(texts[rows]).tolist()
    np.testing.assert_allclose(exchange.centres.sums[2], whole.sums, rtol=1e-12)
    assert exchange.centres.counts[2].tolist() == whole.counts.tolist()
    assert np.allclose(dispersion(exchange.centres), 0)


def test_who_misses_rounds_loses_nothing() -> None:
    """All that is ever learnt is handed in by the last round in which everybody takes part."""
    router, texts, times, mobiles, rows = _fleet(1)
    exchange = Exchange(router.sums, router.counts, 4, "counts")
    rng = np.random.default_rng(0)
    rounds = np.array([20.5, 50.5, 90.5, 150.5])
    tiers = route_sharing(exchange, texts, times, mobiles, rows, rounds, 0.6, rng)
    assert np.ptp(exchange.centres.counts, axis=0).any()
    exchange.meet(np.ones(4, bool))
    learnt = np.bincount(tiers, minlength=3)
    assert (exchange.centres.counts == router.counts + learnt).all()
    taken = np.stack([texts[rows[tiers == k]].sum(axis=0) for k in range(3)])
    np.testing.assert_allclose(exchange.centres.sums[0], router.sums + taken, rtol=1e-9)


def test_a_busy_mobile_weighs_no_more_where_mobiles_weigh() -> None:
    sums, counts = np.array([[0.0], [10.0]]), np.array([1, 1])
    exchange = Exchange(sums, counts, 2, "mobiles")
    exchange.centres.sums[0, 0], exchange.centres.counts[0, 0] = 300.0, 100
    exchange.meet(np.ones(2, bool))
    assert exchange.centres.centroids[:, 0, 0].tolist() == [1.5, 1.5]  # of 3 and 0


def test_a_round_without_anybody_changes_nothing() -> None:
    router, *_ = _fleet(2)
    exchange = Exchange(router.sums, router.counts, 3, "counts")
    exchange.meet(np.zeros(3, bool))
    assert (
        exchange.centres.sums.tobytes()
        == Centres.alike(router.sums, router.counts, 3).sums.tobytes()
    )


def test_dispersion_is_in_units_of_the_distance_between_pools() -> None:
    centres = Centres(np.array([[[0.0], [10.0]], [[2.0], [10.0]]]), np.ones((2, 2), np.int64))
    np.testing.assert_allclose(dispersion(centres), [1 / 9, 0])
