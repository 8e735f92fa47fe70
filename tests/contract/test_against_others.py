"""The contract's bounds against implementations of others: scipy, MAPIE, ville, an R package.

scipy has Clopper-Pearson, MAPIE Hoeffding-Bentkus and fixed sequences, ville capital of bets. The
R package contingencytables (Fagerland, Lydersen and Laake) has Tango's interval and the exact
unconditional test of no difference; its figures stand here.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from mapie.risk_control import control_fwer
from mapie.risk_control.methods import compute_hoeffding_bentkus_p_value
from scipy.optimize import brentq
from scipy.stats import binomtest, norm
from ville import BettingCS, BettingTest

from dimec.base.arrays import FloatArray
from dimec.contract import betting, bounded, clopper_pearson, disagreement, hoeffding_bentkus
from dimec.contract.exact import p_of_counts
from dimec.contract.losses import Losses, Terms
from dimec.contract.monitor import STAKES, Monitor, cash
from dimec.contract.score import score
from dimec.contract.sequence import fixed_sequence

# ville stakes the less, the larger its alpha; at this one always the most that its c allows.
BOLDEST = 1e-300
# A tail that is longer than the other is taken as the rest of it, and so right to this absolutely.
ROUNDING = 1e-11

shares = st.floats(0.002, 0.6)
levels = st.floats(0.001, 0.4)


@st.composite
def counts(draw: st.DrawFn, rows: int = 1_000) -> Losses:
    """Losses of up to so many rows, by their counts alone."""
    n = draw(st.integers(1, rows))
    plus = draw(st.integers(0, n))
    minus = draw(st.integers(0, n - plus))
    drops = np.repeat(np.array([1, -1, 0], np.int8), (plus, minus, n - plus - minus))
    return Losses(drops, drops != 0)


def _mapies(losses: Losses, delta: float) -> float:
    """MAPIE's p-value of the losses (D + 1)/2 at the level (1 + Δ)/2."""
    n = len(losses)
    risk = (n + losses.plus - losses.minus) / (2 * n)
    # It rounds n times the risk up to a whole number: one that is whole must not come out a
    # rounding error above itself.
    risks = np.array([risk * (1 - 1e-13)])
    return float(compute_hoeffding_bentkus_p_value(risks, n, (1 + delta) / 2)[0, 0])


@settings(max_examples=40)
@given(counts(), shares)
def test_hoeffding_bentkus_is_mapies(losses: Losses, delta: float) -> None:
    ours = hoeffding_bentkus.p_value(losses, delta)
    assert ours == pytest.approx(_mapies(losses, delta), rel=1e-7, abs=ROUNDING)


@settings(max_examples=30)
@given(counts(300), levels)
def test_the_bound_of_hoeffding_bentkus_is_where_mapies_p_value_is_alpha(
    losses: Losses, alpha: float
) -> None:
    bound = hoeffding_bentkus.upper(losses, alpha)
    assume(bound < 1)
    assert _mapies(losses, bound) == pytest.approx(alpha, rel=1e-6)


@settings(max_examples=25)
@given(st.lists(st.tuples(st.integers(0, 24), st.integers(0, 24)), min_size=1, max_size=8), levels)
def test_a_path_goes_as_far_as_mapies_fixed_sequence(
    path: list[tuple[int, int]], alpha: float
) -> None:
    policies = []
    for plus, minus in path:
        drops = np.repeat(np.array([1, -1, 0], np.int8), (plus, minus, 800 - plus - minus))
        policies.append(Losses(drops, drops != 0))
    p_values = np.array([clopper_pearson.p_value(losses, 0.02) for losses in policies])
    theirs = control_fwer(p_values, alpha, "fixed_sequence")
    ours = fixed_sequence(policies, Terms(0.02, alpha), "clopper-pearson").accepted
    assert theirs.tolist() == list(range(ours))


@settings(max_examples=30)
@given(counts(), shares, levels)
def test_different_answers_are_scipys_binomial_test(
    losses: Losses, delta: float, alpha: float
) -> None:
    theirs = binomtest(losses.differing, len(losses), delta, alternative="less")
    assert disagreement.p_value(losses, delta) == pytest.approx(
        theirs.pvalue, rel=1e-7, abs=ROUNDING
    )
    interval = theirs.proportion_ci(1 - alpha, "exact")
    assert disagreement.upper(losses, alpha) == pytest.approx(interval.high, rel=1e-7)


def _pair(losses: Losses, alpha: float) -> float:
    """scipy's upper bound of the rows lost less its lower bound of the rows won."""
    lost = binomtest(losses.plus, len(losses), alternative="less")
    won = binomtest(losses.minus, len(losses), alternative="greater")
    level = 1 - alpha / 2
    high, low = (test.proportion_ci(level, "exact") for test in (lost, won))
    return float(high.high - low.low)


