"""What becomes of an input where tiers fail: as the mobile's own course through the tiers."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from dimec.base.errors import TierError
from dimec.fleet.batches import BatchStation
from dimec.fleet.network import LOST, Demand, run
from dimec.fleet.stations import SERVED, Station
from dimec.mobile.course import Course, fallback_order
from dimec.policies.step import Answer, Go, Signal, Step, Walk
from dimec.tiers.deployment import Deployment

TIERS = Deployment.paper((2, 3, 6))
PATHS = [path for n in (1, 2, 3) for path in itertools.combinations(range(3), n)]
DOWN = ((0.0, math.inf),)


def _demand(path: tuple[int, ...], fallback: str, **fields: object) -> Demand:
    visits = np.zeros((1, 3), bool)
    visits[0, list(path)] = True
    values: dict[str, object] = {
        "sent": np.array([1.0]),
        "visits": visits,
        "work": np.array([[0.0, 0.5, 0.25]]),
        "detour": np.array([[0.125, 0.5, 0.25]]),
        "there": np.array([[0.0, 2.0, 4.0]]),
        "back": np.array([[0.0, 1.0, 3.0]]),
        "station": np.zeros((1, 3), np.int64),
        "orders": [fallback_order(k, fallback, TIERS) for k in range(3)],  # type: ignore[arg-type]
    }
    return Demand(**{**values, **fields})  # type: ignore[arg-type]


def _stations(failing: tuple[int, ...]) -> list[list[Station]]:
    return [[], *([Station(1, outages=DOWN if k in failing else ())] for k in (1, 2))]


def _walked(
    path: tuple[int, ...], failing: tuple[int, ...], fallback: str
) -> tuple[int, bool, bool]:
    """The answering tier, whether it stood in, and whether the path was cut, by the mobile."""
    steps: list[Step] = [*(Go(k, TIERS.exits[k]) for k in path), Answer()]
    first = steps[0]
    assert isinstance(first, Go)
    order = fallback_order(first.tier, fallback, TIERS)  # type: ignore[arg-type]
    course = Course(Walk(Signal(np.zeros(2), 3)), first, order, TIERS)
    taken = iter(steps[1:])
    while course.answer is None:
        tier = TIERS.names.index(course.tier)
        if tier in failing:
            course.failed(TierError(course.tier, "unreachable", "down", sent=False))
        else:
            course.see(np.array([0.5, 0.5], np.float32), lambda walk: next(taken))
    spoke = bool(course.walk.looks)
    failed = bool(course.failures)
    return course.answer.tier, failed and not spoke, failed and spoke


@pytest.mark.parametrize("fallback", ["accuracy", "cost"])
@pytest.mark.parametrize("failing", [(), (1,), (2,), (1, 2)])
@pytest.mark.parametrize("path", PATHS)
def test_a_failure_is_taken_as_the_mobile_takes_it(
    path: tuple[int, ...], failing: tuple[int, ...], fallback: str
) -> None:
    fate = run(_demand(path, fallback), _stations(failing))
    said = int(fate.tier[0]), bool(fate.detour[0]), bool(fate.cut[0])
    assert said == _walked(path, failing, fallback)


def test_times_add_up_along_a_path() -> None:
    fate = run(_demand((0, 1, 2), "accuracy"), _stations(()))
    assert fate.done.tolist() == [1 + (2 + 0.5 + 1) + (4 + 0.25 + 3)]
    assert fate.askings.arrived.tolist() == [3.0, 1 + 3.5 + 4]


def test_times_add_up_on_a_detour() -> None:
    fate = run(_demand((1,), "cost"), _stations((1,)))
    assert fate.done.tolist() == [1 + 2 + 1 + 0.125]  # refused there, and known when that is back


def test_who_has_no_link_computes_at_once() -> None:
    lost = np.full((1, 3), LOST)
    fate = run(_demand((2,), "accuracy", there=lost, back=lost), _stations(()))
    assert fate.done.tolist() == [1.125]
    assert (fate.tier[0], bool(fate.detour[0]), len(fate.askings.input)) == (0, True, 0)


def test_who_gives_up_asks_the_next_at_that_moment() -> None:
    fate = run(_demand((1,), "accuracy", timeout=3.25), _stations(()))
    # 3.25 s after the sending, edge has not answered; the cloud's answer takes 7.25 s: in vain too.
    assert fate.done.tolist() == [1 + 3.25 + 3.25 + 0.125]
    assert not (fate.askings.outcome == SERVED).any()


def _many(size: int, seed: int, timeout: float) -> Demand:
    rng = np.random.default_rng(seed)
    visits = rng.uniform(size=(size, 3)) < 0.6
    return Demand(
        np.cumsum(rng.exponential(0.4, size)),
        visits,
        rng.exponential(0.5, (size, 3)),
        rng.exponential(0.5, (size, 3)),
        rng.uniform(0.01, 0.2, (size, 3)),
        rng.uniform(0.01, 0.2, (size, 3)),
        np.zeros((size, 3), np.int64),
        [fallback_order(k, "accuracy", TIERS) for k in range(3)],
        timeout,
    )


@pytest.mark.parametrize("timeout", [math.inf, 1.5])
def test_stations_that_batch_one_by_one_are_stations(timeout: float) -> None:
    demand = _many(400, 1, timeout)
    outages = [(20.0, 25.0), (70.0, 71.0)]
    plain = run(demand, [[], [Station(1, 3, outages)], [Station(2, 1)]])
    batching = [[], [BatchStation(1, 3, outages, batch=1)], [BatchStation(2, 1, batch=1)]]
    told = run(demand, batching)
    assert len(set(plain.askings.outcome.tolist())) == 4 - math.isinf(timeout)
    for name in ("done", "tier", "detour", "cut"):
        assert getattr(told, name).tolist() == getattr(plain, name).tolist(), name
    for name in ("input", "tier", "arrived", "over", "detour", "outcome"):
        ours, theirs = getattr(told.askings, name), getattr(plain.askings, name)
        assert ours.tolist() == theirs.tolist(), name


def test_inputs_meet_in_the_queue_in_the_order_of_their_arrival() -> None:
    size = 4
    visits = np.tile([[False, True, False]], (size, 1))
    there = np.zeros((size, 3))
    there[:, 1] = [9.0, 1.0, 5.0, 1.0]
    demand = Demand(
        np.zeros(size),
        visits,
        np.full((size, 3), 2.0),
        np.full((size, 3), 2.0),
        there,
        np.zeros((size, 3)),
        np.zeros((size, 3), np.int64),
        [fallback_order(k, "accuracy", TIERS) for k in range(3)],
    )
    fate = run(demand, _stations(()))
    assert fate.askings.input.tolist() == [1, 3, 2, 0]
    assert fate.done.tolist() == [11.0, 3.0, 7.0, 5.0]
