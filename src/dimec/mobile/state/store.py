"""The mobile's memory on disk: what its policy has learnt, and every answer that it gave.

One sqlite file with one writer, which holds the file itself. An answer and what the policy learnt
from it go into the same transaction, so that at every moment, a kill at any instruction included::

    what the policy knows = what was fitted, and what the recorded answers taught it

What was learnt is arrays that nobody here looks into. There are none before the first lesson.

The write-ahead log is synchronised at checkpoints only (``synchronous=NORMAL``): a killed process
loses nothing that was recorded; a power cut may take the last answers, and leaves a sound file.

On a disk that is full or read-only, a database in memory stands in, with what the file says where
it can be read, until the file can be written.

Texts are never stored.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from dimec.base.errors import ConfigError, DataError, StorageError
from dimec.contract.audit import Watched
from dimec.mobile.opening import BEGIN, Opened, StateFile
from dimec.mobile.prediction import Prediction
from dimec.mobile.state.audits import AuditedRow, Watch, forget
from dimec.mobile.state.hold import MEMORY, Hold, is_passing, place_of
from dimec.mobile.state.memory import Memory
from dimec.mobile.state.rows import INSERT, SELECT, Record, prediction_of, row_of
from dimec.mobile.state.totals import Sums, Totals
from dimec.policies.kinds import Arrays

__all__ = ["MEMORY", "State", "Totals", "default_path"]


_TRIES = 3  # to open a file that is replaced meanwhile
_PAUSE = 1e-3  # seconds between two blocks of a sum: who waits to record an answer goes first


def default_path(identity: str) -> Path:
    """``dimec/IDENTITY/state.sqlite`` in ``XDG_STATE_HOME``, else in ``~/.local/state``.

    Raises:
        ConfigError: there is no home folder.
    """
    base = Path(os.environ.get("XDG_STATE_HOME", ""))
    # The XDG specification has relative paths ignored.
    if not base.is_absolute():
        try:
            base = Path("~/.local/state").expanduser()
        except RuntimeError:
            raise ConfigError(
                "there is no home folder for the state; name a file for it, or "
                f"{MEMORY} to keep none"
            ) from None
    return base / "dimec" / identity[:16] / "state.sqlite"


class State:
    """The state file, open and held. Safe to call from several threads.

    If the file is deleted or replaced under it, the next write opens what is there then, or starts
    anew: the state is what the file says.

    Args:
        path: the file, made where there is none; ``":memory:"`` keeps all of it in memory.
        identity: of the bundle; a state goes with one.
        tiers: names of the K tiers.
        check: takes up what was learnt, and raises DataError where it is not the policy's; None
            where nobody goes on from it.
        watched: what an audit that begins is to watch; None where none does. One that the file
            has begun goes on with its own bounds.

    Raises:
        StateBusyError: another process holds it.
        MismatchError: it is of another bundle.
        CorruptArtefactError: it is no state, or damaged.
        StorageError: it cannot be written, and not because the disk is full or read-only.

    Attributes:
        tiers: names of the K tiers.
        opened: how often the file was opened; one more where it was deleted or replaced.
        watch: what the audit knows; None where there is none.
    """

    def __init__(
        self,
        path: Path | str,
        identity: str,
        tiers: Sequence[str],
        check: Callable[[Arrays], None] | None = None,
        watched: Watched | None = None,
    ) -> None:
        self.tiers = tuple(tiers)
        self.path = MEMORY if str(path) == MEMORY else Path(path).absolute()
        self.opened = 0
        self.watch: Watch | None = None
        self._watched = watched
        self._memory = Memory.of({})
        self._sums = Sums(tiers)
        self._file = StateFile(self.path, identity, check)
        self._mutex = threading.RLock()
        self._hold: Hold | None = None
        self._database: sqlite3.Connection | None = None
        self._closed = False
        try:
            self._connect()
        except StorageError as error:
            if not (isinstance(self.path, Path) and is_passing(error, self.path)):
                raise
            self._take(self._file.stand_in(self.path))

    @property
    def arrays(self) -> Arrays:
        """What was learnt, as it is in the file; empty before the first lesson."""
        return self._memory.arrays

    def find(self, id_: str) -> Prediction | None:
        """The recorded answer of an input, if there is one."""
        with self._mutex, self._file.errors():
            if self._database is None:
                return None  # its place went away, and the answers with it
            row = self._database.execute(SELECT, (id_,)).fetchone()
        try:
            return None if row is None else prediction_of(row)
        except (ValueError, TypeError) as error:
            raise self._file.damage(f"the answer {id_!r} was altered: {error}") from None

    def write(
        self,
        records: Sequence[Record],
        learn: Callable[[Arrays, Sequence[Record]], Arrays] | None = None,
    ) -> None:
        """Record answers, and what was learnt from them, all or none.

        An answer whose ``id`` is recorded already changes nothing.

        Args:
            records: in their order.
            learn: gives the arrays that follow from those before, none at first, and from the
                records of new answers with a lesson; None where no record has one.

        Raises:
            StorageError: there is no room; the file is as it was.
            CorruptArtefactError: the file was damaged.
        """
        with self._mutex, self._file.errors():
            self._reopen_if_moved()
            memory, watch = self._memory, self.watch
            with self._connection() as database:
                database.execute(BEGIN)
                new = [one for one in records if self._inserted(database, one)]
                lessons = [record for record in new if record.lesson is not None]
                rows = _audited(new)
                if lessons and learn is not None:
                    memory = Memory.of(learn(memory.arrays, lessons))
                    memory.write(database, before=self._memory)
                if watch is not None and rows:
                    watch = watch.entered(database, rows)
            self._memory, self.watch = memory, watch

    @staticmethod
    def _inserted(database: sqlite3.Connection, record: Record) -> bool:
        """Whether the answer is new."""
        new = database.execute(INSERT, row_of(record)).rowcount > 0
        if record.audited is not None and not new:
            record.audited.give_up()
        return new

    def label(self, id_: str, label: str) -> int:
        """Take in the true label of an audited text; returns its D, -1, 0 or 1.

        Raises:
            DataError: the text was not audited, or another label was given before.
            StorageError: there is no room; the file is as it was.
        """
        with self._mutex, self._file.errors():
            self._reopen_if_moved()
            watch = self.watch
            if watch is None:
                raise DataError(f"{self.path} has no audit, so no label is needed")
            with self._connection() as database:
                database.execute(BEGIN)
                watch, lost = watch.labelled(database, id_, label)
            self.watch = watch
        return lost

    def begin_audit(self) -> None:
        """Begin the audit anew, and go back from the safe policy.

        Raises:
            StorageError: there is no room; the file is as it was.
        """
        with self._mutex, self._file.errors():
            self._reopen_if_moved()
            with self._connection() as database:
                database.execute(BEGIN)
                forget(database)
                watched = self._watched
                if watched is None and self.watch is not None:
                    watched = self.watch.watched
                watch = None if watched is None else Watch.begin(database, watched)
            self.watch = watch

    def totals(self) -> Totals:
        """Sums over all recorded answers.

        Raises:
            CorruptArtefactError: an answer was altered.
        """
        while True:
            with self._mutex, self._file.errors():
                try:
                    totals = self._sums.read(self._connection())
                except (ValueError, TypeError, LookupError) as error:
                    raise self._file.damage(f"an answer was altered: {error}") from None
            if totals is not None:
                return totals
            time.sleep(_PAUSE)

    def job(self, target: str) -> str | None:
        """Name of the job that fills ``target``, if one was begun."""
        with self._mutex, self._file.errors():
            query = "SELECT id FROM jobs WHERE target = ?"
            row = self._connection().execute(query, (target,)).fetchone()
        return None if row is None else str(row[0])

    def begin_job(self, target: str) -> str:
        """Begin a job that fills ``target``, in place of an older one; returns its name."""
        name = secrets.token_hex(6)
        row = (target, name, time.time())
        with self._mutex, self._file.errors():
            try:
                self._reopen_if_moved()
            except StorageError:
                if self._database is None:
                    raise
            with self._connection() as database:
                database.execute(BEGIN)
                database.execute("INSERT OR REPLACE INTO jobs VALUES (?, ?, ?)", row)
        return name

    def close(self) -> None:
        """Let go of the file. Calling it again does nothing."""
        with self._mutex:
            self._closed = True
            self._release()

    def _take(self, opened: Opened) -> None:
        """Go on with what was opened; an audit that is to begin begins."""
        self._database, self._memory, self.watch = opened
        self._sums = Sums(self.tiers)
        if self.watch is None and self._watched is not None:
            with self._file.errors():
                self.watch = Watch.begin(self._database, self._watched)

    def _release(self) -> None:
        with self._mutex:
            database, self._database = self._database, None
            hold, self._hold = self._hold, None
            if database is not None:
                with contextlib.suppress(sqlite3.Error):
                    database.close()
            if hold is not None:
                hold.release()

    def _connection(self) -> sqlite3.Connection:
        if self._database is None:
            raise StorageError(f"the state {self.path} is closed, or its folder went away")
        return self._database

    def _connect(self) -> None:
        """Open the file in place of what is open; if that fails, nothing changes."""
        for _ in range(_TRIES):
            hold = Hold(self.path) if isinstance(self.path, Path) else None
            try:
                opened = self._file.open(hold)
            except BaseException:
                if hold is not None:
                    hold.release()
                raise
            self._release()
            self._hold = hold
            self._take(opened)
            if hold is None or place_of(self.path) == hold.place:
                self.opened += 1
                return
            self._release()
        raise StorageError(f"cannot hold {self.path}: it is replaced again and again")

    def _reopen_if_moved(self) -> None:
        """Open what is at the path now, if it is not what is open: a stand-in never is."""
        if self._closed or not isinstance(self.path, Path):
            return
        if self._hold is not None:
            if place_of(self.path) == self._hold.place:
                return
            # What is in the log belongs to the file that went, and must not get into another.
            with contextlib.suppress(sqlite3.Error):
                self._connection().execute("PRAGMA wal_checkpoint(TRUNCATE)")
            self._release()
        self._connect()


def _audited(records: Sequence[Record]) -> list[AuditedRow]:
    """The id, the label given and the audit of each audited answer."""
    some = [(one.prediction, one.audited) for one in records]
    return [(given.id, given.label, audited) for given, audited in some if audited is not None]
