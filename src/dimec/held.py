"""Private copies of files, so that what was checked is what is used, whatever becomes of them.

onnxruntime maps a graph's large tensors into memory. Were the files of a bundle's own folder
mapped, copying a new bundle over the old one would change answers under way, or end the process by
SIGBUS where a file got shorter. A private copy is mapped instead, and has lost its name by the time
that the graph runs: nobody can open it. It stays on the disk until the process ends, and as with
every mapped file only the parts that were met are in memory.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from dimec.errors import CorruptArtefactError, StorageError

# In memory, and the last resort where no folder can be written: Linux has it everywhere.
_MEMORY = Path("/dev/shm")
_AT_ONCE = 1 << 20


@contextmanager
def held_copy(folder: Path, digests: Mapping[str, str]) -> Iterator[Path]:
    """A private folder with copies of files; what is mapped of it in the block outlives the block.

    Args:
        folder: where the files are.
        digests: name → hexadecimal SHA-256 that a file must have, checked on what was copied.

    Raises:
        CorruptArtefactError: a file is not what it must be, or cannot be read.
        StorageError: there is no room for the copies.
    """
    private = _copied(folder, digests)
    try:
        yield private
    finally:
        shutil.rmtree(private, ignore_errors=True)


def _copied(folder: Path, digests: Mapping[str, str]) -> Path:
    """The private folder, in the first place that has room."""
    reason = "no folder for temporary files"
    for place in _places():
        try:
            private = Path(tempfile.mkdtemp(prefix="dimec-held-", dir=place))
        except OSError as error:
            reason = f"{place}: {error.strerror}"
            continue
        try:
            for name, digest in digests.items():
                _copy(folder / name, private / name, digest)
        except OSError as error:
            shutil.rmtree(private, ignore_errors=True)
            reason = f"{place}: {error.strerror}"
        except BaseException:
            shutil.rmtree(private, ignore_errors=True)
            raise
        else:
            return private
    raise StorageError(
        f"no room to hold a private copy of the graphs in {folder} ({reason}); free some space, or "
        "name another folder in the environment variable TMPDIR"
    )


def _places() -> Iterator[Path]:
    with suppress(FileNotFoundError):
        yield Path(tempfile.gettempdir())
    if _MEMORY.is_dir():
        yield _MEMORY


def _copy(source: Path, target: Path, digest: str) -> None:
    found = hashlib.sha256()
    try:
        stream = source.open("rb")
    except OSError as error:
        raise CorruptArtefactError(f"{source} cannot be read: {error.strerror}") from None
    with stream, target.open("wb") as copy:
        while part := stream.read(_AT_ONCE):
            found.update(part)
            copy.write(part)
    if found.hexdigest() != digest:
        raise CorruptArtefactError(
            f"{source} was replaced while it was loaded (its hash does not match the manifest); "
            "try again once the copy is complete"
        )
