"""Folders that are written whole or not at all, and locks that die with their process."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from dimec.base.errors import RunBusyError, StorageError
from dimec.base.storage import storage_errors, sync_folder

if TYPE_CHECKING:
    from filelock import BaseFileLock


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """A temporary folder to fill, which takes the place of ``path`` when the block ends well.

    What ``path`` held is discarded then. A process that is killed leaves the old folder or none;
    what it had written is removed when the same folder is next written.

    Raises:
        RunBusyError: another process is writing it.
        StorageError: the disk is full or refuses to write; ``path`` is left as it was.
    """
    path = Path(path).absolute()
    temporary, old = path.with_name(f".{path.name}.tmp"), path.with_name(f".{path.name}.old")
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = take_lock(
            path.with_name(f".{path.name}.lock"),
            f"{path} is being written by another dimec process; wait for it to end, or choose "
            "another folder",
        )
        try:
            if old.exists() and not path.exists():
                old.rename(path)  # killed between the two renames below
            for leftover in (temporary, old):
                shutil.rmtree(leftover, ignore_errors=True)
            temporary.mkdir()
            yield temporary
            for file in temporary.rglob("*"):
                if file.is_file():
                    with file.open("rb") as stream:
                        os.fsync(stream.fileno())
            if path.exists():
                path.rename(old)
            temporary.rename(path)
            sync_folder(path.parent)
            shutil.rmtree(old, ignore_errors=True)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
            Path(lock.lock_file).unlink(missing_ok=True)
            lock.release()


def take_lock(path: Path, busy: str) -> BaseFileLock:
    """Take a lock file, which the operating system lets go of when the process dies.

    Raises:
        RunBusyError: another process has it; with the text ``busy``.
        StorageError: it cannot be made, or is no plain file: a link is never followed.
    """
    from filelock import FileLock, Timeout

    if path.is_symlink() or (path.exists() and not path.is_file()):
        raise StorageError(
            f"{path} is no plain file (a link, a folder or a device), and a lock must be one; "
            "remove it, or choose another folder"
        )
    lock = FileLock(path)
    try:
        with storage_errors(path):
            lock.acquire(timeout=0)
    except Timeout:
        raise RunBusyError(busy) from None
    return lock
