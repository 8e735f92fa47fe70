"""Numbers that the processes of one server share.

Each worker writes a row of its own and reads all of them, so nothing is locked. A server that is
one process has a board of one row, in its own memory.
"""

from __future__ import annotations

import mmap
import os
import tempfile
import threading
from enum import IntEnum, auto

# Where the processes of one server count: prometheus_client looks here when it is imported.
SHARED_FOLDER = "PROMETHEUS_MULTIPROC_DIR"

_CELLS = 32  # of a row, a cell being a float64: a row is a cache line or four, and no less
_NUMBER = 8  # bytes


class Cell(IntEnum):
    """What a worker's row says."""

    PID = 0
    READY = auto()  # 1 while connections may be given to it
    WAITING = auto()  # rows in its queue
    RUNNING = auto()  # runs of its graph
    CONNECTIONS = auto()  # that are open
    ADOPTED = auto()  # connections that it was ever given
    BEAT = auto()  # when its event loop was last seen to turn, by the monotonic clock
    # Since the start, for the protocol's own statistics; a worker that takes a dead one's place
    # goes on from these.
    ANSWERED = auto()
    FAILED = auto()
    ROWS = auto()
    RUNS = auto()
    ANSWERED_SECONDS = auto()
    FAILED_SECONDS = auto()
    QUEUE_SECONDS = auto()
    TOKENISED = auto()
    TOKENISE_SECONDS = auto()
    RUN_SECONDS = auto()
    LAST = auto()  # Unix time of the last run


_OF_THE_LIVING = (
    Cell.PID,
    Cell.READY,
    Cell.WAITING,
    Cell.RUNNING,
    Cell.CONNECTIONS,
    Cell.ADOPTED,
    Cell.BEAT,
)


class Fact(IntEnum):
    """What the supervisor says, in a row of its own."""

    PID = 0
    CHANGED = auto()  # 1 while the bundle on the disk is no longer the one served
    RESTARTS = auto()  # workers that took the place of one that had ended


class Board:
    """Rows of numbers, one a worker, and one of the supervisor.

    Args:
        numbers: (workers + 1) · 32 float64.
        workers: how many there are.
    """

    def __init__(self, numbers: memoryview[float], workers: int) -> None:
        self._numbers = numbers
        self.workers = workers

    @classmethod
    def alone(cls) -> Board:
        """Of a server that is one process."""
        return cls(_numbers(bytearray(_bytes(1))), 1)

    @classmethod
    def at(cls, descriptor: int, workers: int) -> Board:
        """The board in a file that :func:`board_file` made."""
        return cls(_numbers(mmap.mmap(descriptor, _bytes(workers))), workers)

    def seat(self, worker: int) -> Seat:
        """What the worker of that number writes."""
        return Seat(self, worker)

    def get(self, worker: int, cell: Cell) -> float:
        return self._numbers[worker * _CELLS + cell]

    def put(self, worker: int, cell: Cell, value: float) -> None:
        self._numbers[worker * _CELLS + cell] = value

    def whole(self, cell: Cell) -> float:
        """The sum over the workers."""
        return sum(self._numbers[cell : self.workers * _CELLS : _CELLS])

    def latest(self, cell: Cell) -> float:
        """The largest over the workers."""
        return max(self._numbers[cell : self.workers * _CELLS : _CELLS])

    def fact(self, fact: Fact) -> float:
        return self._numbers[self.workers * _CELLS + fact]

    def state(self, fact: Fact, value: float) -> None:
        self._numbers[self.workers * _CELLS + fact] = value

    def pids(self) -> list[int]:
        """Of the supervisor and the workers that there are; none of a server of one process."""
        found = [self.fact(Fact.PID), *(self.get(n, Cell.PID) for n in range(self.workers))]
        return [int(pid) for pid in found if pid]

    def clear(self, worker: int) -> None:
        """Forget what was true of a worker while it lived."""
        for cell in _OF_THE_LIVING:
            self.put(worker, cell, 0)


class Seat:
    """A worker's row.

    Attributes:
        board: all rows.
    """

    def __init__(self, board: Board, worker: int) -> None:
        self.board = board
        self._worker = worker

    def put(self, cell: Cell, value: float) -> None:
        self.board.put(self._worker, cell, value)

    def add(self, cell: Cell, value: float) -> None:
        self.board.put(self._worker, cell, self.board.get(self._worker, cell) + value)

    def count(self, cell: Cell) -> Count:
        """A number of this worker's that has a bound for all workers together."""
        return Count(self.board, self._worker, cell)


class Count:
    """A worker's part of a number that is bounded for the whole."""

    def __init__(self, board: Board, worker: int, cell: Cell) -> None:
        self._board, self._worker, self._cell = board, worker, cell
        self._between = threading.Lock()
        self.alone = board.workers == 1

    @classmethod
    def of_one(cls, cell: Cell) -> Count:
        """Of a server that is one process."""
        return Board.alone().seat(0).count(cell)

    @property
    def others(self) -> float:
        """What the other workers have."""
        return self._board.whole(self._cell) - self._board.get(self._worker, self._cell)

    def put(self, own: float) -> None:
        """Say what this worker has."""
        self._board.put(self._worker, self._cell, own)

    def fits(self, own: float, limit: float) -> bool:
        """Take ``own``, unless all workers together then have more than ``limit``.

        It is said before the others are looked at. So of two workers that ask at once both may be
        refused, and never are both let in where there is room for one only.
        """
        before = self._board.get(self._worker, self._cell)
        self.put(own)
        with self._between:  # an atomic operation: what was written is there before what is read
            if self._board.whole(self._cell) <= limit:
                return True
        self.put(before)
        return False


def board_file(workers: int) -> int:
    """The descriptor of a file, all zeros and without a name, for :meth:`Board.at`."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("dimec-board")
    else:
        with tempfile.TemporaryFile() as file:
            descriptor = os.dup(file.fileno())
    os.ftruncate(descriptor, _bytes(workers))
    return descriptor


def _numbers(memory: bytearray | mmap.mmap) -> memoryview[float]:
    return memoryview(memory).cast("d")


def _bytes(workers: int) -> int:
    return (workers + 1) * _CELLS * _NUMBER
