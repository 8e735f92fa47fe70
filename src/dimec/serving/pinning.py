"""Keeping a worker on one core: the thread that listens, and those that run the graph.

Left to the system, the two threads of a worker wander: one that is woken goes to whatever core is
idle, and finds the weights and the code that it needs in the caches of the core that it left.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

PINS = hasattr(os, "sched_setaffinity")


@dataclass(frozen=True)
class Pin:
    """The core of a worker.

    Attributes:
        core: where its threads stay.
        cores: all that the process may use.
    """

    core: int
    cores: frozenset[int]

    def stay(self) -> None:
        """Keep this thread, and those that it starts from now on, on the core."""
        os.sched_setaffinity(0, {self.core})

    @contextmanager
    def free(self) -> Iterator[None]:
        """Let threads that this one starts go where they like, as those of a graph that takes all
        cores have to."""
        before = os.sched_getaffinity(0)
        os.sched_setaffinity(0, self.cores)
        try:
            yield
        finally:
            os.sched_setaffinity(0, before)


def pin_of(worker: int, workers: int, wanted: bool) -> Pin | None:
    """The core of one of several workers, where each is to have one of its own.

    Only where there are as many workers as cores that this process may use: fewer of them would all
    have the first cores, together with those of other servers on the machine, and be kept from the
    others.

    Args:
        worker: its number, from 0.
        workers: how many there are.
        wanted: whether they are to be kept on theirs.
    """
    if not (wanted and PINS and workers > 1):
        return None
    cores = sorted(os.sched_getaffinity(0))
    return Pin(cores[worker], frozenset(cores)) if len(cores) == workers else None
