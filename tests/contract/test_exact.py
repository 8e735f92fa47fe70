"""The exact test against enumeration of every outcome, and its ordering against its definition."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dimec.contract import binomial, exact
from dimec.contract.exact import GAMMA, p_of_counts
from dimec.contract.inversion import GRID
from dimec.contract.losses import Losses
from dimec.contract.score import first_outcomes, score
from support import slow_contract as slow


@given(st.integers(1, 60), st.data(), st.floats(0.002, 0.6))
def test_the_score_statistic_is_that_of_the_likeliest_violation(
    n: int, data: st.DataObject, delta: float
) -> None:
    plus = data.draw(st.integers(0, n))
    minus = data.draw(st.integers(0, n - plus))
    assert float(score(plus, minus, n, delta)) == pytest.approx(
        slow.score(plus, minus, n, delta), rel=1e-4, abs=1e-4
    )


@pytest.mark.parametrize("delta", [0.0, 0.003, 0.05, 0.3, 0.7])
def test_a_row_more_that_is_lost_never_counts_for_the_policy(delta: float) -> None:
    """On this stands that the boundary is the worst case, for every outcome of up to 60 rows."""
    for n in (1, 2, 7, 60):
        x, y = (part.ravel() for part in np.indices((n + 1, n + 1)))
        t = score(x, y, n, delta)
        for dx, dy in ((1, 0), (0, -1), (1, -1)):
            there = (x + y <= n) & (y + dy >= 0) & (x + dx + y + dy <= n)
            after = score(x[there] + dx, y[there] + dy, n, delta)
            assert (after >= t[there] - 1e-12).all()


@given(st.integers(1, 40), st.data(), st.sampled_from([0.01, 0.1, 0.4]))
def test_the_first_outcomes_are_all_that_come_no_later(
    n: int, data: st.DataObject, delta: float
) -> None:
    plus = data.draw(st.integers(0, n))
    minus = data.draw(st.integers(0, n - plus))
    t = float(score(plus, minus, n, delta))
    low = data.draw(st.integers(0, n))
    largest = first_outcomes(n, t, delta, low, n)
    for x, y in slow.outcomes(n):
        if x + y >= low:
            assert (x <= largest[x + y - low]) == (float(score(x, y, n, delta)) <= t + 1e-9)


@pytest.mark.parametrize(("n", "delta"), [(5, 0.3), (13, 0.1), (20, 0.05), (30, 0.2)])
def test_the_p_value_is_the_largest_over_the_nuisance(n: int, delta: float) -> None:
    all_ = slow.outcomes(n)
    t = np.array([float(score(x, y, n, delta)) for x, y in all_])
    pis = np.linspace(delta, 1, 801)
    chances = np.stack([slow.chances(n, (pi + delta) / 2, (pi - delta) / 2) for pi in pis])
    for i in range(0, len(all_), 7):
        x, y = all_[i]
        m = x + y
        allowed = (pis >= binomial.lower(m, n, GAMMA / 2)) & (
            pis <= binomial.upper(m, n, GAMMA / 2)
        )
        expected = (chances[allowed] @ (t <= t[i] + 1e-9)).max(initial=0.0) + GAMMA
        p = p_of_counts(n, x, y, delta)
        assert expected * (1 - 1e-3) - 1e-6 <= p <= min(1.0, expected * 1.02 + 1e-6)


@pytest.mark.parametrize("alpha", [0.05, 0.2])
@pytest.mark.parametrize(("n", "delta"), [(9, 0.3), (20, 0.1), (28, 0.15)])
def test_a_violated_contract_is_accepted_with_probability_alpha_at_most(
    n: int, delta: float, alpha: float
) -> None:
    size = slow.size(n, delta, alpha, lambda x, y: p_of_counts(n, x, y, delta, at=alpha))
    assert 0 < size <= alpha


def test_on_the_boundary_it_uses_up_nearly_all_of_alpha_and_no_more() -> None:
    """The size, summed over all outcomes that have a probability worth the name."""
    n, delta = 800, 0.01
    m = np.arange(0, 76)
    last = [_last_accepted(n, int(i), delta, 0.05) for i in m]
    for pi in (0.01, 0.02, 0.05):
        given_m = [
            binomial.at_most(k, int(i))((pi + delta) / (2 * pi)) if k >= 0 else 0.0
            for i, k in zip(m, last, strict=True)
        ]
        assert 0.025 < float(binomial.probabilities(m, n, pi) @ given_m) <= 0.05


def _last_accepted(n: int, m: int, delta: float, alpha: float) -> int:
    inside, outside = -1, m + 1
    while outside - inside > 1:
        middle = (inside + outside) // 2
        accepted = p_of_counts(n, middle, m - middle, delta, at=alpha) <= alpha
        inside, outside = (middle, outside) if accepted else (inside, middle)
    return inside


@given(st.integers(600, 20_000), st.floats(0, 0.03), st.floats(0, 1), st.sampled_from([0.05, 0.1]))
def test_an_early_end_says_the_same_of_alpha(
    n: int, share: float, lost: float, alpha: float
) -> None:
    m = int(n * share)
    plus = int(m * lost)
    full = p_of_counts(n, plus, m - plus, 0.01)
    early = p_of_counts(n, plus, m - plus, 0.01, at=alpha)
    assert (early <= alpha) == (full <= alpha) or abs(full - alpha) < 0.02 * alpha


def test_the_bound_is_the_last_drop_that_is_rejected() -> None:
    drops = np.repeat(np.array([1, -1, 0], np.int8), (3, 2, 795))
    bound = exact.upper(Losses(drops), 0.05)
    at = GRID.index(bound)
    for delta in GRID[at : at + 40]:
        assert p_of_counts(800, 3, 2, delta) <= 0.05
    assert p_of_counts(800, 3, 2, GRID[at - 1]) > 0.05
