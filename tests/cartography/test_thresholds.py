"""The search for α and β against trying every pair."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dimec.base.errors import ConfigError, DataError
from dimec.cartography import DataMap, build_pools, pool_sizes
from dimec.cartography.thresholds import (
    BETA_QUANTILES,
    PAPER_ALPHAS,
    PAPER_BETAS,
    Grid,
    ThresholdSearch,
    grid_of,
    quantile_betas,
    search_thresholds,
)
from dimec.tiers.costs import CostModel
from support import reference
from support.builders import Floats, eighths, points

PRICES = (6.0, 8.5, 18.0)


@dataclass(frozen=True)
class Case:
    """Input of a search, as lists for the reference."""

    confidence: list[float]
    variance: list[float]
    confidences: list[list[float]]
    prices: tuple[float, ...]
    lam: float
    alphas: list[float]
    betas: list[float]

    @property
    def data_map(self) -> DataMap:
        """The samples' coordinates."""
        return points(self.confidence, self.variance)

    def search(self) -> ThresholdSearch:
        """The vectorised search."""
        c = np.array(self.confidences)
        return search_thresholds(self.data_map, c, self.prices, self.lam, self.alphas, self.betas)

    def table(self) -> list[reference.Cell]:
        """The reference's table: every pair, α outside, β inside."""
        both = list(zip(self.confidence, self.variance, strict=True))
        return reference.threshold_table(
            both, self.confidences, self.prices, self.lam, self.alphas, self.betas
        )


def cases(
    values: st.SearchStrategy[float], sizes: st.SearchStrategy[int]
) -> st.SearchStrategy[Case]:
    """Cases whose numbers, prices and λ among them, come from ``values``."""

    def sized(n: int) -> st.SearchStrategy[Case]:
        column = st.lists(values, min_size=n, max_size=n)
        axis = st.lists(values, min_size=1, max_size=5)
        rows = st.lists(st.lists(values, min_size=3, max_size=3), min_size=n, max_size=n)
        prices = st.tuples(values, values, values)
        return st.builds(Case, column, column, rows, prices, values, axis, axis)

    return sizes.flatmap(sized)


def assert_same_table(case: Case) -> None:
    """Rewards, costs and shares of every pair agree with the reference."""
    search, table = case.search(), case.table()
    shape = (len(set(case.alphas)), len(set(case.betas)))
    assert search.rewards.shape == search.costs.shape == shape
    assert search.shares.shape == (*shape, 3)
    grid = [(a, b) for a in search.alphas for b in search.betas]
    assert grid == [(cell.alpha, cell.beta) for cell in table]
    np.testing.assert_allclose(
        search.rewards.ravel(), [c.reward for c in table], rtol=0, atol=1e-12
    )
    np.testing.assert_allclose(search.costs.ravel(), [c.cost for c in table], rtol=0, atol=1e-12)
    np.testing.assert_allclose(
        search.shares.reshape(-1, 3), [c.shares for c in table], rtol=0, atol=1e-12
    )


@given(cases(st.floats(0, 1), st.integers(1, 20)))
def test_the_table_is_that_of_every_pair(case: Case) -> None:
    assert_same_table(case)


@given(cases(eighths(), st.integers(1, 20)))
def test_the_table_is_that_of_every_pair_where_values_hit_the_thresholds(case: Case) -> None:
    assert_same_table(case)


@given(cases(st.floats(0, 1), st.integers(1, 20)))
def test_the_best_pair_has_the_largest_reward(case: Case) -> None:
    search = case.search()
    best = reference.best_cell(case.table())
    assert search.reward == search.rewards.max()
    assert search.reward == pytest.approx(best.reward, abs=1e-12)
    chosen = [c for c in case.table() if (c.alpha, c.beta) == (search.alpha, search.beta)]
    assert chosen[0].reward == pytest.approx(best.reward, abs=1e-12)


@given(cases(eighths(), st.sampled_from([1, 2, 4, 8, 16])))
def test_ties_go_to_lower_cost_then_lower_alpha_then_lower_beta(case: Case) -> None:
    """Multiples of 1/8 over 2^k samples: sums are exact, so that ties are true and common."""
    search, best = case.search(), reference.best_cell(case.table())
    assert (search.alpha, search.beta) == (best.alpha, best.beta)
    assert search.reward == best.reward


