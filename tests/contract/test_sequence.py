"""The path from the safest policy to the cheapest, and what would carry it on."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from scipy.stats import binom

from dimec.base.errors import ConfigError, DataError
from dimec.contract.exact import p_of_counts
from dimec.contract.losses import Losses, Terms
from dimec.contract.sequence import fixed_sequence, rows_needed


def _losses(n: int, plus: int, minus: int) -> Losses:
    drops = np.repeat(np.array([1, -1, 0], np.int8), (plus, minus, n - plus - minus))
    return Losses(drops, drops != 0)


TERMS = Terms.of(1.0, 0.95)


def test_it_stops_at_the_first_that_is_refused_and_looks_no_further() -> None:
    asked: list[int] = []

    def path() -> Iterator[Losses]:
        for plus in (0, 3, 30, 0):
            asked.append(plus)
            yield _losses(2_000, plus, 5)

    verdict = fixed_sequence(path(), TERMS)
    assert (verdict.accepted, asked) == (2, [0, 3, 30])
    assert len(verdict.p_values) == 3
    assert max(verdict.p_values[:2]) <= 0.05 < verdict.p_values[2]
    near = verdict.shortfall
    assert near is not None
    assert near.drop == pytest.approx(25 / 2_000)
    assert near.bound > 0.01
    assert near.rows is None  # over the drop allowed: more of the same rows would not help


def test_a_path_may_be_accepted_whole_and_may_have_no_labels() -> None:
    verdict = fixed_sequence([_losses(2_000, 0, 0), _losses(2_000, 2, 2)], TERMS, "disagreement")
    assert (verdict.accepted, verdict.shortfall) == (2, None)
    without = [Losses(None, np.arange(2_000) < differing) for differing in (3, 16)]
    refused = fixed_sequence(without, TERMS, "disagreement")
    assert (refused.accepted, len(refused.p_values)) == (1, 2)
    assert refused.shortfall is not None
    assert refused.shortfall.drop == 0.008
    with pytest.raises(DataError, match="needs labels"):
        fixed_sequence(without, TERMS)


def test_what_cannot_be_tested_is_refused() -> None:
    with pytest.raises(DataError, match="298 calibration rows cannot show"):
        fixed_sequence([_losses(298, 0, 0)], TERMS)
    with pytest.raises(ConfigError, match="an empty path"):
        fixed_sequence([], TERMS)


@pytest.mark.parametrize(("share", "drop"), [(0.02, 0.0), (0.05, 0.0), (0.02, 0.005)])
def test_as_many_rows_as_it_says_show_it_four_times_in_five(share: float, drop: float) -> None:
    n = 1_000
    plus, minus = round(n * (share + drop) / 2), round(n * (share - drop) / 2)
    rows = rows_needed(n, plus, minus, TERMS)
    assert rows is not None
    rng, draws, passed = np.random.default_rng(7), 150, 0
    for plus_, minus_, _ in rng.multinomial(
        rows, [plus / n, minus / n, 1 - (plus + minus) / n], size=draws
    ):
        passed += p_of_counts(rows, int(plus_), int(minus_), 0.01, at=0.05) <= 0.05
    low, high = binom.ppf((0.001, 0.999), draws, 0.8)
    assert low - 0.05 * draws <= passed <= high + 0.05 * draws


def test_rows_needed_are_more_than_there_are_and_than_the_fewest() -> None:
    assert rows_needed(100, 0, 0, TERMS) == TERMS.fewest_rows()
    assert rows_needed(900, 0, 300, TERMS) == 901
    assert rows_needed(900, 9, 0, TERMS) is None


def test_a_path_of_dependent_policies_is_wrong_no_more_often_than_alpha() -> None:
    """Each policy differs wherever the one before did; the third one as often as is just too much.

    Tested each apart and the best taken, the last ones would be further chances to err.
    """
    n, delta, draws = 1_000, 0.02, 1_000
    terms = Terms(delta, 0.05)
    rng = np.random.default_rng(3)
    wrong = 0
    for _ in range(draws):
        u = rng.random(n)
        path = [Losses(None, u < share) for share in (0.001, 0.01, delta, 0.021, 0.04)]
        wrong += fixed_sequence(path, terms, "disagreement").accepted >= 3
    assert 0 < wrong <= binom.ppf(0.999, draws, 0.05)
