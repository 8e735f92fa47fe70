"""All files of a job, answered or recorded, by whichever engine; and what came of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dimec.base import errors
from dimec.base.errors import DataError, DimecError
from dimec.base.progress import Progress
from dimec.scoring.events import Done, Event, Failed, Read, Stopped
from dimec.scoring.job import Job
from dimec.scoring.pieces import Task
from dimec.scoring.reading import CHUNK
from dimec.scoring.shards import Shard
from dimec.scoring.survey import survey

# Rows of a part of a trace: what is lost at most where a process is killed. Other than with files
# of answers there is one file, so that smaller parts keep all cores busy.
RECORDED = CHUNK

# Does tasks of the job in a folder, and asks of each before it begins whether it is still wanted.
Execute = Callable[[Path, Sequence[Task], Callable[[Task], bool]], Iterator[Event]]


@dataclass(frozen=True)
class Scored:
    """What came of a job.

    Attributes:
        summary: what is in ``score.json``: all files that are done, added up.
        files: answered now.
        reused: answered before, and left as they were.
        rows: answered now.
        seconds: wall time of that.
        failed: file → why it has no answers.
    """

    summary: dict[str, Any]
    files: int
    reused: int
    rows: int
    seconds: float
    failed: dict[str, str]


@dataclass
class _Files:
    """Where each file stands.

    Attributes:
        tasks: output → all its tasks.
        left: output → how many of them are not done.
        failed: output → why it has no answers.
    """

    tasks: dict[str, list[Task]] = field(default_factory=dict)
    left: dict[str, int] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)


def score(job: Job, shards: Sequence[Shard], execute: Execute, progress: Progress) -> Scored:
    """Answer all files that have no answers yet.

    A file with a row that cannot be answered has none, and the others go on.

    Args:
        job: held.
        shards: the files.
        execute: does the tasks.
        progress: where to report to.

    Raises:
        StorageError: the disk is full or refuses to write.
        DimecError: no worker can begin.
    """
    files, reused, todo = _Files(), 0, list[Task]()
    progress.start("looking the files through", len(shards))
    for shard in shards:
        try:
            reused += not _enlist(job, shard, files, todo, progress)
        except DataError as error:
            files.failed[shard.output] = str(error)
        progress.advance(1)
    progress.end()
    before = sum(len(tasks) for tasks in files.tasks.values()) - len(todo)
    if reused or before:
        progress.say(
            f"{job.out} has the answers to {reused:,} files and {before:,} parts of others; going "
            "on behind them"
        )
    start = time.monotonic()
    for output in [output for output, left in files.left.items() if not left]:
        job.finish(files.tasks[output])
    _answer(job, files, execute, todo, progress)
    rows = sum(task.piece.rows for task in todo if task.shard.output not in files.failed)
    told = {str(s.path): files.failed[s.output] for s in shards if s.output in files.failed}
    done = sum(output not in files.failed for output in files.tasks)
    return Scored(job.summary(shards), done, reused, rows, time.monotonic() - start, told)


def _enlist(job: Job, shard: Shard, files: _Files, todo: list[Task], progress: Progress) -> bool:
    """Put down what is to be done for a file; whether there is anything."""
    surveyed = survey(shard)
    if job.is_done(shard, surveyed.sha256):
        return False
    if job.was_done(shard):
        progress.say(f"{shard.path} or its answers have changed; answering it again")
    tasks = job.tasks(shard, surveyed)
    new = [task for task in tasks if not job.finished(task)]
    files.tasks[shard.output], files.left[shard.output] = tasks, len(new)
    todo += new
    return True


def record(job: Job, shard: Shard, execute: Execute, progress: Progress) -> list[Task]:
    """Record all parts of a file that are not recorded yet.

    Args:
        job: held, with a layout that records.
        shard: the file.
        execute: does the tasks.
        progress: where to report to.

    Returns:
        All parts in order, whose targets are there now.

    Raises:
        DataError: a row that the models cannot take; names it.
        StorageError: the disk is full or refuses to write.
        DimecError: no worker can begin.
    """
    tasks = job.tasks(shard, survey(shard, RECORDED))
    todo = [task for task in tasks if not job.finished(task)]
    if len(todo) < len(tasks):
        done = sum(task.piece.rows for task in tasks) - sum(task.piece.rows for task in todo)
        progress.say(f"{job.out} has what was said of {done:,} rows; going on behind them")
    with closing(_follow(job.out, execute, todo, lambda task: True, "record", progress)) as events:
        for event in events:
            if isinstance(event, Failed):
                raise _error(event.kind, event.message)
    return tasks


def _answer(
    job: Job, files: _Files, execute: Execute, todo: Sequence[Task], progress: Progress
) -> None:
    """Have the tasks done, and each file put together when its last part is."""

    def wanted(task: Task) -> bool:
        return task.shard.output not in files.failed

    with closing(_follow(job.out, execute, todo, wanted, "score", progress)) as events:
        for event in events:
            output = event.task.shard.output
            if isinstance(event, Done):
                files.left[output] -= 1
                if not files.left[output] and output not in files.failed:
                    job.finish(files.tasks[output])
            elif event.kind == "DataError":
                files.failed.setdefault(output, event.message)
                progress.say(f"left out: {event.message}")
            else:
                raise _error(event.kind, event.message)


def _follow(
    folder: Path,
    execute: Execute,
    todo: Sequence[Task],
    wanted: Callable[[Task], bool],
    stage: str,
    progress: Progress,
) -> Generator[Done | Failed, None, None]:
    """Have the tasks of a job's folder done; what becomes of each, while progress is told.

    Raises:
        DimecError: no worker can begin.
    """
    if not todo:
        return
    clock = _Clock(sum(task.piece.rows for task in todo))
    progress.start(stage, clock.total)
    events = execute(folder, todo, wanted)
    try:
        for event in events:
            if isinstance(event, Read):
                progress.advance(event.rows, clock.note(event.rows))
            elif isinstance(event, Stopped):
                raise _error(event.kind, event.message)
            else:
                yield event
    finally:
        close = getattr(events, "close", None)
        if close is not None:
            close()
        progress.end()


def _error(kind: str, message: str) -> DimecError:
    """The error of a worker, as it was raised there."""
    made = getattr(errors, kind, DimecError)
    return made(message) if issubclass(made, DimecError) else DimecError(message)


class _Clock:
    """Rows a second so far, and the time that is left."""

    def __init__(self, total: int) -> None:
        self.total, self._done, self._start = total, 0, time.monotonic()

    def note(self, rows: int) -> str:
        """``1,234 rows/s, 0:12:30 left``."""
        self._done += rows
        spent = time.monotonic() - self._start
        if self._done <= 0 or spent <= 0:
            return ""
        rate = self._done / spent
        left = int((self.total - self._done) / rate)
        clock = f"{left // 3600}:{left // 60 % 60:02}:{left % 60:02}"
        return f"{rate:,.0f} rows/s, {clock} left"