@given(cases(st.floats(0, 1), st.integers(1, 20)))
def test_pairs_that_make_the_same_pools_tie_exactly(case: Case) -> None:
    """Also where the sums are rounded; so the winner is the first pair that makes its pools."""
    search = case.search()
    values: dict[bytes, set[tuple[float, float]]] = {}
    first: dict[bytes, tuple[float, float]] = {}
    for i, alpha in enumerate(search.alphas):
        for j, beta in enumerate(search.betas):
            pools = build_pools(case.data_map, float(alpha), float(beta)).tobytes()
            outcome = (float(search.rewards[i, j]), float(search.costs[i, j]))
            values.setdefault(pools, set()).add(outcome)
            first.setdefault(pools, (float(alpha), float(beta)))
    assert all(len(outcomes) == 1 for outcomes in values.values())
    winner = build_pools(case.data_map, search.alpha, search.beta).tobytes()
    assert first[winner] == (search.alpha, search.beta)


def test_each_rule_of_a_tie_by_hand() -> None:
    """One sample at (1/2, 1/4), always certain, λ = 0: every pair is worth 1."""
    one = points([0.5], [0.25])
    certain = np.ones((1, 3))
    # α ≤ 1/2 and β ≥ 1/4 make it easy (6), the cheapest; among those pairs the lowest α, then β.
    search = search_thresholds(one, certain, PRICES, 0.0, [0.75, 0.5, 0.25], [0.5, 0.25, 0.0])
    assert np.all(search.rewards == 1.0)
    assert (search.alpha, search.beta) == (0.25, 0.25)
    assert search.costs.tolist() == [[8.5, 6.0, 6.0], [8.5, 6.0, 6.0], [18.0, 18.0, 18.0]]
    # With a free edge the medium pool is the cheapest: now β must lie under 1/4.
    search = search_thresholds(one, certain, (6, 0, 18), 0.0, [0.5, 0.25], [0.5, 0.0])
    assert (search.alpha, search.beta) == (0.25, 0.0)
    # One price, and a useless edge: easy (1/4, 1/2) and hard (3/4, 0) tie; α is asked before β.
    useless = np.array([[1.0, 0.0, 1.0]])
    search = search_thresholds(one, useless, (1, 1, 1), 0.0, [0.25, 0.75], [0.0, 0.5])
    assert search.rewards.tolist() == [[0.0, 1.0], [1.0, 1.0]]
    assert (search.alpha, search.beta) == (0.25, 0.5)


def test_three_pools_by_hand() -> None:
    """α = 1/2, β = 1/16, λ = 1/100, prices 6, 8.5 and 18."""
    data_map = points([0.75, 0.5, 0.75, 0.25], [0.0, 0.0625, 0.25, 0.25])
    c = np.array([[0.9, 0.5, 0.5], [0.8, 0.5, 0.5], [0.5, 0.95, 0.5], [0.5, 0.5, 0.99]])
    search = search_thresholds(data_map, c, PRICES, 0.01, [0.5], [0.0625])
    # Easy: 0.9 - 0.06 and 0.8 - 0.06; medium: 0.95 - 0.085; hard: 0.99 - 0.18.
    # (0.84 + 0.74 + 0.865 + 0.81) / 4 = 3.255 / 4; cost (6 + 6 + 8.5 + 18) / 4 = 9.625
    assert search.reward == pytest.approx(0.81375, abs=1e-12)
    assert search.costs[0, 0] == 9.625
    assert search.shares[0, 0].tolist() == [0.5, 0.25, 0.25]


@given(cases(eighths(), st.integers(1, 12)))
def test_shares_are_those_of_the_pools(case: Case) -> None:
    search = case.search()
    pools = build_pools(case.data_map, search.alpha, search.beta)
    i = search.alphas.tolist().index(search.alpha)
    j = search.betas.tolist().index(search.beta)
    expected = [size / len(pools) for size in pool_sizes(pools)]
    np.testing.assert_allclose(search.shares[i, j], expected, rtol=0, atol=1e-15)


