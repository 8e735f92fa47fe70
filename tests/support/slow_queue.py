"""A queue as a list of events, written from what a station promises and not from its recursion."""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence

import numpy as np
from hypothesis import strategies as st

Asked = list[tuple[float, float, float]]


def slow_queue(
    arrivals: Sequence[tuple[float, float, float]],
    servers: int,
    limit: float = math.inf,
    outages: Sequence[tuple[float, float]] = (),
    batch: int = 1,
    row_share: float = 1.0,
) -> list[tuple[str, float]]:
    """What becomes of each asking, and when.

    Args:
        arrivals: moment, work and the moment of giving up of each, in order.
        servers, limit, outages, batch, row_share: as a station takes them.
    """
    fate: dict[int, tuple[str, float]] = {}
    events: list[tuple[float, int, int, str, int]] = []
    for i, (now, _, _) in enumerate(arrivals):
        heapq.heappush(events, (now, 3, i, "arrive", i))
    for k, (down, up) in enumerate(outages):
        heapq.heappush(events, (down, 2, k, "down", k))
        heapq.heappush(events, (up, 0, k, "up", k))
    waiting: list[int] = []
    served: dict[int, list[int]] = {}  # number of a run → all of it
    begun = 0
    broken = False
    while events:
        now, _, _, what, i = heapq.heappop(events)
        if what == "down":
            broken = True
            for j in [*waiting, *(j for run in served.values() for j in run)]:
                until = arrivals[j][2]
                fate[j] = ("timeout", until) if until <= now else ("unreachable", now)
            waiting, served = [], {}
        elif what == "up":
            broken = False
        elif what == "end":
            for j in served.pop(i, []):  # none where the run was lost
                until = arrivals[j][2]
                fate[j] = ("served", now) if now <= until else ("timeout", until)
        elif broken:
            fate[i] = ("unreachable", now)
        elif len(served) < servers or len(waiting) < limit:
            waiting.append(i)
        else:
            fate[i] = ("overloaded", now)
        while waiting and len(served) < servers and not broken:
            run: list[int] = []
            while waiting and len(run) < batch:
                j = waiting.pop(0)
                if arrivals[j][2] <= now:
                    fate[j] = ("timeout", arrivals[j][2])
                else:
                    run.append(j)
            if run:
                works = [arrivals[j][1] for j in run]
                end = now + max(works) + row_share * (sum(works) - max(works))
                begun += 1
                served[begun] = run
                heapq.heappush(events, (end, 1, begun, "end", begun))
    return [fate[i] for i in range(len(arrivals))]


QUARTERS = st.integers(1, 24).map(lambda n: n / 4)  # exact, so that the two may agree to the bit


@st.composite
def queues(
    draw: st.DrawFn,
) -> tuple[Asked, int, float, list[tuple[float, float]]]:
    gaps = draw(st.lists(QUARTERS, min_size=1, max_size=25))
    # Arrivals lie between the quarters at which all else happens: no two events at one moment.
    moments = np.cumsum(gaps) + 1 / 16 + np.arange(len(gaps)) / 1024
    patience = st.one_of(st.just(math.inf), QUARTERS)
    asked = [(float(at), draw(QUARTERS), float(at) + draw(patience)) for at in moments]
    edges = np.cumsum(draw(st.lists(QUARTERS, max_size=6))) + 1 / 8
    outages = list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=False))
    limit = draw(st.one_of(st.just(math.inf), st.integers(0, 4)))
    return asked, draw(st.integers(1, 3)), limit, outages
