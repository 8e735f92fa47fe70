"""Binomial probabilities and Clopper-Pearson bounds against scipy's."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, binomtest

from dimec.contract import binomial


@given(st.integers(1, 40_000), st.floats(0, 1), st.floats(0.0005, 0.9995))
def test_tails_are_scipys(n: int, share: float, p: float) -> None:
    k = int(share * n)
    assert binomial.at_most(k, n)(p) == pytest.approx(binom.cdf(k, n, p), rel=1e-8, abs=1e-12)
    ks = np.arange(max(0, k - 3), min(n, k + 3) + 1)
    expected = binom.pmf(ks, n, p)
    np.testing.assert_allclose(binomial.probabilities(ks, n, p), expected, rtol=1e-7, atol=1e-300)


@given(st.integers(1, 20_000), st.floats(0, 1), st.sampled_from([0.3, 0.05, 0.025, 1e-5]))
def test_bounds_are_scipys(n: int, share: float, alpha: float) -> None:
    k = int(share * n)
    for side, mine in (("less", binomial.upper), ("greater", binomial.lower)):
        interval = binomtest(k, n, alternative=side).proportion_ci(1 - alpha, "exact")
        theirs = interval.high if side == "less" else interval.low
        assert mine(k, n, alpha) == pytest.approx(theirs, rel=1e-7, abs=1e-11)


def test_what_lies_outside_has_no_probability_and_the_ends_are_certain() -> None:
    assert binomial.probabilities([-1, 0, 3, 4], 3, 0.0).tolist() == pytest.approx([0, 1, 0, 0])
    assert binomial.probabilities([-1, 0, 3, 4], 3, 1.0).tolist() == pytest.approx([0, 0, 1, 0])
    assert binomial.upper(5, 5, 0.05) == 1.0
    assert binomial.lower(0, 5, 0.05) == 0.0
