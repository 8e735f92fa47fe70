"""A station: servers behind one queue, first come, first served.

An asking that arrives at t finds the moment at which each of the c servers is free. It starts at

    S = max(t, min over the servers of F),    F of that server ← S + work

(Kiefer and Wolfowitz, On the theory of queues with many servers, Trans. AMS 78, 1955; for one
server Lindley's recursion). So all that becomes of an asking is known when it arrives, as long as
those before it are served first; no event is needed for a start or an end, and a million askings
take about a second in plain Python. Limits, outages, deadlines and a number of servers that
changes are part of the same recursion:

- **limit**: who finds so many waiting is refused at once.
- **outages**: in one, askings are refused; what waits or is served when one begins is lost then.
- **deadline**: who has given up before their turn is passed over and takes no work; who gives up
  while being served has been served in vain.
- **scaling**: every period the servers are counted anew, by how busy they were (:class:`Scaling`).
  Who waits already keeps the turn that the servers of before gave.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from heapq import heapify, heappop, heapreplace

from dimec.base.errors import ConfigError

SERVED, OVERLOADED, UNREACHABLE, TIMEOUT = range(4)
REASONS = ("served", "overloaded", "unreachable", "timeout")
_NEVER = (math.inf, math.inf)


@dataclass(frozen=True)
class Scaling:
    """A number of servers that follows the load.

    Every ``period`` seconds: wanted = ⌈servers · utilisation / target⌉, within the bounds, the
    utilisation that of the period that ends. More are ordered at once and serve after
    ``start_seconds``; fewer only where no period of the last ``calm`` wanted as many.

    Attributes:
        least, most: servers.
        target: utilisation, above 0.
        period: seconds.
        start_seconds: from an order to the first answer; paid already.
        calm: periods.

    Raises:
        ConfigError: numbers out of range.
    """

    least: int
    most: int
    target: float
    period: float
    start_seconds: float = 0.0
    calm: int = 5

    def __post_init__(self) -> None:
        if not (1 <= self.least <= self.most and 0 < self.target <= 1 and self.period > 0):
            raise ConfigError(
                "autoscaling needs 1 ≤ least ≤ most servers, a target utilisation above 0 and at "
                f"most 1, and a period above 0 seconds, got {self}"
            )


@dataclass
class Log:
    """When the number of servers was which: ``times[j]`` on there were ``servers[j]``."""

    times: list[float] = field(default_factory=list)
    servers: list[int] = field(default_factory=list)


class Servers:
    """When each of a station's servers is free, through outages and a number that changes.

    Args:
        servers: c, to begin with.
        limit: how many may wait; infinite by default.
        outages: pairs of begin and end in seconds, ascending, apart from each other.
        scaling: how c follows the load; it stays by default.
    """

    def __init__(
        self,
        servers: int,
        limit: float = math.inf,
        outages: Sequence[tuple[float, float]] = (),
        scaling: Scaling | None = None,
    ) -> None:
        if servers < 1 or limit < 0:
            raise ConfigError(
                f"a station needs at least 1 server and a queue of at least 0, got {servers} and "
                f"{limit}"
            )
        self._free = [0.0] * servers
        self._limit = limit
        self._outages = iter(outages)
        self._down, self._up = next(self._outages, _NEVER)
        self._scaling = scaling
        self._tick = scaling.period if scaling else math.inf
        self._work = self._backlog = 0.0  # offered since the last tick, left over at it
        self._wanted: deque[int] = deque(maxlen=scaling.calm if scaling else 1)
        self.log = Log([0.0], [servers])

    @property
    def servers(self) -> int:
        """How many there are, those that are starting included."""
        return len(self._free)

    def _inside_outage(self, now: float) -> bool:
        """Whether ``now`` lies in an outage; one that is over has left all servers empty."""
        while now >= self._up:
            self._free = [self._up] * len(self._free)
            self._emptied()
            self._backlog = self._work = 0.0
            self._down, self._up = next(self._outages, _NEVER)
        return now >= self._down

    def _emptied(self) -> None:
        """An outage has lost whatever was here."""

    def _count_anew(self) -> None:
        """The end of a period: as many servers as it takes."""
        scaling, now, free = self._scaling, self._tick, self._free
        assert scaling is not None
        self._tick += scaling.period
        left = sum(moment - now for moment in free if moment > now)
        done = max(0.0, self._work + self._backlog - left)
        self._work, self._backlog = 0.0, left
        wanted = math.ceil(done / (scaling.period * scaling.target) - 1e-9)
        self._wanted.append(min(max(wanted, scaling.least), scaling.most))
        count = len(free)
        wanted = self._wanted[-1] if self._wanted[-1] > count else max(self._wanted)
        if wanted > count:
            ready = now + scaling.start_seconds
            free += [ready] * (wanted - count)
            heapify(free)
            self._backlog += scaling.start_seconds * (wanted - count)
        if len(self._wanted) == scaling.calm:
            while len(free) > wanted and free[0] <= now:  # only one that is idle
                heappop(free)
        if len(free) != count:
            self.log.times.append(now)
            self.log.servers.append(len(free))


class Station(Servers):
    """Servers that take one asking at a time; these are given in the order of their arrival.

    Args:
        servers, limit, outages, scaling: see :class:`Servers`.

    Example:
        >>> station = Station(1)
        >>> station.arrive(0.0, 2.0), station.arrive(1.0, 2.0)
        ((0, 0.0, 2.0), (0, 2.0, 4.0))
    """

    def __init__(
        self,
        servers: int,
        limit: float = math.inf,
        outages: Sequence[tuple[float, float]] = (),
        scaling: Scaling | None = None,
    ) -> None:
        super().__init__(servers, limit, outages, scaling)
        self._starts: deque[float] = deque()  # of those that may wait still; ascending

    def arrive(self, now: float, work: float, until: float = math.inf) -> tuple[int, float, float]:
        """An asking arrives.

        Args:
            now: seconds; at least that of the asking before.
            work: seconds of a server.
            until: when whoever asks gives up, on this station's side of the link.

        Returns:
            What becomes of it (:data:`REASONS`), when its turn comes, and when this is over for
            whoever asked: it is served, refused, lost, or given up.
        """
        while now >= self._tick:
            self._count_anew()
        if now >= self._down and self._inside_outage(now):
            return UNREACHABLE, now, now
        free, starts = self._free, self._starts
        first = free[0]
        if first <= now:
            start = now
            starts.clear()
        else:
            while starts and starts[0] <= now:
                starts.popleft()
            if len(starts) >= self._limit:
                return OVERLOADED, now, now
            start = first
            starts.append(start)
        end = start
        if start < until:
            end = start + work
            heapreplace(free, end)
            self._work += work
            if end <= until and end <= self._down:
                return SERVED, start, end
        if until > self._down:
            return UNREACHABLE, start, self._down
        return TIMEOUT, start, max(now, until)

    def _emptied(self) -> None:
        self._starts.clear()
