"""A station that batches, against a list of events, and against stations that do not."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dimec.base.errors import ConfigError
from dimec.fleet.batches import BatchStation, Settled
from dimec.fleet.sizing import batched_waits, waits
from dimec.fleet.stations import REASONS, Scaling, Station
from support.slow_queue import Asked, queues, slow_queue


def _play(station: BatchStation, asked: Sequence[tuple[float, float, float]]) -> list[Settled]:
    """What becomes of all, by their order; each is told when it is over or before."""
    told: dict[int, Settled] = {}
    now = 0.0
    for i, (at, work, until) in enumerate(asked):
        while station.wake < at:
            now = station.wake
            told |= {one.who: one for one in _in_time(station.advance(now), now)}
        told |= {one.who: one for one in _in_time(station.enter(at, i, work, until), at)}
    while station.wake < math.inf:
        now = station.wake
        told |= {one.who: one for one in _in_time(station.advance(now), now)}
    return [told[i] for i in range(len(asked))]


def _in_time(settled: list[Settled], now: float) -> list[Settled]:
    assert all(one.over >= now for one in settled)
    return settled


@given(queues(), st.integers(1, 4), st.sampled_from([0.0, 0.5, 1.0]))
def test_it_does_what_a_list_of_events_does(
    queue: tuple[Asked, int, float, list[tuple[float, float]]], batch: int, share: float
) -> None:
    asked, servers, limit, outages = queue
    station = BatchStation(servers, limit, outages, batch=batch, row_share=share)
    said = [(REASONS[one.outcome], one.over) for one in _play(station, asked)]
    assert said == slow_queue(asked, servers, limit, outages, batch, share)


@given(queues())
def test_a_batch_of_one_is_a_station(
    queue: tuple[Asked, int, float, list[tuple[float, float]]],
) -> None:
    asked, servers, limit, outages = queue
    single = Station(servers, limit, outages)
    said = _play(BatchStation(servers, limit, outages, batch=1), asked)
    assert [(one.outcome, one.over) for one in said] == [
        (code, over) for code, _, over in (single.arrive(*one) for one in asked)
    ]


def test_one_row_at_a_time_in_a_run_serves_no_more_than_its_work() -> None:
    """With r = 1 a run is its works one after the other: the server is as busy as ever."""
    rng = np.random.default_rng(4)
    at, work = np.cumsum(rng.exponential(1.0, 2_000)), rng.exponential(0.7, 2_000)
    station = BatchStation(1, batch=16, row_share=1.0)
    _play(station, [(a, w, math.inf) for a, w in zip(at.tolist(), work.tolist(), strict=True)])
    assert station.busy == pytest.approx(work.sum())


def test_batches_bear_what_single_runs_cannot() -> None:
    rng = np.random.default_rng(2)
    at = np.cumsum(rng.exponential(1.0, 5_000))
    work = np.full(5_000, 2.0)  # twice what one server can do
    batched = batched_waits(at, work, 1, batch=16, row_share=0.1)
    assert np.percentile(batched, 99) < 5.0
    assert waits(at, work, 1).mean() > 1000.0


def test_a_server_that_was_added_takes_who_waits() -> None:
    scaling = Scaling(1, 2, target=0.5, period=10.0, start_seconds=5.0)
    station = BatchStation(1, scaling=scaling, batch=2)
    told = _play(station, [(0.0, 100.0, math.inf), (1.0, 1.0, math.inf), (2.0, 1.0, math.inf)])
    assert [one.started for one in told] == [0.0, 15.0, 15.0]
    assert station.log.servers == [1, 2]


@pytest.mark.parametrize("wrong", [{"batch": 0}, {"batch": 2, "row_share": 1.5}])
def test_no_batch_of_nothing(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="at least 1 asking and a row's share"):
        BatchStation(1, **wrong)  # type: ignore[arg-type]
