"""Pools and thresholds of one, two, four and five tiers against trying every choice."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dimec.base.errors import ConfigError
from dimec.cartography import betas_of, build_pools, pool_names, pool_sizes
from dimec.cartography.thresholds import ThresholdSearch, search_thresholds
from support import reference
from support.builders import Floats, eighths, points

Case = tuple[list[float], list[float], Floats, list[float], float, list[float], list[float]]
_VALUES = eighths()


@st.composite
def cases(draw: st.DrawFn, tiers: int) -> Case:
    """2^k samples of eighths, so that sums are exact; confidences, prices, λ and a grid."""
    n = draw(st.sampled_from([1, 2, 4, 8, 16]))
    column = st.lists(_VALUES, min_size=n, max_size=n)
    row = st.lists(_VALUES, min_size=tiers, max_size=tiers)
    axis = st.lists(_VALUES, min_size=1, max_size=4)
    confidences = np.array(draw(st.lists(row, min_size=n, max_size=n)))
    return draw(column), draw(column), confidences, draw(row), draw(_VALUES), draw(axis), draw(axis)


def _search(case: Case) -> ThresholdSearch:
    confidence, variance, c, prices, lam, alphas, betas = case
    given_betas = betas if len(prices) > 2 else None
    return search_thresholds(points(confidence, variance), c, prices, lam, alphas, given_betas)


def _choices(case: Case) -> list[reference.Choice]:
    confidence, variance, c, prices, lam, alphas, betas = case
    both = list(zip(confidence, variance, strict=True))
    return reference.choices_of(both, c.tolist(), prices, lam, alphas, betas)


@pytest.mark.parametrize("tiers", [2, 4, 5])
@given(st.data())
def test_the_tables_and_the_best_are_those_of_every_choice(tiers: int, data: st.DataObject) -> None:
    case = data.draw(cases(tiers))
    search, choices = _search(case), _choices(case)
    tried = [(a, tuple(b)) for a in search.alphas for b in search.choices.tolist()]
    assert tried == [(one.alpha, one.betas) for one in choices]
    assert search.rewards.ravel().tolist() == [one.reward for one in choices]
    assert search.costs.ravel().tolist() == [one.cost for one in choices]
    assert list(map(tuple, search.shares.reshape(-1, tiers))) == [one.shares for one in choices]
    best = min(choices, key=lambda one: (-one.reward, one.cost, one.alpha, one.betas))
    assert (search.alpha, tuple(betas_of(search.beta))) == (best.alpha, best.betas)
    assert search.reward == best.reward


@pytest.mark.parametrize("tiers", [2, 4, 5])
@given(st.data())
def test_the_pools_are_those_of_the_best_choice(tiers: int, data: st.DataObject) -> None:
    case = data.draw(cases(tiers))
    search = _search(case)
    pools = build_pools(points(case[0], case[1]), search.alpha, search.beta)
    assert search.alpha is not None
    assert pools.tolist() == [
        reference.tier_of(mu, sigma, search.alpha, betas_of(search.beta).tolist())
        for mu, sigma in zip(case[0], case[1], strict=True)
    ]
    assert sum(pool_sizes(pools, tiers)) == len(pools)
    assert len(pool_sizes(pools, tiers)) == tiers


@given(st.data())
def test_choices_of_the_same_pools_tie_exactly(data: st.DataObject) -> None:
    """Also where the sums are rounded."""
    n = data.draw(st.integers(1, 12))
    rng = np.random.default_rng(data.draw(st.integers(0, 1000)))
    data_map = points(rng.random(n).tolist(), rng.random(n).tolist())
    c, grid = rng.random((n, 4)), np.linspace(0, 1, 5).tolist()
    search = search_thresholds(data_map, c, (1.1, 2.3, 3.7, 9.1), 0.013, grid, grid)
    outcomes: dict[bytes, set[tuple[float, float]]] = {}
    for i, alpha in enumerate(search.alphas.tolist()):
        for j, betas in enumerate(search.choices.tolist()):
            pools = build_pools(data_map, alpha, betas).tobytes()
            outcome = (float(search.rewards[i, j]), float(search.costs[i, j]))
            outcomes.setdefault(pools, set()).add(outcome)
    assert all(len(told) == 1 for told in outcomes.values())


def test_one_tier_keeps_everything() -> None:
    data_map = points([0.2, 0.9], [0.1, 0.0])
    search = search_thresholds(data_map, np.array([[0.5], [1.0]]), [3.0], 0.1)
    assert (search.alpha, search.beta) == (None, None)
    assert search.rewards.tolist() == [[0.75 - 0.1 * 3]]
    assert search.shares.tolist() == [[[1.0]]]
    assert build_pools(data_map, None, None).tolist() == [0, 0]


def test_four_pools_by_hand() -> None:
    """A variance that equals a threshold lies under it; equal thresholds leave a pool empty."""
    data_map = points([0.9, 0.9, 0.9, 0.9, 0.1], [0.01, 0.02, 0.03, 0.2, 0.0])
    assert build_pools(data_map, 0.5, (0.01, 0.03)).tolist() == [0, 1, 1, 2, 3]
    assert build_pools(data_map, 0.5, (0.03, 0.03)).tolist() == [0, 0, 0, 2, 3]
    assert build_pools(data_map, 0.5, None).tolist() == [0, 0, 0, 0, 1]
    assert pool_names(("mobile", "edge", "cloud")) == ("easy", "medium", "hard")
    assert pool_names(("phone", "box", "dc")) == ("phone", "box", "dc")


def test_thresholds_that_part_nothing_are_refused() -> None:
    data_map, one, two = points([0.5], [0.1]), np.ones((1, 1)), np.ones((1, 2))
    with pytest.raises(ConfigError, match="alphas does nothing with 1 tier:"):
        search_thresholds(data_map, one, [1.0], 0.0, alphas=[0.5])
    with pytest.raises(ConfigError, match="betas does nothing with 2 tiers:"):
        search_thresholds(data_map, two, [1.0, 2.0], 0.0, betas=[0.5])
    grid = np.linspace(0, 1, 50).tolist()
    with pytest.raises(ConfigError, match=r"50 values of beta for 8 tiers make [\d,]+ choices"):
        search_thresholds(data_map, np.ones((1, 8)), [1.0] * 8, 0.0, betas=grid)
    with pytest.raises(ConfigError, match="must not descend"):
        build_pools(data_map, 0.5, (0.2, 0.1))
    with pytest.raises(ConfigError, match="no alpha"):
        build_pools(data_map, None, 0.1)
