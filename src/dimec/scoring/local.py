"""Worker processes on this machine: one a core, each with the models in its memory.

Every process is watched by a thread, which hands it tasks and listens. A process that dies is
replaced, and its task done again from its beginning; a task at which several died is given up.
"""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dimec.scoring.events import Done, Event, Failed, Read, Stopped
from dimec.scoring.pieces import Task

_TRIES = 3  # processes that may die at a task, or one after the other before any


@dataclass
class _Work:
    """Tasks that wait, shared by the threads.

    Attributes:
        waiting: tasks, each with how many processes died at it.
        running: how many are under way, any of which may come back.
    """

    waiting: deque[tuple[Task, int]]
    wanted: Callable[[Task], bool]
    running: int = 0
    ended: bool = False
    changed: threading.Condition = field(default_factory=threading.Condition)

    def take(self) -> tuple[Task, int] | None:
        """The next task, once there is one; None where there will be none."""
        with self.changed:
            while not self.ended:
                while self.waiting:
                    task, died = self.waiting.popleft()
                    if self.wanted(task):
                        self.running += 1
                        return task, died
                if not self.running:
                    break
                self.changed.wait()
            return None

    def done(self, again: tuple[Task, int] | None = None) -> None:
        """A task is no longer under way; it is to be done again, or not."""
        with self.changed:
            self.running -= 1
            if again is not None:
                self.waiting.appendleft(again)
            self.changed.notify_all()

    def end(self) -> None:
        """Nobody is to take another task."""
        with self.changed:
            self.ended = True
            self.changed.notify_all()


def run_local(
    folder: Path, tasks: Sequence[Task], wanted: Callable[[Task], bool], *, workers: int
) -> Iterator[Event]:
    """Do tasks in processes of this machine; what happens, as it happens.

    When the iterator is closed, all processes are ended.

    Args:
        folder: of the job.
        tasks: in the order in which they are begun.
        wanted: asked of each task before it is begun.
        workers: processes.
    """
    events: queue.Queue[Event | None] = queue.Queue()
    work = _Work(deque((task, 0) for task in tasks), wanted)
    watchers = [_Watcher(folder, work, events) for _ in range(min(workers, len(tasks)))]
    for watcher in watchers:
        watcher.start()
    left = len(watchers)
    try:
        while left:
            event = events.get()
            if event is None:
                left -= 1
            else:
                yield event
    finally:
        work.end()
        for watcher in watchers:
            watcher.stop()
        for watcher in watchers:
            watcher.join()


class _Watcher(threading.Thread):
    """A thread and its process."""

    def __init__(self, folder: Path, work: _Work, events: queue.Queue[Event | None]) -> None:
        super().__init__(daemon=True)
        self._folder, self._work, self._events = folder, work, events
        self._process: subprocess.Popen[str] | None = None
        self._stopped = False
        self._guard = threading.Lock()  # between the start of a process and its end from outside

    def run(self) -> None:
        """Take tasks until there are none."""
        vain = 0
        try:
            while (taken := self._work.take()) is not None:
                task, died = taken
                if self._process is None and not self._begin():
                    vain += 1
                    if vain >= _TRIES:
                        self._events.put(Stopped(*self._last_words()))
                        self._work.end()
                    self._work.done((task, died))
                    continue
                vain = 0
                self._do(task, died)
        finally:
            self.stop()
            self._events.put(None)

    def stop(self) -> None:
        """End the process, whatever it does; from any thread."""
        with self._guard:
            self._stopped = True
            if self._process is not None:
                self._process.kill()
                self._process.wait()
                for stream in (self._process.stdin, self._process.stdout):
                    if stream is not None and threading.current_thread() is self:
                        with suppress(OSError):
                            stream.close()

    def _begin(self) -> bool:
        """Start a process; whether it is ready."""
        self._said: dict[str, Any] = {}
        with self._guard:
            if self._stopped:
                return False
            # A group of its own: Ctrl-C in a terminal reaches the one process that ends the others.
            self._process = subprocess.Popen(
                [sys.executable, "-m", "dimec.scoring.worker", str(self._folder)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                encoding="utf-8",
                env=_environment(),
                start_new_session=True,
            )
        self._said = self._hear() or {}
        if self._said.get("ready"):
            return True
        self._leave()
        return False

    def _do(self, task: Task, died: int) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        read = 0
        with suppress(OSError):  # it is dead: no word comes
            self._process.stdin.write(json.dumps(task.to_json()) + "\n")
            self._process.stdin.flush()
        while (said := self._hear()) is not None:
            if "read" in said:
                read += said["read"]
                self._events.put(Read(said["read"]))
                continue
            if "done" in said:
                self._events.put(Done(task, said["done"]))
            else:
                self._events.put(Failed(task, said["failed"], said["kind"]))
            self._work.done()
            return
        self._leave()
        self._events.put(Read(-read))
        if died + 1 < _TRIES:
            self._work.done((task, died + 1))
            return
        self._events.put(
            Failed(
                task,
                f"{task.shard.path}: {_TRIES} processes died at the rows behind "
                f"{task.piece.start:,}, perhaps for want of memory; try fewer workers",
                "DataError",
            )
        )
        self._work.done()

    def _hear(self) -> dict[str, Any] | None:
        """The next word of the process; None where it is dead, whole words only."""
        assert self._process is not None
        assert self._process.stdout is not None
        try:
            said = json.loads(self._process.stdout.readline())
        except (ValueError, OSError):
            return None
        return said if isinstance(said, dict) else None

    def _leave(self) -> None:
        with self._guard:
            process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            for stream in (process.stdin, process.stdout):
                if stream is not None:
                    with suppress(OSError):
                        stream.close()

    def _last_words(self) -> tuple[str, str]:
        if "failed" in self._said:
            return self._said["failed"], self._said["kind"]
        return (
            f"{_TRIES} worker processes ended before they were ready; what they said stands "
            "above, or the system killed them for want of memory: try fewer workers",
            "ScoringFailedError",
        )


def _environment() -> dict[str, str]:
    """Ours; a process is for one core, and is not to make threads for others."""
    one = {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    return {**os.environ, **one}
