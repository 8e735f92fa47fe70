"""The mobile's memory on disk: what its router has learnt, and every answer that it gave.

One sqlite file with one writer, held by a lock beside it. An answer and what the router learnt from
it go into the same transaction, so that at every moment, a kill at any instruction included::

    a pool's sum and count = those of the fitted router + those of its recorded answers

The write-ahead log is synchronised at checkpoints only (``synchronous=NORMAL``): a killed process
loses nothing that was recorded; a power cut may take the last answers, and leaves a sound file.

Texts are never stored.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from dimec.costs import TIER_NAMES
from dimec.errors import (
    ConfigError,
    CorruptArtefactError,
    MismatchError,
    StateBusyError,
    StorageError,
)
from dimec.mobile.prediction import Prediction
from dimec.mobile.rows import (
    INSERT,
    SCHEMA,
    SELECT,
    Record,
    check_sum,
    new_pool,
    prediction_of,
    row_of,
    write_pool,
)
from dimec.storage import storage_errors

if TYPE_CHECKING:
    from filelock import BaseFileLock

MEMORY = ":memory:"
_FORMAT = "1"
_KIND = "dimec mobile state"

# Of sqlite's primary result codes, those that speak of the disk and not of the content.
_REFUSED = {
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
}

Sums = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]


class Totals(NamedTuple):
    """Sums over all recorded answers."""

    answers: int
    routes: dict[str, int]
    served: dict[str, int]
    fallbacks: dict[str, int]
    cost: float
    milliseconds: float


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
        sums: (3, D) float64 of the fitted router.
        counts: (3,) int64 of the fitted router.

    Raises:
        StateBusyError: another process holds it.
        MismatchError: it is of another bundle.
        CorruptArtefactError: it is no state, or damaged.
        StorageError: it cannot be written.

    Attributes:
        sums: (3, D) float64 of the pools in the file.
        counts: (3,) int64 of the pools in the file.
        opened: how often the file was opened; one more where it was deleted or replaced.
    """

    def __init__(self, path: Path | str, identity: str, sums: Sums, counts: Counts) -> None:
        self.path = MEMORY if str(path) == MEMORY else Path(path).absolute()
        self.sums, self.counts = sums.copy(), counts.copy()
        self.opened = 0
        self._identity = identity
        self._fitted = sums.copy(), counts.copy()
        self._mutex = threading.RLock()
        self._lock: BaseFileLock | None = None
        self._database: sqlite3.Connection | None = None
        self._place: tuple[int, int] | None = None
        self._closed = False
        self._connect()

    def find(self, id_: str) -> Prediction | None:
        """The recorded answer of an input, if there is one."""
        with self._mutex, self._errors():
            if self._database is None:
                return None  # its place went away, and the answers with it
            row = self._database.execute(SELECT, (id_,)).fetchone()
        try:
            return None if row is None else prediction_of(row)
        except (ValueError, TypeError) as error:
            raise self._damage(f"the answer {id_!r} was altered: {error}") from None

    def write(self, records: Sequence[Record]) -> None:
        """Record answers, and what was learnt from them, all or none.

        An answer whose ``id`` is recorded already changes nothing.

        Raises:
            StorageError: there is no room; the file is as it was.
            CorruptArtefactError: the file was damaged.
        """
        with self._mutex, self._errors():
            self._reopen_if_moved()
            sums, counts = self.sums.copy(), self.counts.copy()
            with self._transaction() as database:
                touched = set()
                for prediction, embedding in records:
                    row = row_of(prediction, embedding is not None)
                    if database.execute(INSERT, row).rowcount and embedding is not None:
                        tier = TIER_NAMES.index(prediction.route)
                        sums[tier] += embedding
                        counts[tier] += 1
                        touched.add(tier)
                for tier in touched:
                    write_pool(database, tier, sums[tier], int(counts[tier]))
            self.sums, self.counts = sums, counts

    def totals(self) -> Totals:
        """Sums over all recorded answers."""
        with self._mutex, self._errors():
            database = self._connection()
            answers, cost, milliseconds = database.execute(
                "SELECT COUNT(*), TOTAL(cost), TOTAL(milliseconds) FROM answers"
            ).fetchone()
            groups = {
                column: dict(
                    database.execute(f"SELECT {column}, COUNT(*) FROM answers GROUP BY {column}")
                )
                for column in ("route", "served_by", "fallback_reason")
            }
        groups["fallback_reason"].pop(None, None)
        return Totals(
            answers,
            {tier: groups["route"].get(tier, 0) for tier in TIER_NAMES},
            {tier: groups["served_by"].get(tier, 0) for tier in TIER_NAMES},
            groups["fallback_reason"],
            cost,
            milliseconds,
        )

    def job(self, target: str) -> str | None:
        """Name of the job that fills ``target``, if one was begun."""
        with self._mutex, self._errors():
            query = "SELECT id FROM jobs WHERE target = ?"
            row = self._connection().execute(query, (target,)).fetchone()
        return None if row is None else str(row[0])

    def begin_job(self, target: str) -> str:
        """Begin a job that fills ``target``, in place of an older one; returns its name."""
        name = secrets.token_hex(6)
        with self._mutex, self._errors():
            self._reopen_if_moved()
            with self._transaction() as database:
                database.execute(
                    "INSERT OR REPLACE INTO jobs VALUES (?, ?, ?)", (target, name, time.time())
                )
        return name

    def close(self) -> None:
        """Let go of the file. Calling it again does nothing."""
        with self._mutex:
            self._closed = True
            self._release()

    def _release(self) -> None:
        with self._mutex:
            database, self._database = self._database, None
            lock, self._lock = self._lock, None
            if database is not None:
                with contextlib.suppress(sqlite3.Error):
                    database.close()
            if lock is not None:
                lock.release()

    def _connection(self) -> sqlite3.Connection:
        if self._database is None:
            raise StorageError(f"the state {self.path} is closed, or its folder went away")
        return self._database

    def _connect(self) -> None:
        try:
            if isinstance(self.path, Path):
                self._take_place(self.path)
            with self._errors():
                self._database = sqlite3.connect(
                    self.path, timeout=1.0, isolation_level=None, check_same_thread=False
                )
                self._database.execute("PRAGMA journal_mode=WAL")
                self._database.execute("PRAGMA synchronous=NORMAL")
                self._load()
        except BaseException:
            self._release()
            raise
        self._place = self._where()
        self.opened += 1

    def _take_place(self, path: Path) -> None:
        from filelock import FileLock, Timeout

        # Not bound to a thread: whoever opens the file is not always the one who closes it.
        lock = FileLock(path.with_name(path.name + ".lock"), thread_local=False)
        with storage_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                lock.acquire(timeout=0)
            except Timeout:
                raise StateBusyError(
                    f"{path} is in use by another dimec process; a state has one writer: wait for "
                    f"the other to end, or name another state file ({MEMORY} keeps none)"
                ) from None
        self._lock = lock

    def _load(self) -> None:
        """Read the pools, or write those of the fitted router into a new file."""
        with self._transaction() as database:
            tables = {row[0] for row in database.execute("SELECT name FROM sqlite_master")}
            if not tables:
                self._initialise(database)
            elif not tables >= {"meta", "pools", "answers", "jobs"}:
                raise self._damage("it is a database of another program")
            try:
                self._check_meta(dict(database.execute("SELECT key, value FROM meta")))
                pools = {row[0]: row[1:] for row in database.execute("SELECT * FROM pools")}
                self.sums, self.counts = self._pools(pools)
            except (LookupError, ValueError, TypeError) as error:
                raise self._damage(str(error)) from None

    def _check_meta(self, meta: Mapping[str, str]) -> None:
        if meta.get("kind") != _KIND or meta.get("format") != _FORMAT:
            raise self._damage(f"its format is {meta.get('format', 'unknown')!r}")
        if meta.get("identity") != self._identity:
            raise MismatchError(
                f"{self.path} is the state of another bundle (another model or router); "
                "name another state file for this one"
            )

    def _initialise(self, database: sqlite3.Connection) -> None:
        for statement in SCHEMA:
            database.execute(statement)
        meta = {"kind": _KIND, "format": _FORMAT, "identity": self._identity}
        database.executemany("INSERT INTO meta VALUES (?, ?)", meta.items())
        for tier, (total, count) in enumerate(zip(*self._fitted, strict=True)):
            database.execute("INSERT INTO pools VALUES (?, ?, ?, ?)", new_pool(tier))
            write_pool(database, tier, total, int(count))

    def _pools(self, rows: Mapping[str, tuple[bytes, int, int]]) -> tuple[Sums, Counts]:
        sums, counts = np.empty_like(self._fitted[0]), np.empty_like(self._fitted[1])
        for tier, name in enumerate(TIER_NAMES):
            total, count, check = rows[name]
            if check != check_sum(total, count):
                raise ValueError(f"the pool of the {name} tier was altered")
            sums[tier], counts[tier] = np.frombuffer(total, "<f8"), count
        return sums, counts

    def _where(self) -> tuple[int, int] | None:
        """What tells the file under the path from any other; None where there is none."""
        try:
            status = os.stat(self.path)  # noqa: PTH116  (per answer, so without a Path's detour)
        except OSError:
            return None
        return status.st_dev, status.st_ino

    def _reopen_if_moved(self) -> None:
        gone = self._database is None or self._where() != self._place
        if gone and isinstance(self.path, Path) and not self._closed:
            if self._database is not None:
                # What is in the log belongs to the file that went, and must not get into another.
                with contextlib.suppress(sqlite3.Error):
                    self._database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            self._release()
            self._connect()

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        database = self._connection()
        database.execute("BEGIN IMMEDIATE")
        try:
            yield database
            database.execute("COMMIT")
        except BaseException:
            # sqlite rolls back by itself where the disk is full.
            if database.in_transaction:
                database.execute("ROLLBACK")
            raise

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        """Turn sqlite's errors into errors that a user can act on."""
        try:
            yield
        except sqlite3.Error as error:
            if getattr(error, "sqlite_errorcode", 0) & 0xFF in _REFUSED:
                raise StorageError(
                    f"cannot write {self.path} ({error}); free some space, check the folder's "
                    f"permissions, or name another state file ({MEMORY} keeps none)"
                ) from None
            # The statements are always the same, so it is the file that does not fit them.
            raise self._damage(str(error)) from None

    def _damage(self, problem: str) -> CorruptArtefactError:
        return CorruptArtefactError(
            f"{self.path} is no state that this version of dimec can go on from ({problem}); it "
            "was left as it is: move it away to start anew, or name another state file"
        )
