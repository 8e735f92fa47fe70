"""Chance, one tier for all, and the oracle."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dimec.base.errors import ConfigError, DataError
from dimec.routing import OracleRouter, RandomRouter, Route, Router, SingleTierRouter
from support import reference
from support.builders import eighths

seeds = st.integers(0, 2**32)
right_answers = st.lists(st.lists(st.booleans(), min_size=3, max_size=3), min_size=1, max_size=5)


def shares_of(weights: list[int]) -> list[float]:
    """Shares in proportion to whole numbers."""
    return [weight / sum(weights) for weight in weights]


shares = st.lists(st.integers(0, 9), min_size=3, max_size=3).filter(any).map(shares_of)


# --- Random --------------------------------------------------------------------------------------


@given(shares, seeds)
def test_the_same_seed_draws_the_same_tiers(p: list[float], seed: int) -> None:
    x = np.zeros((20, 2))
    first = RandomRouter(p, seed).route(x)
    assert first.dtype == np.int64
    assert first.tolist() == RandomRouter(p, seed).route(x).tolist()


@given(shares, seeds, st.integers(0, 20))
def test_draws_go_on_where_they_stopped(p: list[float], seed: int, cut: int) -> None:
    whole, pieces, single = (RandomRouter(p, seed) for _ in range(3))
    tiers = whole.route(np.zeros((20, 2))).tolist()
    parts = [pieces.route(np.zeros((k, 2))).tolist() for k in (cut, 20 - cut)]
    assert parts[0] + parts[1] == tiers
    assert [single.route_one(np.zeros(2)) for _ in range(20)] == [Route(tier) for tier in tiers]


@given(shares, seeds)
def test_a_copy_draws_on_from_the_same_point(p: list[float], seed: int) -> None:
    router = RandomRouter(p, seed)
    router.route(np.zeros((7, 2)))
    twin = router.copy()
    expected = twin.route(np.zeros((9, 2))).tolist()
    assert router.route(np.zeros((9, 2))).tolist() == expected


@given(shares, seeds)
def test_a_tier_without_a_share_is_never_drawn(p: list[float], seed: int) -> None:
    drawn = set(RandomRouter(p, seed).route(np.zeros((50, 1))).tolist())
    assert drawn <= {tier for tier, share in enumerate(p) if share > 0}


@pytest.mark.parametrize("p", [None, [0.2, 0.3, 0.5], [0.9, 0.0, 0.1]])
def test_draws_have_the_given_shares(p: list[float] | None) -> None:
    n = 20_000
    tiers = RandomRouter(p, seed=5).route(np.zeros((n, 1)))
    for tier, share in enumerate(p or [1 / 3] * 3):
        error = math.sqrt(share * (1 - share) / n)
        assert np.mean(tiers == tier) == pytest.approx(share, abs=5 * error + 1e-15)
    # One draw says nothing of the next.
    assert abs(np.corrcoef(tiers[:-1], tiers[1:])[0, 1]) < 5 / math.sqrt(n)


def test_learning_changes_no_draw() -> None:
    one, two = RandomRouter(seed=1), RandomRouter(seed=1)
    one.learn_one(np.zeros(2), 1)
    assert one.route(np.zeros((20, 2))).tolist() == two.route(np.zeros((20, 2))).tolist()


@pytest.mark.parametrize(
    "bad",
    [
        [0.5, 0.5, 0.5],
        [0.2, 0.2, 0.2],
        [1.5, -0.5, 0.0],
        [math.nan, 0.5, 0.5],
        [math.inf, 0.0, 0.0],
        [],
        [[0.5, 0.25, 0.25]],
    ],
)
def test_shares_must_be_probabilities(bad: Any) -> None:
    with pytest.raises(ConfigError, match=r"sum to 1, got \["):
        RandomRouter(bad)


# --- Single tier ---------------------------------------------------------------------------------


@pytest.mark.parametrize("tier", [0, 1, 2])
def test_one_tier_for_all(tier: int) -> None:
    router = SingleTierRouter(tier)
    router.learn_one(np.zeros(2), 0)
    for same in (router, router.copy()):
        assert same.route(np.zeros((4, 2))).tolist() == [tier] * 4
        assert same.route_one(np.zeros(2)) == Route(tier)
    assert router.route(np.zeros((0, 2))).tolist() == []


@pytest.mark.parametrize("tier", [-1, 0.5, "cloud"])
def test_what_is_no_position_of_a_tier_is_refused(tier: Any) -> None:
    with pytest.raises(ConfigError, match=f"a position from 0 on, got {tier!r}"):
        SingleTierRouter(tier)


@pytest.mark.parametrize("router", [RandomRouter(), SingleTierRouter(0)])
def test_they_are_routers(router: object) -> None:
    assert isinstance(router, Router)


# --- Oracle --------------------------------------------------------------------------------------

prices_of_three = st.tuples(eighths(), eighths(), eighths())


@given(right_answers, prices_of_three)
def test_the_oracle_is_that_of_the_reference(
    right: list[list[bool]], prices: tuple[float, ...]
) -> None:
    tiers = OracleRouter(prices).route(np.array(right))
    assert tiers.dtype == np.int64
    assert tiers.tolist() == reference.oracle(right, prices)


@given(right_answers, prices_of_three)
def test_no_choice_of_tiers_beats_the_oracle(
    right: list[list[bool]], prices: tuple[float, ...]
) -> None:
    """Every one of the 3^N choices has fewer right answers, or as many and is no cheaper."""

    def merit(chosen: tuple[int, ...]) -> tuple[int, float]:
        hits = sum(row[tier] for row, tier in zip(right, chosen, strict=True))
        return hits, -sum(prices[tier] for tier in chosen)

    oracle = merit(tuple(OracleRouter(prices).route(np.array(right)).tolist()))
    assert oracle == max(merit(c) for c in itertools.product(range(3), repeat=len(right)))


def test_the_oracle_by_hand() -> None:
    """Prices 6, 8.5, 18; where all are wrong it takes the cheapest, wherever that stands."""
    right = np.array([[1, 1, 1], [0, 1, 1], [0, 0, 1], [0, 0, 0], [1, 0, 0]], bool)
    assert OracleRouter([6.0, 8.5, 18.0]).route(right).tolist() == [0, 1, 2, 0, 0]
    assert OracleRouter([18.0, 8.5, 6.0]).route(right).tolist() == [2, 2, 2, 2, 0]
    assert OracleRouter([9.0, 9.0, 9.0]).route(right).tolist() == [0, 1, 2, 0, 0]


def test_the_oracle_says_that_it_sees_labels() -> None:
    assert OracleRouter.sees_labels


@pytest.mark.parametrize("shape", [(3,), (2, 2), (2, 4), (2, 3, 1)])
def test_answers_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    got = str(shape).replace("(", r"\(").replace(")", r"\)")
    with pytest.raises(DataError, match=rf"\(N, 3\), got {got}"):
        OracleRouter([1.0, 2.0, 3.0]).route(np.zeros(shape, bool))


@pytest.mark.parametrize("bad", [[], [1.0, math.nan], [math.inf], [[1.0, 2.0, 3.0]]])
def test_prices_must_be_finite(bad: Any) -> None:
    with pytest.raises(ConfigError, match=r"finite prices.*got \["):
        OracleRouter(bad)
