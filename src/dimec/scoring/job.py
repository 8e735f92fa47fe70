"""The folder of a job: whose it is, what of it is done, and what came of it all.

::

    OUT/…                    the answers, a file for each file of texts
    OUT/score.json           what all of them add up to
    OUT/.score/job.json      the run, the policy and the settings; another one's are refused
    OUT/.score/scorer/       graphs and policy (:mod:`dimec.scoring.scorer`)
    OUT/.score/done/…        the hash and the tally of each file that is done
    OUT/.score/parts/…       the answers to parts of files that are not
    OUT/.score/lock
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self

from dimec.base.errors import ArtefactError, ConfigError, MismatchError, StorageError
from dimec.base.storage import read_json, storage_errors, write_json
from dimec.base.storage_folders import take_lock
from dimec.scoring.layout import Layout
from dimec.scoring.pieces import Task
from dimec.scoring.shards import Shard
from dimec.scoring.summary import added, empty_tally
from dimec.scoring.survey import Surveyed
from dimec.scoring.writing import put_together

INNER, SCORER_FOLDER, SUMMARY = ".score", "scorer", "score.json"
_JOB = "job.json"
ANSWERED_BY, RECORDED_BY = "dimec score", "dimec trace record"
Tally = Mapping[str, Any]


class Job:
    """A folder of answers, or of parts of a trace, that this process holds.

    Attributes:
        out: the folder.
        layout: what is read and written.
    """

    def __init__(self, out: Path, layout: Layout) -> None:
        self.out, self.layout = out.absolute(), layout
        self._inner = self.out / INNER
        self._made_by = RECORDED_BY if layout.records else ANSWERED_BY

    @classmethod
    @contextmanager
    def held(cls, out: Path, identity: Mapping[str, Any], layout: Layout) -> Iterator[Self]:
        """Take hold of a folder for a job, new or begun before.

        Args:
            out: the folder.
            identity: JSON values by name, of whose answers they are: run, policy, versions.
            layout: what is read and written.

        Raises:
            MismatchError: it holds answers of another run, policy or settings; says which.
            ConfigError: it holds something else.
            RunBusyError: another process works in it.
            StorageError: it cannot be written.
        """
        job = cls(out, layout)
        begun = (job._inner / _JOB).exists()
        known = job._inner.exists() or not out.exists()
        if not known and (not out.is_dir() or any(out.iterdir())):
            raise ConfigError(
                f"{out} holds something else than the work of {job._made_by}; name a new folder"
            )
        with storage_errors(out):
            job._inner.mkdir(parents=True, exist_ok=True)
        lock = take_lock(
            job._inner / "lock",
            f"{out} is being written by another {job._made_by}; wait for it to end, or name "
            "another folder",
        )
        try:
            wanted = {**identity, "layout": _as_json(layout)}
            if begun:
                job._check(wanted)
            else:
                write_json(job._inner / _JOB, wanted)
            for left in job.out.rglob(".*.tmp"):  # half a file of a process that was killed
                if left.is_file():
                    left.unlink(missing_ok=True)
            yield job
        finally:
            lock.release()

    def _check(self, wanted: Mapping[str, Any]) -> None:
        found = read_json(self._inner / _JOB, self._made_by)
        known = found if isinstance(found, dict) else {}
        for name, value in json.loads(json.dumps(wanted)).items():
            if known.get(name) != value:
                raise MismatchError(
                    f"{self.out} holds the work of another {name} ({_told(known.get(name))}, now "
                    f"{_told(value)}); name another folder, or remove that one to begin anew"
                )

    @property
    def scorer_path(self) -> Path:
        """Where graphs and policy are."""
        return self._inner / SCORER_FOLDER

    def is_done(self, shard: Shard, sha256: str) -> bool:
        """Whether the answers to a file, as it is now, are there."""
        target = self.out / shard.output
        tally = _tally(self._done_path(shard))
        return (
            tally.get("sha256") == sha256
            and target.is_file()
            and target.stat().st_size == tally.get("bytes")
        )

    def was_done(self, shard: Shard) -> bool:
        """Whether a file of that name was answered, whatever it held."""
        return self._done_path(shard).exists()

    def tasks(self, shard: Shard, surveyed: Surveyed) -> list[Task]:
        """All parts of a file."""
        folder = self._inner / "parts" / shard.output
        ending = self.layout.written_as(shard.kind)
        return [
            Task(shard, piece, surveyed.sha256, folder / f"{piece.number:06}.{ending}")
            for piece in surveyed.pieces
        ]

    def finished(self, task: Task) -> bool:
        """Whether a part was answered before."""
        tally = _tally(task.record)
        return (
            tally.get("sha256") == task.sha256
            and task.target.is_file()
            and task.target.stat().st_size == tally.get("bytes")
        )

    def finish(self, tasks: Sequence[Task]) -> None:
        """Put the parts of a file together, all of which are answered.

        Raises:
            StorageError: the disk is full or refuses to write, or a part is not to be seen here.
        """
        shard = tasks[0].shard
        if missing := [task for task in tasks if not self.finished(task)]:
            raise StorageError(
                f"{missing[0].target} was written by a worker and is not to be seen here; all "
                "machines need the same folders under the same paths"
            )
        target = self.out / shard.output
        put_together([task.target for task in tasks], target, self.layout.written_as(shard.kind))
        tally = empty_tally()
        for task in tasks:
            tally = added(tally, _tally(task.record))
        own = {"sha256": tasks[0].sha256, "bytes": target.stat().st_size}
        write_json(self._done_path(shard), {**tally, **own})
        shutil.rmtree(tasks[0].target.parent, ignore_errors=True)

    def summary(self, shards: Sequence[Shard]) -> dict[str, Any]:
        """What all files that are done add up to, written to ``score.json``."""
        total, files = empty_tally(), {}
        for shard in shards:
            if tally := _tally(self._done_path(shard)):
                total = added(total, tally)
                files[shard.output] = {"rows": tally["rows"], "sha256": tally["sha256"]}
        record = {**total, "files": files}
        write_json(self.out / SUMMARY, record)
        return record

    def _done_path(self, shard: Shard) -> Path:
        return self._inner / "done" / f"{shard.output}.json"


def read_layout(folder: Path) -> Layout:
    """The layout of a job, for a worker.

    Raises:
        ArtefactError: there is no job.
    """
    told = read_json(folder / INNER / _JOB, ANSWERED_BY)["layout"]
    return Layout(**{**told, "keep": tuple(told["keep"])})


def _as_json(layout: Layout) -> dict[str, Any]:
    return {**asdict(layout), "keep": list(layout.keep)}


def _tally(path: Path) -> Tally:
    """A tally that was written; empty where there is none."""
    try:
        found = read_json(path, ANSWERED_BY)
    except ArtefactError:
        return {}
    return found if isinstance(found, dict) else {}


def _told(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
