"""A few threads that take calls from one queue.

The pool of the standard library makes a future of each call, with a lock and a condition. Nobody
here waits for one: a call says itself, to the event loop, what came of it.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable

Call = Callable[[], None]


class Threads:
    """Threads that run calls, each as soon as one of them is free.

    Args:
        count: how many.
        name: of them, for whoever looks at the process.
        begin: is called in each of them before all else.
    """

    def __init__(self, count: int, name: str, begin: Callable[[], None] | None = None) -> None:
        self._calls: queue.SimpleQueue[Call | None] = queue.SimpleQueue()
        self.submit: Callable[[Call], None] = self._calls.put
        self._begin = begin
        self._threads = [
            threading.Thread(target=self._work, name=f"{name}_{number}", daemon=True)
            for number in range(count)
        ]
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """Take no more calls, and wait for those that were taken."""
        for _ in self._threads:
            self._calls.put(None)
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        if self._begin is not None:
            self._begin()
        while (call := self._calls.get()) is not None:
            call()
            del call  # while it waits for the next one it keeps nothing of this one
