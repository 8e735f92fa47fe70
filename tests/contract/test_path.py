"""The path from the surest policy to the cheapest: nobody on it is beaten in both."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dimec.contract.path import Prospect, path, sure_of_drop, sure_of_mean

prospects = st.lists(
    st.builds(Prospect, st.integers(-5, 5).map(float), st.integers(0, 9).map(float)),
    min_size=1,
    max_size=12,
)


@given(prospects)
def test_it_is_the_pareto_front_in_order(some: list[Prospect]) -> None:
    found = [some[position] for position in path(some)]
    front = {
        (one.sure, one.wanted)
        for one in some
        if not any(
            (other.sure >= one.sure and other.wanted < one.wanted)
            or (other.sure > one.sure and other.wanted <= one.wanted)
            for other in some
        )
    }
    assert {(one.sure, one.wanted) for one in found} == front
    assert len(found) == len(front)
    assert [one.sure for one in found] == sorted((one.sure for one in found), reverse=True)
    assert [one.wanted for one in found] == sorted((one.wanted for one in found), reverse=True)


def test_who_is_hardly_cheaper_is_left_out() -> None:
    some = [Prospect(3, 5.0), Prospect(2, 4.99), Prospect(1, 4.0)]
    assert path(some, apart=0.05) == [0, 2]
    assert path(some) == [0, 1, 2]


def test_a_drop_by_hand() -> None:
    """Of 100 rows 2 lost and 2 won, Δ of 10 points: half a row is added to each.

    q̃ is the positive root of 2n q² + (2nΔ - x₊ - x₋) q - x₋ Δ (1 - Δ), of n = 101.
    """
    q = next(r.real for r in np.roots([2 * 101, 2 * 101 * 0.1 - 5, -2.5 * 0.1 * 0.9]) if r.real > 0)
    expected = 0.1 * math.sqrt(100) / math.sqrt(2 * q + 0.1 - 0.01)
    assert sure_of_drop(0.02, 0.02, 100, 0.1) == pytest.approx(expected)


def test_more_rows_and_smaller_drops_are_surer() -> None:
    assert sure_of_drop(0.01, 0.0, 1000, 0.02) > sure_of_drop(0.01, 0.0, 100, 0.02) > 0
    assert sure_of_drop(0.01, 0.0, 1000, 0.02) > sure_of_drop(0.015, 0.0, 1000, 0.02)
    assert sure_of_drop(0.03, 0.0, 1000, 0.02) < 0
    # Where nothing differs it is not certain yet.
    assert math.isfinite(sure_of_drop(0.0, 0.0, 1000, 0.02))


def test_a_mean_by_hand() -> None:
    values = np.array([1.0, 3.0])
    assert sure_of_mean(values, 4, 5.0) == pytest.approx((5 - 2) * 2 / 1)
    assert sure_of_mean(np.array([2.0, 2.0]), 4, 1.0) < -1e6


def test_what_looks_better_than_the_reference_is_no_surer_for_it() -> None:
    lucky, even = sure_of_drop(0.01, 0.03, 1000, 0.01), sure_of_drop(0.02, 0.02, 1000, 0.01)
    assert lucky == pytest.approx(even)
    # It knows more of the policy that hardly ever answers otherwise.
    assert sure_of_drop(0.002, 0.002, 1000, 0.01) > lucky
    assert sure_of_drop(0.021, 0.019, 1000, 0.01) < lucky
