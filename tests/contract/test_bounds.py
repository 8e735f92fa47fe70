"""Betting, Clopper-Pearson, Hoeffding-Bentkus and disagreement: valid, steady, and as defined."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, norm

from dimec.base.errors import ConfigError
from dimec.contract import betting, clopper_pearson, disagreement, hoeffding_bentkus
from dimec.contract.losses import Losses
from dimec.contract.registry import DEFAULT, TESTS, WITHOUT_LABELS, contract_test
from dimec.contract.score import score
from support import slow_contract as slow


def _losses(n: int, plus: int, minus: int) -> Losses:
    drops = np.repeat(np.array([1, -1, 0], np.int8), (plus, minus, n - plus - minus))
    return Losses(drops, drops != 0)


@pytest.mark.parametrize("alpha", [0.05, 0.3])
@pytest.mark.parametrize(("n", "delta"), [(12, 0.25), (28, 0.1)])
@pytest.mark.parametrize("name", ["clopper-pearson", "hoeffding-bentkus", "disagreement"])
def test_a_violated_contract_is_accepted_with_probability_alpha_at_most(
    name: str, n: int, delta: float, alpha: float
) -> None:
    test = contract_test(name)
    assert slow.size(n, delta, alpha, lambda x, y: test.p_value(_losses(n, x, y), delta)) <= alpha


@pytest.mark.parametrize(
    ("name", "n", "alpha"),
    [
        ("clopper-pearson", 12, 0.05),
        ("clopper-pearson", 12, 0.3),
        ("hoeffding-bentkus", 12, 0.05),
        ("hoeffding-bentkus", 12, 0.3),
        ("disagreement", 12, 0.05),
        ("disagreement", 12, 0.3),
        ("exact", 4, 0.05),
    ],
)
def test_a_bound_lies_under_the_drop_with_probability_alpha_at_most(
    name: str, n: int, alpha: float
) -> None:
    upper = contract_test(name).upper
    assert slow.miscoverage(n, lambda x, y: upper(_losses(n, x, y), alpha)) <= alpha


def test_the_enumeration_finds_out_a_test_that_only_seems_valid() -> None:
    size = slow.size(28, 0.1, 0.05, lambda x, y: float(norm.cdf(score(x, y, 28, 0.1))))
    assert size > 0.06


@pytest.mark.parametrize("delta", [0.4, 0.6])
def test_betting_is_valid_in_every_sequence_of_rows(delta: float) -> None:
    n, alpha = 8, 0.1
    rows = np.array(list(slow.all_rows(n)), np.int8)
    accepted = np.array([betting.p_value(Losses(row), delta) <= alpha for row in rows])
    lost, won = (rows == 1).sum(axis=1), (rows == -1).sum(axis=1)
    assert accepted.any()
    for plus, minus in slow.violations(delta, 41):
        chances = plus**lost * minus**won * (1 - plus - minus) ** (n - lost - won)
        assert chances @ accepted <= alpha


def test_the_bound_of_betting_holds_in_every_sequence_of_rows() -> None:
    n, alpha = 5, 0.3
    rows = np.array(list(slow.all_rows(n)), np.int8)
    bounds = np.array([betting.upper(Losses(row), alpha) for row in rows])
    lost, won = (rows == 1).sum(axis=1), (rows == -1).sum(axis=1)
    assert bounds.min() < 0.1
    for plus, minus in ((0.1, 0.0), (0.2, 0.1), (0.5, 0.0), (0.6, 0.1), (0.6, 0.4), (0.9, 0.0)):
        chances = plus**lost * minus**won * (1 - plus - minus) ** (n - lost - won)
        assert chances @ (bounds < plus - minus - 1e-9) <= alpha


@given(st.lists(st.sampled_from([-1, 0, 0, 0, 1]), min_size=1, max_size=40), st.floats(0, 0.9))
def test_capital_is_that_of_a_loop(drops: list[int], delta: float) -> None:
    losses = Losses(np.array(drops, np.int8))
    order = np.random.default_rng(5).permutation(np.array(drops)).tolist()
    expected = 1 / slow.capital(order, delta)
    assert betting.p_value(losses, delta, seed=5) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("name", sorted(TESTS))
@pytest.mark.parametrize("share", [0.01, 0.02, 0.05])
def test_on_the_boundary_violations_stay_within_alpha(name: str, share: float) -> None:
    n, delta, draws = 1_000, 0.01, 200
    rng = np.random.default_rng(16)
    values = np.array([1, -1, 0], np.int8)
    chances = [(share + delta) / 2, (share - delta) / 2, 1 - share]
    passed = 0
    for _ in range(draws):
        drops = rng.choice(values, size=n, p=chances)
        passed += TESTS[name].p_value(Losses(drops, drops != 0), delta) <= 0.05
    assert passed <= binom.ppf(0.999, draws, 0.05)


@pytest.mark.parametrize("name", sorted(TESTS))
@settings(max_examples=30)
@given(st.integers(650, 6_000), st.integers(0, 40), st.integers(0, 40), st.floats(0.004, 0.05))
def test_a_p_value_is_one_and_falls_with_the_drop_that_is_allowed(
    name: str, n: int, plus: int, minus: int, delta: float
) -> None:
    losses = _losses(n, plus, minus)
    p, wider = (TESTS[name].p_value(losses, allowed) for allowed in (delta, 1.5 * delta))
    assert 0 <= p <= 1
    assert wider <= p * 1.02 + 1e-9
    worse = _losses(n, plus + 3, minus)
    if name != "betting":  # where rows that are added change the order of all
        assert TESTS[name].p_value(worse, delta) >= p * 0.98 - 1e-9


@pytest.mark.parametrize("name", sorted(TESTS))
@pytest.mark.parametrize(("plus", "minus"), [(0, 0), (6, 4), (3, 20)])
def test_the_bound_is_where_the_p_value_is_alpha(name: str, plus: int, minus: int) -> None:
    losses = _losses(1_500, plus, minus)
    bound = TESTS[name].upper(losses, 0.05)
    step = 1e-4 if name in {"exact", "betting"} else 1e-7
    assert TESTS[name].p_value(losses, bound + 1e-9) <= 0.05 + 1e-6
    assert bound < step or TESTS[name].p_value(losses, bound - step) >= 0.05


def test_hoeffding_bentkus_is_its_formula() -> None:
    losses = _losses(200, 9, 4)
    risk, limit = (200 + 5) / 400, 1.1 / 2
    divergence = risk * np.log(risk / limit) + (1 - risk) * np.log((1 - risk) / (1 - limit))
    expected = min(np.exp(-200 * divergence), np.e * binom.cdf(np.ceil(200 * risk), 200, limit))
    assert hoeffding_bentkus.p_value(losses, 0.1) == pytest.approx(expected, rel=1e-9)


def test_the_pair_of_bounds_pays_for_both_and_disagreement_for_neither() -> None:
    losses = _losses(1_000, 7, 5)
    pair = clopper_pearson.upper(losses, 0.05)
    assert clopper_pearson.p_value(losses, pair) == pytest.approx(0.05, rel=1e-6)
    assert disagreement.p_value(losses, 0.02) == pytest.approx(binom.cdf(12, 1_000, 0.02))
    assert clopper_pearson.p_value(_losses(1_000, 0, 0), 0.01) == pytest.approx(2 * 0.99**1_000)


def test_tests_go_by_name() -> None:
    assert contract_test(DEFAULT).labels
    assert not contract_test(WITHOUT_LABELS).labels
    with pytest.raises(ConfigError, match="called 'wald'; there are exact, betting"):
        contract_test("wald")
