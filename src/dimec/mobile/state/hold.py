"""Holding a state file: the file itself, so that no other name for it lets a second writer in."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import sqlite3
import stat
import struct
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

from dimec.base.errors import StateBusyError, StorageError
from dimec.base.storage import storage_errors

MEMORY = ":memory:"

try:
    import fcntl

    _SET_LOCK: int | None = getattr(fcntl, "F_OFD_SETLK", None)
except ImportError:  # Windows
    _SET_LOCK = None

# Far behind any content, and away from the bytes that sqlite locks.
_BYTE = 1 << 62
# What this process holds. Opening and closing one of these files once more, even in vain, would
# take away sqlite's own locks on it.
_held: set[tuple[int, int]] = set()
_mutex = threading.Lock()
_NO_LOCKS = {errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK}
# What a disk does by itself, and may end by itself.
_PASSING = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO}


class Hold:
    """A state file, held against every other process and every other holder in this one.

    The lock is on the file's inode: whichever name led to it, and whatever lies beside it. The
    operating system lets go of it when the process dies. It is one of an open file (an OFD lock of
    Linux), since sqlite's own kind is lost as soon as the process closes any descriptor of that
    file, and leaves reading to others.

    Args:
        path: the file, made where there is none; links to it are followed.

    Attributes:
        place: what tells this file from any other.
        weak: whether there is no such lock here; sqlite's own must hold the file then.

    Raises:
        StateBusyError: it is held.
        StorageError: it cannot be written, is no plain file, or has a second name.
    """

    def __init__(self, path: Path) -> None:
        with _mutex, storage_errors(path):
            if place_of(path) in _held:
                raise busy(path)
            path.parent.mkdir(parents=True, exist_ok=True)
            # Without waiting, should the path be a pipe.
            flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NONBLOCK", 0)
            self._descriptor: int | None = os.open(path, flags, 0o666)
            try:
                status = os.fstat(self._descriptor)
                self.place = status.st_dev, status.st_ino
                self.weak = not self._lock(path)
                _check_file(path, status)
                _held.add(self.place)
            except BaseException:
                os.close(self._descriptor)
                raise

    def _lock(self, path: Path) -> bool:
        """Take the lock; False where there is no such thing."""
        if _SET_LOCK is None or self._descriptor is None:
            return False
        wanted = struct.pack("hhqqi0q", fcntl.F_WRLCK, os.SEEK_SET, _BYTE, 1, 0)
        try:
            fcntl.fcntl(self._descriptor, _SET_LOCK, wanted)
        except OSError as error:
            if error.errno in (errno.EAGAIN, errno.EACCES):
                raise busy(path) from None
            if error.errno in _NO_LOCKS:
                return False
            raise
        return True

    def release(self) -> None:
        """Let go. Calling it again does nothing."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            with _mutex:
                os.close(descriptor)
                _held.discard(self.place)


def place_of(path: Path | str) -> tuple[int, int] | None:
    """What tells the file under a path from any other; None where there is none."""
    try:
        status = os.stat(path)  # noqa: PTH116  (per answer, so without a Path's detour)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _check_file(path: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise StorageError(
            f"cannot write {path}: it is no plain file; name another state file ({MEMORY} keeps "
            "none)"
        )
    if status.st_nlink > 1:
        # sqlite's log lies beside one name; opened by the other, the file would lack it.
        raise StorageError(
            f"{path} has a second name (a hard link), which a state must not have; remove the "
            "other one, or put a copy in its place, or name another state file"
        )


def busy(path: Path | str) -> StateBusyError:
    """What is said of a state that another one holds."""
    return StateBusyError(
        f"{path} is in use by another dimec process; a state has one writer: wait for the other to "
        f"end, or name another state file ({MEMORY} keeps none)"
    )


def is_passing(error: StorageError, path: Path) -> bool:
    """Whether it is the disk that refuses, full or read-only, and not this path."""
    cause = error.__cause__
    if isinstance(cause, OSError):
        return cause.errno in _PASSING
    code = getattr(cause, "sqlite_errorcode", 0) & 0xFF
    if code == sqlite3.SQLITE_CANTOPEN:  # no room for the log beside it, or no leave to make one
        return os.access(path.parent, os.W_OK)
    return code in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR)


def copy_into(database: sqlite3.Connection, path: Path) -> None:
    """Read the state file at ``path``, which cannot be written, into an empty database.

    Raises:
        OSError: what its last process left in its log needs room for a copy, and has none.
        sqlite3.Error: it is no database, or damaged.
    """
    if not path.exists():
        return
    with _readable(path.resolve()) as name:
        source = sqlite3.connect(name, uri=True)
        with contextlib.closing(source):
            source.backup(database)


@contextlib.contextmanager
def _readable(path: Path) -> Iterator[str]:
    """A URI under which sqlite reads all of a state without writing beside it."""
    log = path.with_name(f"{path.name}-wal")
    if not log.exists() or log.stat().st_size == 0:
        yield f"file:{quote(str(path))}?mode=ro&immutable=1"
        return
    with tempfile.TemporaryDirectory(prefix="dimec-") as folder:
        for file in (path, log):
            shutil.copyfile(file, Path(folder) / file.name)
        yield f"file:{quote(str(Path(folder) / path.name))}"
