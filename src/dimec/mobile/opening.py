"""Opening a state file: as sqlite has it, checked, with what was learnt and what an audit knows."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from dimec.base.errors import CorruptArtefactError, DataError, MismatchError, StorageError
from dimec.base.storage import storage_errors
from dimec.mobile.state.audits import Watch
from dimec.mobile.state.hold import MEMORY, Hold, busy, copy_into, is_passing
from dimec.mobile.state.memory import Memory
from dimec.mobile.state.rows import ANY_LEARNT, LATER, LATER_COLUMN, SCHEMA
from dimec.policies.kinds import Arrays

# 2: paths, and what any policy has learnt in place of a router's pools.
_FORMAT = "2"
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

# First of all in a block ``with database:``, which writes all of it, or nothing.
BEGIN = "BEGIN IMMEDIATE"

Opened = tuple[sqlite3.Connection, Memory, Watch | None]


class StateFile:
    """How the state of one bundle is opened, and what is said where that fails.

    Args:
        path: the file, or ``":memory:"``.
        identity: of the bundle.
        check: takes up what was learnt; raises DataError where it is not the policy's. None where
            nobody does.
    """

    def __init__(
        self, path: Path | str, identity: str, check: Callable[[Arrays], None] | None
    ) -> None:
        self._path = path
        self._identity = identity
        self._check = check

    def open(self, hold: Hold | None) -> Opened:
        """Open the file that is held, and make a state of it where it is empty.

        Raises:
            StateBusyError: another process holds it.
            MismatchError: it is of another bundle.
            CorruptArtefactError: it is no state, or damaged.
            StorageError: it cannot be written.
        """
        weak = hold is not None and hold.weak
        try:
            return self._open(alone=weak)
        except StorageError as error:
            if getattr(error.__cause__, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY:
                raise busy(self._path) from None
            if weak or not isinstance(self._path, Path) or not is_passing(error, self._path):
                raise
        # Alone, sqlite needs no file for an index of its log, for which there was no room.
        return self._open(alone=True)

    def _open(self, *, alone: bool) -> Opened:
        with self.errors():
            database = _in_process(self._path)
            try:
                if alone:
                    database.execute("PRAGMA locking_mode=EXCLUSIVE")
                self._check_pages(database)
                database.execute("PRAGMA journal_mode=WAL")
                database.execute("PRAGMA synchronous=NORMAL")
                return database, *self._load(database)
            except BaseException:
                database.close()
                raise

    def stand_in(self, path: Path) -> Opened:
        """A database in memory with what the file says, until the disk takes the file again.

        Raises:
            MismatchError, CorruptArtefactError: as :meth:`open`.
            StorageError: the file cannot be read either.
        """
        database = _in_process(MEMORY)
        try:
            with self.errors(), storage_errors(path):
                copy_into(database, path)
                self._check_pages(database)
                return database, *self._load(database)
        except BaseException:
            database.close()
            raise

    def _check_pages(self, database: sqlite3.Connection) -> None:
        """Before anything is written: a page that is damaged would spread."""
        found = database.execute("PRAGMA quick_check(1)").fetchone()[0]
        if found != "ok":
            raise self.damage(" ".join(found.split()))

    def _load(self, database: sqlite3.Connection) -> tuple[Memory, Watch | None]:
        """What was learnt, and what an audit knows; nothing in a new file."""
        with database:
            database.execute(BEGIN)
            tables = {row[0] for row in database.execute("SELECT name FROM sqlite_master")}
            if not tables:
                self._initialise(database)
            elif not tables >= {"meta", "answers", "jobs"}:
                raise self.damage("it is a database of another program")
            try:
                self._check_meta(dict(database.execute("SELECT key, value FROM meta")))
                self._complete(database)
                return self._learnt(database), Watch.read(database)
            except (LookupError, ValueError, TypeError, DataError) as error:
                raise self.damage(str(error)) from None

    def _check_meta(self, meta: Mapping[str, str]) -> None:
        if meta.get("kind") != _KIND or meta.get("format") != _FORMAT:
            raise self.damage(f"its format is {meta.get('format', 'unknown')!r}")
        if meta.get("identity") != self._identity:
            raise MismatchError(
                f"{self._path} is the state of another bundle (another model or router); "
                "name another state file for this one"
            )

    def _initialise(self, database: sqlite3.Connection) -> None:
        for statement in SCHEMA:
            database.execute(statement)
        meta = {"kind": _KIND, "format": _FORMAT, "identity": self._identity}
        database.executemany("INSERT INTO meta VALUES (?, ?)", meta.items())

    @staticmethod
    def _complete(database: sqlite3.Connection) -> None:
        """Add what a file of an earlier version lacks: it knows of no audit."""
        tables = {row[0] for row in database.execute("SELECT name FROM sqlite_master")}
        if "audits" not in tables:
            for statement in LATER:
                database.execute(statement)
        columns = {row[1] for row in database.execute("PRAGMA table_info(answers)")}
        if "safe" not in columns:
            database.execute(LATER_COLUMN)

    def _learnt(self, database: sqlite3.Connection) -> Memory:
        memory = Memory.read(database)
        if memory.rows:
            if self._check is not None:
                self._check(memory.arrays)
        elif database.execute(ANY_LEARNT).fetchone()[0]:
            raise ValueError("what was learnt is missing")
        return memory

    @contextlib.contextmanager
    def errors(self) -> Iterator[None]:
        """Turn sqlite's errors into errors that a user can act on."""
        try:
            yield
        except sqlite3.Error as error:
            if getattr(error, "sqlite_errorcode", 0) & 0xFF in _REFUSED:
                raise StorageError(
                    f"cannot write {self._path} ({error}); free some space, check the folder's "
                    f"permissions, or name another state file ({MEMORY} keeps none)"
                ) from error
            # The statements are always the same, so it is the file that does not fit them.
            raise self.damage(str(error)) from None
        except UnicodeDecodeError:
            raise self.damage("a text in it is not UTF-8") from None

    def damage(self, problem: str) -> CorruptArtefactError:
        """What is said of a file that holds something else."""
        return CorruptArtefactError(
            f"{self._path} is no state that this version of dimec can go on from ({problem}); it "
            "was left as it is: move it away to start anew, or name another state file"
        )


def _in_process(path: Path | str) -> sqlite3.Connection:
    return sqlite3.connect(path, timeout=1.0, isolation_level=None, check_same_thread=False)
