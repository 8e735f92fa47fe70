"""A station that batches: a server that is free takes all that wait, up to so many, in one run.

That is the rule of dimec's own servers (:mod:`dimec.serving.batching`): nothing waits for a batch
to fill. A run of askings whose work alone were w_1 … w_k takes

    (1 - r) · max w  +  r · Σ w,    r the share of its work that a further row adds,

which is w for one; r = 1 is one after the other, and r = 0 as long as the longest alone.

What becomes of an asking is known when its run begins, which later arrivals may join; so here time
has to be told to go on (:meth:`BatchStation.advance`), up to each :attr:`BatchStation.wake`.
Limits, outages, deadlines and scaling are those of :mod:`dimec.fleet.stations`.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from heapq import heappop, heappush, heapreplace
from typing import NamedTuple

from dimec.base.errors import ConfigError
from dimec.fleet.stations import (
    OVERLOADED,
    SERVED,
    TIMEOUT,
    UNREACHABLE,
    Scaling,
    Servers,
)


class Settled(NamedTuple):
    """What became of an asking: whose, a code of ``REASONS``, and seconds as of a station."""

    who: int
    outcome: int
    started: float
    over: float


class _Waiting(NamedTuple):
    number: int  # in the order of arrival
    who: int
    arrived: float
    work: float
    until: float


class BatchStation(Servers):
    """Servers that take what waits in runs of several.

    Args:
        servers, limit, outages, scaling: see :class:`dimec.fleet.stations.Servers`.
        batch: most askings of a run.
        row_share: r, see the module.

    Raises:
        ConfigError: a batch below 1, or a share out of range.

    Example:
        >>> station = BatchStation(1, batch=8, row_share=0.5)
        >>> station.enter(0.0, 7, 2.0)
        [Settled(who=7, outcome=0, started=0.0, over=2.0)]
        >>> station.enter(1.0, 8, 2.0), station.enter(1.5, 9, 2.0), station.wake
        ([], [], 2.0)
        >>> [one.over for one in station.advance(2.0)]
        [5.0, 5.0]
    """

    def __init__(
        self,
        servers: int,
        limit: float = math.inf,
        outages: Sequence[tuple[float, float]] = (),
        scaling: Scaling | None = None,
        *,
        batch: int,
        row_share: float = 1.0,
    ) -> None:
        super().__init__(servers, limit, outages, scaling)
        if batch < 1 or not 0 <= row_share <= 1:
            raise ConfigError(
                f"a batch needs at least 1 asking and a row's share from 0 to 1, got {batch} and "
                f"{row_share}"
            )
        self._batch, self._row_share = batch, row_share
        self._waiting: deque[_Waiting] = deque()
        self._deadlines: list[tuple[float, _Waiting]] = []
        self._entered = 0
        self.busy = 0.0  # seconds of servers, of all runs that began

    @property
    def wake(self) -> float:
        """When something happens here next; infinite where nobody waits."""
        if not self._waiting:
            return math.inf
        self._forget_deadlines()
        deadline = self._deadlines[0][0] if self._deadlines else math.inf
        return min(self._turn, deadline, self._down, self._tick)

    @property
    def _turn(self) -> float:
        return max(self._free[0], self._waiting[0].arrived)

    def enter(self, now: float, who: int, work: float, until: float = math.inf) -> list[Settled]:
        """An asking arrives.

        Args:
            now: seconds; at least any moment told before.
            who: tells it from others that wait.
            work: seconds of a server, were it alone in its run.
            until: when whoever asks gives up.

        Returns:
            All that is settled by now, this one or others.
        """
        settled = self.advance(now)
        while now >= self._tick:
            self._count_anew()
        if now >= self._down and self._inside_outage(now):
            return [*settled, Settled(who, UNREACHABLE, now, now)]
        if self._free[0] > now and len(self._waiting) >= self._limit:
            return [*settled, Settled(who, OVERLOADED, now, now)]
        self._entered += 1
        one = _Waiting(self._entered, who, now, work, until)
        self._waiting.append(one)
        if until < math.inf:
            heappush(self._deadlines, (until, one))
        return settled + self.advance(now)

    def advance(self, now: float) -> list[Settled]:
        """All that is settled until a moment, in the order in which it was."""
        settled: list[Settled] = []
        while self._waiting and (moment := self.wake) <= now:
            if self._deadlines and moment == self._deadlines[0][0]:
                one = heappop(self._deadlines)[1]
                over = max(one.arrived, one.until)
                settled.append(Settled(one.who, TIMEOUT, over, over))
                if one is self._waiting[0]:  # whom nobody hears of any more makes no turn
                    self._pass_over(moment)
            elif moment == self._turn:
                settled += self._run(moment)
            elif moment == self._down:
                settled += [
                    Settled(one.who, UNREACHABLE, moment, moment)
                    for one in self._waiting
                    if one.until > moment
                ]
                self._inside_outage(moment)
                self._emptied()
            else:
                self._count_anew()
        return settled

    def _pass_over(self, now: float) -> None:
        """Where a server is free, those in front who gave up leave the queue."""
        if self._free[0] <= now:
            while self._waiting and self._waiting[0].until <= now:
                self._waiting.popleft()

    def _run(self, now: float) -> list[Settled]:
        """A server is free: it takes the first of those who have not given up."""
        taken: list[_Waiting] = []
        while self._waiting and len(taken) < self._batch:
            one = self._waiting.popleft()
            if one.until > now:
                taken.append(one)
        if not taken:
            return []
        works = [one.work for one in taken]
        seconds = (1 - self._row_share) * max(works) + self._row_share * sum(works)
        end = now + (works[0] if len(works) == 1 else seconds)
        heapreplace(self._free, end)
        self._work += end - now
        self.busy += min(end, self._down) - now
        return [self._settled(one, now, end) for one in taken]

    def _settled(self, one: _Waiting, start: float, end: float) -> Settled:
        if end <= one.until and end <= self._down:
            return Settled(one.who, SERVED, start, end)
        if one.until > self._down:
            return Settled(one.who, UNREACHABLE, start, self._down)
        return Settled(one.who, TIMEOUT, start, one.until)

    def _forget_deadlines(self) -> None:
        """Those at the top whose turn has come, or who were lost."""
        first = self._waiting[0]
        while self._deadlines and self._deadlines[0][1].number < first.number:
            heappop(self._deadlines)

    def _emptied(self) -> None:
        self._waiting.clear()
        self._deadlines.clear()