@given(cases(eighths(), st.integers(1, 12)))
def test_the_grid_may_come_in_any_order_and_with_repetitions(case: Case) -> None:
    twice = Case(
        case.confidence,
        case.variance,
        case.confidences,
        case.prices,
        case.lam,
        case.alphas[::-1] + case.alphas,
        case.betas[::-1] + case.betas,
    )
    one, two = case.search(), twice.search()
    assert (one.alpha, one.beta, one.reward) == (two.alpha, two.beta, two.reward)
    assert two.alphas.tolist() == sorted(set(case.alphas))
    assert two.betas.tolist() == sorted(set(case.betas))


def test_all_samples_in_one_pool() -> None:
    """Empty pools earn and cost nothing."""
    data_map, c = points([0.9, 0.8], [0.01, 0.02]), np.full((2, 3), 0.5)
    for alphas, betas, shares, cost in (
        ([0.5], [0.1], [1, 0, 0], 6.0),
        ([0.5], [0.0], [0, 1, 0], 8.5),
        ([1.0], [0.1], [0, 0, 1], 18.0),
    ):
        search = search_thresholds(data_map, c, PRICES, 0.01, alphas, betas)
        assert search.shares[0, 0].tolist() == shares
        assert search.costs[0, 0] == cost
        assert search.reward == pytest.approx(0.5 - 0.01 * cost, abs=1e-15)


def test_a_large_lambda_buys_the_cheapest_pools_and_none_the_surest() -> None:
    rng = np.random.default_rng(1)
    data_map = DataMap.from_probabilities(rng.random((5, 200)))
    c = np.tile([0.6, 0.7, 0.99], (200, 1))
    grid = np.linspace(0, 1, 11).tolist()
    dear = search_thresholds(data_map, c, PRICES, 1.0, grid, grid)
    free = search_thresholds(data_map, c, PRICES, 0.0, grid, grid)
    assert dear.shares[0, -1].tolist() == [1.0, 0.0, 0.0]
    assert dear.alpha == 0.0
    assert dear.reward == pytest.approx(0.6 - 6.0)
    i = free.alphas.tolist().index(free.alpha)
    assert free.shares[i, 0].tolist() == [0.0, 0.0, 1.0]
    assert free.reward == pytest.approx(0.99)


# --- Grids and prices ----------------------------------------------------------------------------


def test_the_paper_grid_is_the_papers() -> None:
    assert grid_of(points([0.5], [0.1]), "paper") == (
        (0.55, 0.6, 0.65, 0.7, 0.8),
        (0.05, 0.08, 0.11, 0.14, 0.17),
    )


@given(st.lists(st.floats(0, 0.25), min_size=1, max_size=30))
def test_the_quantile_grid_takes_beta_from_the_variances(variance: list[float]) -> None:
    data_map = points([0.5] * len(variance), variance)
    alphas, betas = grid_of(data_map, "quantile")
    assert alphas == PAPER_ALPHAS
    expected = [reference.quantile(variance, q) for q in (0.25, 0.5, 0.75, 0.9, 0.95)]
    np.testing.assert_allclose(betas, expected, rtol=0, atol=1e-15)
    assert betas == quantile_betas(data_map, BETA_QUANTILES)
    assert max(betas) <= max(variance)
    assert min(betas) >= min(variance)


def test_the_quantile_grid_looks_at_samples_that_clear_the_smallest_alpha() -> None:
    # Two samples were never learnt and hardly vary; β divides only the other three.
    data_map = points([0.1, 0.2, 0.55, 0.7, 0.9], [0.0, 0.001, 0.01, 0.02, 0.03])
    assert quantile_betas(data_map, (0, 0.5, 1)) == (0.01, 0.02, 0.03)


def test_the_quantile_grid_fills_a_medium_pool_that_the_papers_leaves_empty() -> None:
    rng = np.random.default_rng(2)
    steady = 0.85 + 0.1 * (rng.random((5, 300)) - 0.5)
    data_map = DataMap.from_probabilities(steady)
    c = np.full((300, 3), 0.9)
    paper = search_thresholds(data_map, c, PRICES, 0.01, grid="paper")
    quantile = search_thresholds(data_map, c, PRICES, 0.01, grid="quantile")
    assert paper.betas.tolist() == list(PAPER_BETAS)
    assert np.all(paper.shares[..., 1] == 0)
    assert np.all(quantile.shares[0, :, 1] > 0)
    # Given values win over those of the grid.
    given_betas = search_thresholds(data_map, c, PRICES, 0.01, betas=[0.5], grid="quantile")
    assert given_betas.betas.tolist() == [0.5]
    assert given_betas.alphas.tolist() == list(PAPER_ALPHAS)


