"""Batches: whatever is queued when a thread is free runs together, and nothing waits for more.

The queue belongs to one event loop, so it needs no locks; only the graph runs in threads.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from math import ceil

import numpy as np

from dimec.base.arrays import IntArray
from dimec.serving.board import Board, Cell, Seat
from dimec.serving.checks import Rows
from dimec.serving.entries import (
    Entry,
    Overloaded,
    Piece,
    Probabilities,
    RunLimits,
    assemble,
    take_pieces,
)
from dimec.serving.threads import Threads

# (inputs, alone) → probabilities (B, C), in a thread
RunBatch = Callable[[dict[str, IntArray], bool], Probabilities]


class Batcher:
    """The queue in front of a graph, and the threads that run it.

    Everything but the graph itself happens in the event loop that :meth:`submit` is called in.

    Args:
        run: the graph; called in threads, several at a time.
        workers: how many runs may go on side by side.
        limits: of one run.
        queue: rows that may wait.
        padding: the token id that fills up a batch.
        observe: called with (rows, seconds) after every run.
        seat: of this process among those that share the bound of the queue; none do by default.
        begin: is called in each thread that runs the graph, before it does.
    """

    def __init__(
        self,
        run: RunBatch,
        *,
        workers: int,
        limits: RunLimits,
        queue: int,
        padding: int,
        observe: Callable[[int, float], None] = lambda rows, seconds: None,
        seat: Seat | None = None,
        begin: Callable[[], None] | None = None,
    ) -> None:
        self._run = run
        self._workers = workers
        self._limits = limits
        self._capacity = queue
        self._padding = padding
        self._observe = observe
        self._threads = Threads(workers, "graph", begin)
        self._queue: deque[Entry] = deque()
        self._admitted: set[Entry] = set()  # whose rows are still to come
        self._running = 0
        seat = seat or Board.alone().seat(0)
        self._rows, self._runs = seat.count(Cell.WAITING), seat.count(Cell.RUNNING)
        # Whether runs have overlapped since the last moment without any, and before that one.
        self._overlapped = self._busy = False
        self._scheduled = False
        self._seconds_per_row = 0.0
        self._closed = False

    @property
    def waiting(self) -> int:
        """Rows in the queue, and those that have a place in it."""
        coming = sum(entry.count for entry in self._admitted)
        return coming + sum(entry.waiting for entry in self._queue)

    @property
    def elsewhere_waiting(self) -> float:
        """Rows in the queues of the server's other processes."""
        return self._rows.others

    @property
    def elsewhere_running(self) -> float:
        """Runs of the server's other processes that go on now."""
        return self._runs.others

    @property
    def running(self) -> int:
        """Runs of the graph that go on now."""
        return self._running

    def submit(self, rows: Rows, timeout: float | None = None) -> Entry:
        """Queue a request's rows.

        Args:
            rows: sound inputs.
            timeout: seconds after which the answer is of no use.

        Returns:
            The entry; its ``answer`` raises :class:`DeadlinePassed`, :class:`Cancelled`,
            :class:`Overloaded` (the server stopped before), or what the graph raised.

        Raises:
            Overloaded: the queue has no room for all of the rows.
        """
        entry = self.admit(len(rows.lengths), timeout)
        self.enqueue(entry, rows)
        return entry

    def admit(self, count: int, timeout: float | None = None) -> Entry:
        """Give rows that are still to come a place in the queue.

        It is taken, whatever becomes of the entry, until :meth:`enqueue` or :meth:`drop`: what
        makes the rows costs memory until it has ended.

        Args:
            count: how many rows.
            timeout: as of :meth:`submit`, from now on.

        Returns:
            The entry, as of :meth:`submit`.

        Raises:
            Overloaded: the queue has no room for all of them.
        """
        if len(self._queue) > self._capacity:  # most of them no longer wait
            self._queue = deque(entry for entry in self._queue if entry.waiting)
        waiting = self.waiting
        if self._closed or not self._rows.fits(waiting + count, self._capacity):
            raise Overloaded(self._retry_after(waiting))
        loop = asyncio.get_running_loop()
        entry = Entry(count, loop.create_future(), time.monotonic())
        if not self._rows.alone:  # its rows no longer wait, however it ends
            entry.answer.add_done_callback(self._publish)
        if timeout is not None:
            entry.expire_in(min(timeout, 86400.0))
        self._admitted.add(entry)
        return entry

    def enqueue(self, entry: Entry, rows: Rows) -> None:
        """Put an entry that was admitted into its place, unless it was given up meanwhile."""
        self._admitted.discard(entry)
        if not entry.answer.done():
            entry.fill(rows, time.monotonic())
            self._queue.append(entry)
            self._schedule()

    def drop(self, entry: Entry, error: Exception) -> None:
        """Answer an entry that was admitted with an error: its rows do not come."""
        self._admitted.discard(entry)
        entry.fail(error)

    def close(self) -> None:
        """Refuse whatever waits or comes; runs that go on are waited for."""
        self._closed = True
        for entry in (*self._admitted, *self._queue):
            entry.fail(Overloaded(1))
        self._queue.clear()
        self._publish()
        self._threads.close()

    def _publish(self, _: object = None) -> None:
        """Say to the other processes how many rows wait here."""
        self._rows.put(self.waiting)

    def _schedule(self) -> None:
        # Not at once: requests that arrived together run together.
        if not self._scheduled and self._running < self._workers:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._start_runs)

    def _start_runs(self) -> None:
        self._scheduled = False
        loop = asyncio.get_running_loop()
        now = time.monotonic()
        for entry in self._queue:
            entry.expire(now)
        while self._running < self._workers:
            if not (pieces := take_pieces(self._queue, self._limits)):
                return
            rows = sum(len(piece.indices) for piece in pieces)
            for piece in pieces:
                entry = piece.entry
                entry.begun = now if entry.begun is None else entry.begun
                entry.batch_rows = max(entry.batch_rows, rows)
            company = bool(self._running or self._queue or self._runs.others)
            self._overlapped = company or (self._overlapped and bool(self._running))
            alone = not company and not self._busy
            self._running += 1
            self._runs.put(self._running)
            self._rows.put(self.waiting)
            self._threads.submit(partial(self._work, loop, pieces, alone, now))

    def _work(
        self, loop: asyncio.AbstractEventLoop, pieces: list[Piece], alone: bool, begun: float
    ) -> None:
        """Run some pieces; in a thread."""
        try:
            results: list[Probabilities | Exception] = self._compute(pieces, alone)
        except BaseException as error:  # a thread that dies in silence would leave clients waiting
            results = [RuntimeError(f"{type(error).__name__} in the graph's thread")] * len(pieces)
        loop.call_soon_threadsafe(self._finish, pieces, results, begun)

    def _compute(self, pieces: list[Piece], alone: bool) -> list[Probabilities | Exception]:
        try:
            answer = self._run(assemble(pieces, self._padding), alone)
        except Exception as error:
            if len(pieces) == 1:
                return [error]
            # One of them is to blame: the others have their answers.
            return [result for piece in pieces for result in self._compute([piece], False)]
        if len(pieces) == 1:
            return [answer]
        ends = np.cumsum([len(piece.indices) for piece in pieces])
        return list(np.split(answer, ends[:-1]))

    def _finish(
        self, pieces: list[Piece], results: list[Probabilities | Exception], begun: float
    ) -> None:
        self._running -= 1
        self._runs.put(self._running)
        if not self._running:
            self._busy = self._overlapped
        now = time.monotonic()
        for piece, result in zip(pieces, results, strict=True):
            piece.entry.expire(now)
            if isinstance(result, Exception):
                piece.entry.fail(result)
            else:
                piece.entry.put(piece.indices, result)
        rows = sum(len(piece.indices) for piece in pieces)
        seconds = now - begun
        self._seconds_per_row += 0.1 * (seconds / rows / self._workers - self._seconds_per_row)
        self._observe(rows, seconds)
        self._start_runs()

    def _retry_after(self, waiting: int) -> int:
        """Seconds after which what waits now has run, as far as one can tell."""
        return min(max(ceil(waiting * self._seconds_per_row), 1), 60)
