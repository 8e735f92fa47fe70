"""The inputs of a stream between arrival and answer: who works on what, and what is to be recorded.

No threads, no sockets, no waiting: :mod:`dimec.mobile.stream` drives it from threads, and
:mod:`dimec.mobile.aio_stream` from tasks.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Sequence

from dimec.mobile.item import Item
from dimec.mobile.texts import MOST_BYTES

MOST_ROWS = 32  # of one request
# How much longer than the shortest an input of the same request may be: padding is computed too.
_STRETCH = 1.5
_SLACK = 8  # tokens


class Window:
    """Keeps the order of arrival; answers leave in it, whatever the order in which they come.

    Args:
        tiers: names of the tiers, in order; the first is this device.

    Example (not run, needs inputs that were decided on):
        >>> window = Window(names)  # doctest: +SKIP
        >>> window.add(first), window.add(second)  # doctest: +SKIP
        >>> tier, items = window.take(local=True)  # doctest: +SKIP
    """

    def __init__(self, tiers: Sequence[str]) -> None:
        self._device = tiers[0]
        self._order: deque[Item] = deque()
        self._queues: dict[str, deque[Item]] = {tier: deque() for tier in tiers}
        self.running: dict[str, int] = dict.fromkeys(tiers, 0)

    def __len__(self) -> int:
        """Inputs that have not left by :meth:`finished`."""
        return len(self._order)

    def add(self, item: Item) -> None:
        """Take in an input that was decided on, or that has an answer already."""
        self._order.append(item)
        if not item.finished:
            self._queues[item.tier].append(item)

    def take(self, local: bool) -> tuple[str, list[Item]] | None:
        """Something to do next: a tier, and the inputs to ask it for; None where there is nothing.

        Another tier's answer takes long and costs this machine little, so it is asked for first.

        Args:
            local: whether the mobile itself may be given something.
        """
        remote = [queue for tier, queue in self._queues.items() if tier != self._device and queue]
        if remote:
            # The one whose first input has waited longest.
            queue = min(remote, key=lambda queue: queue[0].started)
            items = _of_a_length(queue, MOST_ROWS)
        elif local and self._queues[self._device]:
            items = [self._queues[self._device].popleft()]
        else:
            return None
        tier = items[0].tier
        self.running[tier] += 1
        return tier, items

    def done(self, tier: str, items: Sequence[Item]) -> None:
        """What was taken for ``tier`` is finished, or goes on along each one's course."""
        self.running[tier] -= 1
        for item in items:
            if not item.finished:
                self._queues[item.tier].append(item)

    def finished(self) -> list[Item]:
        """Inputs at the head that are finished, in order; they leave the window."""
        head = list(itertools.takewhile(lambda item: item.finished, self._order))
        for _ in head:
            self._order.popleft()
        return head

    def clear(self) -> list[Item]:
        """Take out all that is left."""
        left = list(self._order)
        self._order.clear()
        for queue in self._queues.values():
            queue.clear()
        return left


def _of_a_length(queue: deque[Item], most: int) -> list[Item]:
    """Take the first input, and up to ``most`` - 1 others that are about as long, in order.

    Texts that are sent as they are, all together, are within what a server takes in one request.
    """
    length, left_bytes = _tokens(queue[0]), MOST_BYTES
    lowest, highest = length / _STRETCH - _SLACK, length * _STRETCH + _SLACK
    taken: list[Item] = []
    left: list[Item] = []
    while queue and len(taken) < most:
        item = queue.popleft()
        size = sum(map(len, item.utf8))
        fits = lowest <= _tokens(item) <= highest and size <= left_bytes
        (taken if fits else left).append(item)
        left_bytes -= size if fits else 0
    queue.extendleft(reversed(left))
    return taken


def _tokens(item: Item) -> int:
    return int(item.inputs["input_ids"].shape[1])
