"""The monitor: its capital against the definition, its alarm, and its state."""

from __future__ import annotations

import itertools
import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from dimec.base.errors import ConfigError, CorruptArtefactError, DataError
from dimec.contract.monitor import STAKES, Monitor


def _capital(values: list[int], bound: float, low: int) -> float:
    """The definition: one bet for each stake and each row at which betting begins."""
    stakes = np.geomspace(bound / 4, 0.5, STAKES) / (bound - low)
    cash = [1.0, *(1 / (2 + math.log2(t)) for t in range(1, len(values) + 1))]
    money = cash[-1]
    for start in range(len(values)):
        for stake in stakes:
            won = math.prod(1 + stake * (value - bound) for value in values[start:])
            money += (cash[start] - cash[start + 1]) / STAKES * won
    return money


@given(st.lists(st.integers(-1, 1), max_size=12), st.floats(0.01, 0.5), st.booleans())
def test_capital_is_what_all_bets_have_won(values: list[int], bound: float, labelled: bool) -> None:
    values = values if labelled else [abs(value) for value in values]
    low = -1 if labelled else 0
    monitor = Monitor(bound, 1e-200, low)  # no alarm, after which it stands still
    monitor.extend(values)
    assert monitor.capital == pytest.approx(_capital(values, bound, low), rel=1e-9)
    assert (monitor.rows, monitor.sum) == (len(values), sum(values))


@pytest.mark.parametrize(("low", "bound"), [(0, 0.3), (-1, 0.2)])
def test_capital_is_worth_one_on_the_average_of_all_sequences(low: int, bound: float) -> None:
    """On the bound the mean over every sequence of 6 rows is 1, and under it less."""
    for mean, expected in ((bound, 1.0), (bound - 0.1, 0.0)):
        chances = {1: mean, 0: 1 - mean} if low == 0 else {1: mean + 0.2, -1: 0.2, 0: 0.6 - mean}
        worth = _mean_capital(Monitor(bound, 1e-9, low), chances, 6)
        assert worth == pytest.approx(1.0, abs=1e-12) if expected else worth < 1


def _mean_capital(monitor: Monitor, chances: dict[int, float], rows: int) -> float:
    if not rows:
        return monitor.capital
    total = 0.0
    for value, chance in chances.items():
        further = Monitor.of_json(monitor.to_json())
        further.update(value)
        total += chance * _mean_capital(further, chances, rows - 1)
    return total


@pytest.mark.parametrize(("low", "rows", "alpha"), [(0, 10, 0.4), (-1, 6, 0.6)])
def test_an_alarm_is_false_with_probability_alpha_at_most_in_every_sequence(
    low: int, rows: int, alpha: float
) -> None:
    bound = 0.2
    chances = {1: bound, 0: 1 - bound} if low == 0 else {1: bound + 0.1, -1: 0.1, 0: 0.8 - bound}
    false = 0.0
    for values in itertools.product(chances, repeat=rows):
        if Monitor(bound, alpha, low).extend(values):
            false += math.prod(chances[value] for value in values)
    assert 0 < false <= alpha


def test_false_alarms_are_no_more_frequent_than_alpha_however_often_one_looks() -> None:
    draws, rows, alpha = 150, 400, 0.2
    rng = np.random.default_rng(11)
    for monitor, chances in (
        (Monitor.of_differences(0.02, alpha), (0.0, 0.98, 0.02)),
        (Monitor.of_drops(0.02, alpha), (0.03, 0.92, 0.05)),
    ):
        fresh = monitor.to_json()
        alarms = sum(
            Monitor.of_json(fresh).extend(rng.choice([-1, 0, 1], size=rows, p=chances))
            for _ in range(draws)
        )
        assert alarms <= binom.ppf(0.999, draws, alpha)


def test_it_speaks_soon_after_a_drift_that_comes_late() -> None:
    rng = np.random.default_rng(2)
    monitor = Monitor.of_differences(0.02, 0.05)
    assert not monitor.extend(rng.random(3_000) < 0.01)
    assert monitor.extend(rng.random(600) < 0.08)
    assert 3_000 < monitor.alarm < 3_600
    capital = monitor.capital
    assert capital >= 1 / 0.05
    assert monitor.update(0)  # it stays, and the capital with it
    assert (monitor.rows, monitor.capital) == (3_601, capital)


@given(st.lists(st.integers(-1, 1), min_size=1, max_size=60), st.integers(0, 60))
def test_a_restart_changes_no_bit(values: list[int], at: int) -> None:
    straight, before = Monitor.of_drops(0.05, 0.05), Monitor.of_drops(0.05, 0.05)
    straight.extend(values)
    before.extend(values[:at])
    after = Monitor.of_json(before.to_json())
    after.extend(values[at:])
    assert after.to_json() == straight.to_json()


@pytest.mark.parametrize(
    "changed",
    [
        {"form": 2},
        {"bound": 0},
        {"bound": None},
        {"invested": [1.0]},
        {"invested": [-1.0] * STAKES},
        {"invested": "much"},
        {"alarm": 9},
        {"sum": 4},
        {"rows": -1},
        {"other": 1},
    ],
)
def test_a_state_that_is_none_is_refused(changed: dict[str, Any]) -> None:
    monitor = Monitor.of_differences(0.1, 0.05)
    monitor.extend([0, 1])
    state = json.loads(monitor.to_json())
    with pytest.raises(CorruptArtefactError, match="begin a new one"):
        Monitor.of_json(json.dumps(state | changed))
    for text in ("", "[]", "3", "{}"):
        with pytest.raises(CorruptArtefactError):
            Monitor.of_json(text)


@pytest.mark.parametrize("made", [(0.0, 0.05), (1.0, 0.05), (0.1, 0.0), (0.1, 1.0), (0.1, 0.5, 2)])
def test_a_monitor_of_nothing_is_refused(made: Any) -> None:
    with pytest.raises(ConfigError, match="a monitor's"):
        Monitor(*made)


def test_values_that_no_row_has_are_refused() -> None:
    with pytest.raises(DataError, match="from 0 to 1, got -1"):
        Monitor.of_differences(0.1, 0.05).update(-1)
    with pytest.raises(DataError, match="from -1 to 1, got 2"):
        Monitor.of_drops(0.1, 0.05).extend([2])
