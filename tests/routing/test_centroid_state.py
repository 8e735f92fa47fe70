"""What a nearest-centroid router remembers: copied, saved, and taken up again."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dimec.base.errors import DataError
from dimec.routing import CentroidRouter
from support.builders import Floats, Ints
from support.routers import state, streams
from support.stored import fitted_on, store_router, stored_router


@given(streams(), st.booleans())
def test_a_copy_and_its_original_go_their_own_ways(
    case: tuple[Floats, Ints, Floats], adaptive: bool
) -> None:
    x, pools, stream = case
    router = CentroidRouter(adaptive).fit(x, pools)
    twin, learner = router.copy(), router.copy(adaptive=True)
    assert twin.adaptive == adaptive
    assert state(twin) == state(router)
    before = state(router)
    learner.route(stream)
    learner.learn_one(x[0], 1)
    assert state(router) == state(twin) == before
    router.fit(x[:1], pools[:1])
    assert state(twin) == before


def test_what_a_router_shows_is_not_its_own_memory() -> None:
    router = CentroidRouter().fit(np.ones((3, 2)), np.array([0, 1, 2]))
    before = state(router)
    for shown in (router.sums, router.counts, router.centroids):
        shown[:] = 7
    assert state(router) == before


@given(streams(), st.booleans())
def test_what_is_saved_loads_the_same_and_goes_on_the_same(
    case: tuple[Floats, Ints, Floats], adaptive: bool
) -> None:
    x, pools, stream = case
    router = CentroidRouter(adaptive).fit(x, pools)
    router.route(stream)
    fit = {"model": "ab12", "alpha": 0.55, "exits": [2, 4, 6], "note": "Größe"}
    with tempfile.TemporaryDirectory() as folder:
        store_router(router, Path(folder) / "run", fit)
        back = stored_router(Path(folder) / "run")
        assert fitted_on(Path(folder) / "run") == fit
    assert back.adaptive == adaptive
    assert state(back) == state(router)
    assert back.route(stream).tolist() == router.route(stream).tolist()
    back.learn_one(x[0], 2)
    router.learn_one(x[0], 2)
    assert state(back) == state(router)


@given(streams(), st.booleans())
def test_a_router_goes_on_from_another_ones_state(
    case: tuple[Floats, Ints, Floats], adaptive: bool
) -> None:
    x, pools, stream = case
    router = CentroidRouter(adaptive).fit(x, pools)
    router.route(stream)
    sums, counts = router.sums, router.counts
    twin = CentroidRouter.from_state(sums, counts, adaptive)
    sums[:], counts[:] = 7, 7
    assert state(twin) == state(router)
    assert twin.adaptive == adaptive
    assert twin.route(stream).tolist() == router.route(stream).tolist()
    assert state(twin) == state(router)


@pytest.mark.parametrize(
    ("sums", "counts"),
    [
        (np.zeros((2, 4)), [1, 1, 1]),
        (np.zeros(3), [1, 1, 1]),
        (np.zeros((3, 4)), [1, 1]),
        (np.zeros((3, 4)), [1, -1, 1]),
        (np.full((3, 4), np.nan), [1, 1, 1]),
    ],
)
def test_a_state_that_none_can_have_is_refused(sums: Floats, counts: list[int]) -> None:
    with pytest.raises(DataError):
        CentroidRouter.from_state(sums, np.array(counts))
