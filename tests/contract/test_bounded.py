"""Betting on a mean: as a loop has it, valid in every sequence of rows, and able to tell."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dimec.base.errors import DataError
from dimec.contract import bounded
from dimec.contract.inversion import GRID


def slow_capital(values: list[float], bound: float) -> float:
    """The largest capital, row by row as the paper has it."""
    capital = most = 1.0
    mean, spread = 0.5, 0.25
    for seen, x in enumerate(values, start=1):
        hope = max(bound - mean, 0.0)
        stake = min(hope / max(hope**2 + spread / seen, 1e-12), 0.5 / (1 - bound))
        capital *= 1 + stake * (bound - x)
        most = max(most, capital)
        mean = (0.5 + sum(values[:seen])) / (seen + 1)
        spread += (x - mean) ** 2
    return most


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30), st.floats(0.05, 0.95))
def test_capital_is_that_of_a_loop(values: list[float], bound: float) -> None:
    order = np.random.default_rng(3).permutation(np.array(values)).tolist()
    expected = 1 / slow_capital(order, bound)
    assert bounded.p_value(values, bound, seed=3) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("mean", [0.3, 0.5, 0.8])
def test_a_mean_over_the_bound_passes_with_probability_alpha_at_most(mean: float) -> None:
    """Rows of 0 and 1 are the worst; every sequence of ten, weighed by its probability."""
    alpha, passed = 0.2, 0.0
    for rows in itertools.product((0.0, 1.0), repeat=10):
        if bounded.p_value(np.array(rows), mean) <= alpha:
            passed += mean ** sum(rows) * (1 - mean) ** (10 - sum(rows))
    assert passed <= alpha


def test_it_tells_a_mean_that_is_clearly_lower() -> None:
    values = np.random.default_rng(0).uniform(0.2, 0.4, 400)
    assert bounded.p_value(values, 0.35) < 0.05 < bounded.p_value(values, 0.3)
    upper = bounded.upper(values, 0.05)
    assert 0.3 < upper < 0.35
    assert upper in GRID


def test_nothing_is_shown_by_rows_at_the_bound() -> None:
    assert bounded.p_value(np.ones(50), 0.5) == 1.0
    assert bounded.upper(np.ones(50), 0.05) == 1.0


@pytest.mark.parametrize("values", [[], [1.2], [-0.1], [float("nan")], [[0.5]]])
def test_what_is_no_share_is_refused(values: list[float]) -> None:
    with pytest.raises(DataError, match="from 0 to 1"):
        bounded.p_value(values, 0.5)