def test_prices_may_come_as_a_cost_model_with_exits() -> None:
    data_map, c = points([0.6, 0.9], [0.1, 0.2]), np.full((2, 3), 0.7)
    by_model = search_thresholds(data_map, c, CostModel(), 0.01, exits=(4, 6, 12))
    by_price = search_thresholds(data_map, c, PRICES, 0.01)
    assert np.array_equal(by_model.rewards, by_price.rewards)
    assert np.array_equal(by_model.costs, by_price.costs)


def test_equal_exits_differ_in_price_only() -> None:
    """m = n = l: the same answer everywhere, so the reward is decided by cost."""
    data_map = points([0.9, 0.9, 0.1], [0.0, 0.2, 0.2])
    c = np.repeat(np.array([[0.8], [0.7], [0.6]]), 3, axis=1)
    search = search_thresholds(data_map, c, CostModel(), 0.01, [0.5], [0.1], exits=(6, 6, 6))
    # 1.5·6 = 9, 6 + 2.5 = 8.5, 3 + (9 - 3) = 9
    assert search.costs[0, 0] == pytest.approx((9 + 8.5 + 9) / 3, abs=1e-12)
    assert search.reward == pytest.approx(0.7 - 0.01 * 26.5 / 3, abs=1e-12)


# --- Refusals ------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(2,), (2, 2), (3, 3), (2, 3, 1), (0, 3)])
def test_confidences_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    got = str(shape).replace("(", r"\(").replace(")", r"\)")
    with pytest.raises(DataError, match=rf"\(2, 3\).*got {got}"):
        search_thresholds(points([0.5] * 2, [0.1] * 2), np.ones(shape), PRICES, 0.01)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_confidences_must_be_finite(value: float) -> None:
    c: Floats = np.full((2, 3), 0.5)
    c[1, 2] = value
    with pytest.raises(DataError, match=r"not finite.*diverged"):
        search_thresholds(points([0.5] * 2, [0.1] * 2), c, PRICES, 0.01)


def one_sample(
    cost_model: CostModel | tuple[float, ...] = PRICES,
    lam: float = 0.01,
    alphas: list[float] | None = None,
    betas: list[float] | None = None,
    exits: tuple[int, ...] | None = None,
    grid: Grid = "paper",
) -> ThresholdSearch:
    """A search on one sample."""
    return search_thresholds(
        points([0.5], [0.1]),
        np.ones((1, 3)),
        cost_model,
        lam,
        alphas,
        betas,
        exits=exits,
        grid=grid,
    )


def test_a_grid_must_hold_finite_values() -> None:
    for bad in ([], [0.5, math.nan], [math.inf]):
        with pytest.raises(ConfigError, match=r"alphas must be one or more finite.*got \["):
            one_sample(alphas=bad)
        with pytest.raises(ConfigError, match=r"betas must be one or more finite.*got \["):
            one_sample(betas=bad)


@pytest.mark.parametrize("lam", [-0.01, math.nan, math.inf])
def test_lambda_is_checked(lam: float) -> None:
    with pytest.raises(ConfigError, match=f"lam must .*got {lam}"):
        one_sample(lam=lam)


def test_an_unknown_grid_is_refused() -> None:
    with pytest.raises(ConfigError, match="'paper' or 'quantile', got 'fine'"):
        one_sample(grid="fine")  # type: ignore[arg-type]


def test_prices_that_cannot_be_told_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"exits.*pass exits=\(m, n, l\)"):
        one_sample(CostModel())
    with pytest.raises(ConfigError, match="each at least as deep"):
        one_sample(CostModel(), exits=(6, 4, 12))
    for bad in ((), (6.0, 8.5, math.nan)):
        with pytest.raises(ConfigError, match=r"finite prices, one a tier, got \["):
            one_sample(bad)
    for other in ((6.0, 8.5), (6.0, 8.5, 18.0, 20.0)):
        with pytest.raises(DataError, match=rf"\(1, {len(other)}\), one column"):
            one_sample(other)
