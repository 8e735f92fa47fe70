"""The event loop: askings travel from phones to stations and back, or elsewhere on failure.

An input's path is that of its policy: visits to tiers, nearest first. Where a tier fails, the rule
is the mobile's (:class:`dimec.mobile.course.Course`): if an exit has spoken before, what it said is
the answer; else the other tiers are asked in the order of the fallback, each for its own exit, the
phone last. Refused askings are not tried again at the same tier.

Inputs meet in the queues only, so events are arrivals at stations, in order of time: one for each
visit to a tier. Those of first visits are sorted once, later ones wait in a heap. Stations that
batch are told besides when time has come to one of their turns.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from typing import Any, TypeAlias

import numpy as np

from dimec.base.arrays import BoolArray, FloatArray, IntArray
from dimec.fleet.batches import BatchStation, Settled
from dimec.fleet.stations import SERVED, TIMEOUT, Station

AnyStation: TypeAlias = Station | BatchStation

LOST = -1.0  # of a way: the phone has no link


@dataclass(frozen=True, eq=False)
class Demand:
    """What N inputs ask of K tiers; the first is the phone, which is not asked.

    Attributes:
        sent: (N,) seconds, when the phone is done with its part, and sends or has answered.
        visits: (N, K) whether the path has a visit to the tier; of the phone: an exit spoke there.
        work: (N, K) seconds that a visit takes of a server there.
        detour: (N, K) the same of a visit that stands in for another tier; of the phone its own.
        there, back: (N, K) seconds on the way to the tier and back; negative without a link.
        station: (N, K) which of the tier's stations the input's phone is bound to.
        orders: for each tier the tiers to ask where the first visit is to it, that one first and
            the phone last (:func:`dimec.mobile.course.fallback_order`).
        timeout: seconds after which the phone gives an asking up.
    """

    sent: FloatArray
    visits: BoolArray
    work: FloatArray
    detour: FloatArray
    there: FloatArray
    back: FloatArray
    station: IntArray
    orders: Sequence[Sequence[int]]
    timeout: float = math.inf


@dataclass(frozen=True, eq=False)
class Askings:
    """Every asking of a tier, in the order of arrival there; arrays are (A,).

    Attributes:
        input, tier: whose and where.
        arrived, started, over: seconds: at the station, when the turn came, when it was over.
        detour: whether it stood in for another tier.
        outcome: a code of :data:`dimec.fleet.stations.REASONS`.
    """

    input: IntArray
    tier: IntArray
    arrived: FloatArray
    started: FloatArray
    over: FloatArray
    detour: BoolArray
    outcome: IntArray


@dataclass(frozen=True, eq=False)
class Fate:
    """What became of N inputs.

    Attributes:
        done: (N,) seconds, when the phone had the answer.
        tier: (N,) which tier's exit answered.
        detour: (N,) whether another tier answered than the path's, by the fallback.
        cut: (N,) whether the path ended early, with what an exit had said before.
        askings: all of them.
    """

    done: FloatArray
    tier: IntArray
    detour: BoolArray
    cut: BoolArray
    askings: Askings


def run(demand: Demand, stations: Sequence[Sequence[AnyStation]]) -> Fate:
    """Let all inputs run their course.

    Args:
        demand: of N inputs.
        stations: of each tier; of the phone none.
    """
    loop = _Loop(demand, stations)
    loop.run()
    return loop.fate()


class _Loop:
    """Lists in place of arrays: reading one number of an array takes ten times as long."""

    def __init__(self, demand: Demand, stations: Sequence[Sequence[AnyStation]]) -> None:
        self._demand, self._stations = demand, stations
        size = len(demand.visits)
        self._following = _following(demand.visits)
        self._work, self._detour = demand.work.T.tolist(), demand.detour.T.tolist()
        self._there, self._back = demand.there.T.tolist(), demand.back.T.tolist()
        self._bound = demand.station.T.tolist()
        self._sent = demand.sent.tolist()
        spoke = demand.visits[:, 0]
        self._before = np.where(spoke, 0, -1).tolist()  # the tier whose exit spoke last
        self._first = self._following[0].tolist()
        self._next = [one.tolist() for one in self._following]
        self._done = array("d", self._sent)
        self._tier = array("q", [0]) * size
        self._is_detour, self._is_cut = bytearray(size), bytearray(size)
        self._failed: dict[int, int] = {}  # inputs on a detour: how many tiers have failed
        self._heap: list[tuple[float, int, int, int, float]] = []
        self._pushed = 0
        self._asking: dict[int, tuple[float, float, bool]] = {}  # at stations that batch
        columns = ("q", "q", "d", "d", "d", "b", "b")
        self._log = tuple(array(kind) for kind in columns)

    def run(self) -> None:
        """All events, in order of time."""
        heap = self._heap
        for moment, i in zip(*self._first_arrivals(), strict=True):
            while heap and heap[0][0] <= moment:
                self._happen(*heappop(heap))
            self._arrive(moment, i, self._first[i], self._sent[i])
        while heap:
            self._happen(*heappop(heap))

    def _happen(self, now: float, _: int, i: int, tier: int, sent: float) -> None:
        if i >= 0:
            self._arrive(now, i, tier, sent)
            return
        station = self._stations[tier][-1 - i]
        assert isinstance(station, BatchStation)  # the others have no turns to wait for
        self._go_on(station, -1 - i, tier, station.advance(now))

    def _first_arrivals(self) -> tuple[list[float], list[int]]:
        """Moments and inputs of first visits behind the phone, in order; without a link none."""
        demand, first = self._demand, self._following[0]
        away = np.flatnonzero(first)
        way = demand.there[away, first[away]]
        for i in away[way < 0].tolist():
            self._fail(demand.sent[i], i, first[i])
        away, way = away[way >= 0], way[way >= 0]
        moments = demand.sent[away] + way
        order = np.argsort(moments, kind="stable")
        return moments[order].tolist(), away[order].tolist()

    def _arrive(self, now: float, i: int, tier: int, sent: float) -> None:
        detour = i in self._failed
        work = (self._detour if detour else self._work)[tier][i]
        back = self._back[tier][i]
        until = sent + self._demand.timeout
        station = self._stations[tier][self._bound[tier][i]]
        if isinstance(station, BatchStation):
            self._asking[i] = now, sent, detour
            settled = station.enter(now, i, work, until - back)
            self._go_on(station, self._bound[tier][i], tier, settled)
            return
        outcome, start, over = station.arrive(now, work, until - back)
        self._over(i, tier, now, start, over, detour, outcome, until)

    def _go_on(
        self, station: BatchStation, place: int, tier: int, settled: Sequence[Settled]
    ) -> None:
        """What is settled at a station that batches, and when it has a turn next."""
        for one in settled:
            arrived, sent, detour = self._asking.pop(one.who)
            until = sent + self._demand.timeout
            self._over(one.who, tier, arrived, one.started, one.over, detour, one.outcome, until)
        if (wake := station.wake) < math.inf:
            self._pushed += 1
            heappush(self._heap, (wake, self._pushed, -1 - place, tier, 0.0))

    def _over(
        self,
        i: int,
        tier: int,
        arrived: float,
        start: float,
        over: float,
        detour: bool,
        outcome: int,
        until: float,
    ) -> None:
        """It is known what becomes of an asking, and so what the phone does next."""
        log: tuple[Any, ...] = i, tier, arrived, start, over, detour, outcome
        for column, value in zip(self._log, log, strict=True):
            column.append(value)
        back = self._back[tier][i]
        if outcome != SERVED:
            self._fail(until if outcome == TIMEOUT else min(over + back, until), i, tier)
            return
        home = over + back
        following = 0 if detour else self._next[tier][i]
        self._tier[i], self._done[i], self._before[i] = tier, home, tier
        if following:
            self._send(home, i, following)

    def _send(self, now: float, i: int, tier: int) -> None:
        way = self._there[tier][i]
        if way < 0:
            self._fail(now, i, tier)
            return
        self._pushed += 1  # so that of two at one moment the first to be sent is the first
        heappush(self._heap, (now + way, self._pushed, i, tier, now))

    def _fail(self, now: float, i: int, tier: int) -> None:
        """The tier failed, and the phone knows it now."""
        if self._before[i] >= 0:
            self._done[i], self._tier[i], self._is_cut[i] = now, self._before[i], 1
            return
        first = self._first[i]
        order = self._demand.orders[first]
        failed = self._failed[i] = self._failed.get(i, 0) + 1
        self._is_detour[i] = 1
        other = order[failed]
        if other:
            self._send(now, i, other)
        else:
            self._done[i], self._tier[i] = now + self._detour[0][i], 0

    def fate(self) -> Fate:
        """What became of all."""
        kinds = (np.int64, np.int64, np.float64, np.float64, np.float64, bool, np.int64)
        log = [np.array(column).astype(kind) for column, kind in zip(self._log, kinds, strict=True)]
        arrived = log[2]
        if (arrived[1:] < arrived[:-1]).any():  # those that batch settle later than they arrive
            order = np.argsort(arrived, kind="stable")
            log = [column[order] for column in log]
        return Fate(
            np.array(self._done),
            np.array(self._tier),
            np.frombuffer(bytes(self._is_detour), bool),
            np.frombuffer(bytes(self._is_cut), bool),
            Askings(*log),
        )


def _following(visits: BoolArray) -> list[IntArray]:
    """For each tier (N,) the next one behind it on the path; 0 where there is none."""
    size, tiers = visits.shape
    following = [np.zeros(size, np.int64)]
    for tier in range(tiers - 1, 0, -1):
        following.insert(0, np.where(visits[:, tier], tier, following[0]))
    return following