@settings(max_examples=20)
@given(counts(), shares, levels)
def test_the_pair_of_bounds_is_scipys(losses: Losses, delta: float, alpha: float) -> None:
    """Its p-value is the level at which their bound is Δ; at 1 there is none."""
    assert clopper_pearson.upper(losses, alpha) == pytest.approx(_pair(losses, alpha), abs=1e-9)
    p = clopper_pearson.p_value(losses, delta)
    if 1e-9 < p < 1:
        assert _pair(losses, p) == pytest.approx(delta, abs=1e-6)


@pytest.mark.parametrize(
    ("n", "lost", "won", "low", "high", "digits"),
    [
        (161, 16, 6, 0.0054, 0.1240, 4),  # complete response before and after (Cavo et al. 2012)
        (21, 7, 1, 0.026, 0.517, 3),  # airway hyper-responsiveness (Bentur et al. 2009)
    ],
)
def test_the_score_reaches_a_quantile_where_tangos_interval_ends(
    n: int, lost: int, won: int, low: float, high: float, digits: int
) -> None:
    """Figures: tests of contingencytables; Fagerland et al. (2014), Stat. Med. 33, table V."""
    z = float(norm.ppf(0.975))
    ends = [
        brentq(lambda delta, at=at: float(score(lost, won, n, delta)) - at, 1e-9, 1 - 1e-9)
        for at in (z, -z)
    ]
    assert ends == pytest.approx([low, high], abs=0.51 * 10**-digits)


@pytest.mark.parametrize(
    ("n", "lost", "won", "theirs"), [(161, 6, 16, 0.034053), (14, 0, 1, 0.542071)]
)
def test_the_exact_test_of_no_drop_is_that_of_the_r_package(
    n: int, lost: int, won: int, theirs: float
) -> None:
    """At Δ = 0 the score is McNemar's statistic, and both sides are as likely as each other.

    Theirs is the largest value of a grid, ours a bound that lies at most 1 % above the maximum.
    """
    gamma = 1e-4
    ours = 2 * (p_of_counts(n, lost, won, 0.0, gamma) - gamma) + gamma
    assert theirs - 1e-6 <= ours <= theirs / 0.99


def _capital(values: FloatArray, bound: float, low: float, stake: float, side: str) -> FloatArray:
    """ville's capital after each row, where ``stake`` of what ruin allows is staked on each."""
    bets = BettingTest(bound, (low, 1), alternative=side, alpha=BOLDEST, c=stake)
    return np.asarray(bets.fit(values).e_values_, np.float64)


@settings(max_examples=30)
@given(
    st.integers(10, 200),
    st.lists(st.sampled_from([-1, 1]), max_size=10),
    st.floats(0.1, 0.55),
    st.integers(0, 99),
)
def test_betting_is_villes_where_both_stake_the_most(
    n: int, discordant: list[int], delta: float, seed: int
) -> None:
    """With few discordant rows and so large a Δ our stake is its largest; half of it bets half."""
    drops = np.zeros(n, np.int8)
    drops[: len(discordant)] = discordant
    rows = np.random.default_rng(seed).permutation(drops).astype(np.float64)
    capital = sum(_capital(rows, delta, -1, stake, "less") for stake in (0.5, 0.25)) / 2
    expected = min(1.0, 1 / float(np.max(capital)))
    assert betting.p_value(Losses(drops), delta, seed) == pytest.approx(expected, rel=1e-9)


@settings(max_examples=12)
@given(st.lists(st.integers(-1, 1), min_size=1, max_size=10), st.floats(0.1, 0.5), st.booleans())
def test_the_monitor_is_villes_bets_begun_at_every_row(
    values: list[int], bound: float, labelled: bool
) -> None:
    low = -1 if labelled else 0
    rows = np.array(values if labelled else np.abs(values), np.float64)
    monitor = Monitor(bound, 1e-200, low)  # no alarm, after which it stands still
    monitor.extend(rows.astype(int))
    money = cash(len(rows))
    for start in range(len(rows)):
        for stake in np.geomspace(bound / 4, 0.5, STAKES):
            won = _capital(rows[start:], bound, low, float(stake), "greater")[-1]
            money += (cash(start) - cash(start + 1)) / STAKES * won
    assert monitor.capital == pytest.approx(money, rel=1e-9)


@pytest.mark.parametrize(("a", "b"), [(2.0, 5.0), (0.5, 3.0), (20.0, 30.0), (0.01, 0.2)])
def test_the_bound_of_a_mean_is_near_villes(a: float, b: float) -> None:
    """Theirs stakes by another rule, so it may lie on either side.

    Its interval is of two sides, each with half of the money: so the upper end at twice α is a
    bound at α.
    """
    values = np.random.default_rng(7).beta(a, b, 400)
    order = np.random.default_rng(betting.SEED).permutation(values)
    theirs = BettingCS(alpha=0.1, grid=501).fit(order).interval()[1]
    ours = bounded.upper(values, 0.05)
    assert values.mean() < ours == pytest.approx(theirs, abs=0.02)
