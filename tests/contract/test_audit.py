"""Which bounds an audit watches."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dimec.base.errors import ConfigError
from dimec.contract.audit import Watched, watched
from dimec.contract.monitor import Monitor
from dimec.contract.promise import Calibrated, Promise

CALIBRATED = Calibrated(2000, True, 0.001, 0.004, 0.02, 0.026, 5.0, 5.2, 0.5)
DROP = Promise(0.5, None, None, 0.9, "exact", CALIBRATED, 3000, "validation", 9, 4)
DISAGREEMENT = replace(DROP, max_accuracy_drop=None, max_disagreement=1.0)
COST = replace(DROP, max_accuracy_drop=None, max_cost=5.0)


def test_a_contract_of_differences_is_watched_itself() -> None:
    found = watched(DISAGREEMENT)
    assert (found.different, found.drop) == (0.01, None)
    assert found.alpha == pytest.approx(0.1)


def test_of_a_contract_of_cost_what_the_calibration_said_is_watched() -> None:
    found = watched(COST)
    assert (found.different, found.drop) == (0.026, None)


def test_a_drop_is_watched_beside_the_differences_and_both_share_the_false_alarms() -> None:
    found = watched(DROP)
    assert (found.different, found.drop) == (0.026, 0.005)
    assert 2 * found.alpha == pytest.approx(0.1)
    assert Monitor.of_drops(found.drop or 0, found.alpha).low == -1


def test_a_bound_that_is_given_comes_before_the_contracts() -> None:
    assert watched(DISAGREEMENT, 3.0).different == 0.03
    assert watched(DROP, 3.0).drop == 0.005


def test_without_a_contract_the_bound_is_given() -> None:
    assert watched(None, 2.0) == Watched(0.02, None, 1 - 0.95)
    with pytest.raises(ConfigError, match="fitted without a contract; state what share"):
        watched(None)


@pytest.mark.parametrize("points", [0, 100, -1, 1e9, float("nan")])
def test_a_bound_out_of_range_is_refused(points: float) -> None:
    with pytest.raises(ConfigError, match="over 0 and under 100 points"):
        watched(DROP, points)


@pytest.mark.parametrize("bound", [0.0, 1.0])
def test_a_calibration_that_bounds_nothing_is_said(bound: float) -> None:
    vain = replace(COST, calibration=replace(CALIBRATED, different_bound=bound))
    with pytest.raises(ConfigError, match=rf"allows {100 * bound:g} % of answers to differ"):
        watched(vain)
    assert watched(vain, 2.0).different == 0.02
