"""Private copies of files, so that what was checked is what is used, whatever becomes of them.

onnxruntime maps a graph's large tensors into memory. Were the files of a bundle's own folder
mapped, copying a new bundle over the old one would change answers under way, or end the process by
SIGBUS where a file got shorter. A private copy is mapped instead, and has lost its name by the time
that the graph runs: nobody can open it. It stays on the disk until the process ends, and as with
every mapped file only the parts that were met are in memory. Where no disk has room, the copy is
all in memory: it takes that room for good, and the graph runs.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from dimec.base.errors import CorruptArtefactError

_MEMORY = Path("/dev/shm")  # in memory too, but only as far as it is met
_AT_ONCE = 1 << 20


@dataclass(frozen=True)
class Held:
    """Copies of files.

    Attributes:
        folder: where they are, or what stands for it where they are in memory.
        memory: name → content, where they are in memory; else None.
    """

    folder: Path
    memory: Mapping[str, bytes] | None = None


@contextmanager
def held_copy(folder: Path, digests: Mapping[str, str]) -> Iterator[Held]:
    """Private copies of files; what is mapped of them in the block outlives the block.

    Args:
        folder: where the files are.
        digests: name → hexadecimal SHA-256 that a file must have, checked on what was copied.

    Raises:
        CorruptArtefactError: a file is not what it must be, or cannot be read.
    """
    private = _copied(folder, digests)
    if private is None:
        content = {name: read_held(folder / name, digest) for name, digest in digests.items()}
        yield Held(folder, content)
        return
    try:
        yield Held(private)
    finally:
        shutil.rmtree(private, ignore_errors=True)


def _copied(folder: Path, digests: Mapping[str, str]) -> Path | None:
    """The private folder, in the first place that has room."""
    for place in _places():
        try:
            private = Path(tempfile.mkdtemp(prefix="dimec-held-", dir=place))
        except OSError:
            continue
        try:
            for name, digest in digests.items():
                _copy(folder / name, private / name, digest)
        except OSError:
            shutil.rmtree(private, ignore_errors=True)
        except BaseException:
            shutil.rmtree(private, ignore_errors=True)
            raise
        else:
            return private
    return None


def _places() -> Iterator[Path]:
    with suppress(FileNotFoundError):
        yield Path(tempfile.gettempdir())
    if _MEMORY.is_dir():
        yield _MEMORY


def _copy(source: Path, target: Path, digest: str) -> None:
    found = hashlib.sha256()
    with _opened(source) as stream, target.open("wb") as copy:
        while part := stream.read(_AT_ONCE):
            found.update(part)
            copy.write(part)
    _compare(source, found.hexdigest(), digest)


def read_held(source: Path, digest: str) -> bytes:
    """The content of a file, which must have a hash; errors as :func:`held_copy`."""
    with _opened(source) as stream:
        content = stream.read()
    _compare(source, hashlib.sha256(content).hexdigest(), digest)
    return content


def _opened(source: Path) -> BinaryIO:
    try:
        return source.open("rb")
    except OSError as error:
        raise CorruptArtefactError(f"{source} cannot be read: {error.strerror}") from None


def _compare(source: Path, found: str, digest: str) -> None:
    if found != digest:
        raise CorruptArtefactError(
            f"{source} was replaced while it was loaded (its hash does not match the manifest); "
            "try again once the copy is complete"
        )
