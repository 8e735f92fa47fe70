"""A queue as a list of events, written from what a station promises and not from its recursion."""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence


def slow_queue(
    arrivals: Sequence[tuple[float, float, float]],
    servers: int,
    limit: float = math.inf,
    outages: Sequence[tuple[float, float]] = (),
) -> list[tuple[str, float]]:
    """What becomes of each asking, and when.

    Args:
        arrivals: moment, work and the moment of giving up of each, in order.
        servers, limit, outages: as a station takes them.
    """
    fate: dict[int, tuple[str, float]] = {}
    events: list[tuple[float, int, int, str, int]] = []
    for i, (now, _, _) in enumerate(arrivals):
        heapq.heappush(events, (now, 3, i, "arrive", i))
    for k, (down, up) in enumerate(outages):
        heapq.heappush(events, (down, 2, k, "down", k))
        heapq.heappush(events, (up, 0, k, "up", k))
    waiting: list[int] = []
    served: dict[int, float] = {}  # input → the end of its service
    broken = False
    while events:
        now, _, _, what, i = heapq.heappop(events)
        if what == "down":
            broken = True
            for j in [*waiting, *served]:
                until = arrivals[j][2]
                fate[j] = ("timeout", until) if until <= now else ("unreachable", now)
            waiting, served = [], {}
        elif what == "up":
            broken = False
        elif what == "end":
            if served.get(i) != now:
                continue  # it was lost
            del served[i]
            until = arrivals[i][2]
            fate[i] = ("served", now) if now <= until else ("timeout", until)
        elif broken:
            fate[i] = ("unreachable", now)
        elif len(served) < servers or len(waiting) < limit:
            waiting.append(i)
        else:
            fate[i] = ("overloaded", now)
        while waiting and len(served) < servers and not broken:
            j = waiting.pop(0)
            _, work, until = arrivals[j]
            if until <= now:
                fate[j] = ("timeout", until)
                continue
            served[j] = now + work
            heapq.heappush(events, (now + work, 1, j, "end", j))
    return [fate[i] for i in range(len(arrivals))]
