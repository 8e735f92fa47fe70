"""How many servers a tier takes, for the askings that a simulation sent there.

The least number c of servers at each station with which a percentile of the waits is within a
bound. Waits never grow with c (first come, first served), so c is found by halving; where stations
batch that holds but for chance, and what is found keeps the bound all the same. From the load
a = Σ work / seconds there is a first guess: fewer than a servers never do.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dimec.base.arrays import FloatArray
from dimec.fleet.accounts import work_of
from dimec.fleet.batches import BatchStation
from dimec.fleet.simulate import HOUR, Simulated
from dimec.fleet.stations import Station


@dataclass(frozen=True)
class Size:
    """What a tier takes.

    Attributes:
        servers: of each station.
        wait_ms: the percentile of the waits with so many.
        utilisation: of the busiest station.
    """

    servers: int
    wait_ms: float
    utilisation: float


def waits(arrived: FloatArray, work: FloatArray, servers: int) -> FloatArray:
    """(N,) seconds that each waits at a station without limits, in the order of arrival."""
    station = Station(servers)
    arrive = station.arrive
    pairs = zip(arrived.tolist(), work.tolist(), strict=True)
    return np.array([arrive(now, taken)[1] for now, taken in pairs], np.float64) - arrived


def batched_waits(
    arrived: FloatArray, work: FloatArray, servers: int, batch: int, row_share: float
) -> FloatArray:
    """(N,) the same at a station that batches (:class:`dimec.fleet.batches.BatchStation`)."""
    station = BatchStation(servers, batch=batch, row_share=row_share)
    started = np.empty(len(arrived))
    for i, (now, taken) in enumerate(zip(arrived.tolist(), work.tolist(), strict=True)):
        for one in station.enter(now, i, taken):
            started[one.who] = one.started
    for one in station.advance(math.inf):
        started[one.who] = one.started
    waited: FloatArray = started - arrived
    return waited


def size_of(
    arrived: Sequence[FloatArray],
    work: Sequence[FloatArray],
    seconds: float,
    wait: float,
    percentile: float,
    batch: int = 1,
    row_share: float = 1.0,
) -> Size:
    """The least number of servers of each of several stations that are alike.

    Args:
        arrived, work: of each station, (N,) ascending seconds, and seconds of a server.
        seconds: of the whole.
        wait: seconds that the percentile of all waits may take.
        percentile: such as 99.
        batch, row_share: of stations that batch. A run takes at least r times the work in it, so
            that r·a servers are the least there.
    """
    least_work = row_share if batch > 1 else 1.0
    load = least_work * max((float(one.sum()) / seconds for one in work), default=0.0)

    def tail(servers: int) -> float:
        each = [
            waits(a, w, servers) if batch == 1 else batched_waits(a, w, servers, batch, row_share)
            for a, w in zip(arrived, work, strict=True)
        ]
        every = np.concatenate(each) if each else np.zeros(0)
        return float(np.percentile(every, percentile)) if len(every) else 0.0

    low = max(1, math.ceil(load))
    high, least = low, tail(low)
    while least > wait:
        low, high = high + 1, 2 * high
        least = tail(high)
    while low < high:
        middle = (low + high) // 2
        if (found := tail(middle)) <= wait:
            high, least = middle, found
        else:
            low = middle + 1
    return Size(high, 1e3 * least, load / high)


def sizes(done: Simulated) -> dict[str, dict[str, Any]]:
    """What each tier takes for the askings that it got, as JSON values."""
    asked, goal = done.fate.askings, done.settings.sizing
    work, bound = work_of(done), done.demand.station
    found = {}
    for k, name in enumerate(done.deployment.names):
        if not k:
            continue
        here, tier = np.flatnonzero(asked.tier == k), done.settings.tier(name)
        station = bound[asked.input[here], k]
        groups = [here[station == one] for one in np.unique(station)]
        size = size_of(
            [asked.arrived[group] for group in groups],
            [work[group] for group in groups],
            done.settings.hours * HOUR,
            goal.wait_ms / 1e3,
            goal.percentile,
            tier.batch,
            tier.row_share,
        )
        found[name] = {
            "stations": len(done.stations[k]),
            "servers": size.servers,
            "wait_ms": size.wait_ms,
            "utilisation": size.utilisation,
        }
    return found
