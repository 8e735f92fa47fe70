"""Taking chosen files out of a zip, wheel or tar archive without trusting it.

An archive is refused as a whole when ANY of its members has an absolute path or one that climbs out
(``..``), is a link or a device, or when the members are too many or too large together. What is
taken lands under a name that the caller chose, so that no name from inside reaches the disk.
"""

from __future__ import annotations

import errno
import re
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO

from dimec.base.errors import DataError

MAX_MEMBERS = 1_000
MAX_BYTES = 512 * 1024**2
_BLOCK = 1024**2
_DAMAGED = (
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    RuntimeError,  # zipfile: encrypted, or an unknown compression
    ValueError,  # zipfile: a name that is not UTF-8, or an offset below 0
    IndexError,  # zipfile: an empty name
)
_DRIVE = re.compile(r"[A-Za-z]:")


@dataclass(frozen=True)
class _Member:
    name: str
    size: int
    regular: bool
    open: Callable[[], IO[bytes] | None]


def unpack(
    archive: Path,
    members: Mapping[str, str],
    folder: Path,
    *,
    max_members: int = MAX_MEMBERS,
    max_bytes: int = MAX_BYTES,
) -> None:
    """Write the wanted members of ``archive`` into ``folder``, which exists.

    Args:
        archive: a zip file (wheel) or a tar file, compressed or not.
        members: name inside the archive → file name in ``folder``.
        folder: where they go.
        max_members: refuse an archive with more members.
        max_bytes: refuse an archive whose members hold more bytes together.

    Raises:
        DataError: damaged, unsafe, too large, or a wanted member is missing or there twice.
    """
    missing = dict(members)
    total = 0
    try:
        for count, member in enumerate(_members(archive), start=1):
            total += member.size
            _check_member(archive, member)
            if count > max_members or total > max_bytes:
                raise DataError(
                    f"{archive} unpacks to more than {max_members} files or {max_bytes} bytes; "
                    "it is not the expected archive, fetch it again"
                )
            if member.name in members:
                if member.name not in missing or not member.regular:
                    raise _unsafe(archive, member, "comes twice or is not a file")
                _copy(archive, member, folder / missing.pop(member.name))
    except _DAMAGED as error:
        raise _damage(archive, error) from None
    except OSError as error:
        # The readers' own (no number), or one that an offset below 0 brought on; else the disk's.
        if error.errno not in (None, errno.EINVAL):
            raise
        raise _damage(archive, error) from None
    if missing:
        raise DataError(
            f"{archive} has no member {min(missing)!r}; it is not the expected archive, fetch it "
            "again"
        )


def join(slices: Sequence[Path], whole: Path) -> Path:
    """Make one file of its slices, in order; each is removed as soon as it is written.

    This takes the room of one more slice on the disk, and of one block in memory.

    Args:
        slices: files on one disk with ``whole``, at least one.
        whole: the file to make; one that is there is replaced.

    Returns:
        ``whole``.
    """
    first, *others = slices
    first.replace(whole)
    with whole.open("ab") as stream:
        for path in others:
            with path.open("rb") as source:
                shutil.copyfileobj(source, stream, _BLOCK)
            path.unlink()
    return whole


def _members(archive: Path) -> Iterator[_Member]:
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as zipped:
            for info in zipped.infolist():
                mode = info.external_attr >> 16
                kind = stat.S_IFMT(mode)
                if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                    raise DataError(_refusal(archive, info.filename, "is a link or a device"))
                yield _Member(
                    info.filename,
                    info.file_size,
                    not info.is_dir(),
                    partial(zipped.open, info),
                )
        return
    with tarfile.open(archive) as tar:
        for entry in tar:
            if not (entry.isreg() or entry.isdir()):
                raise DataError(_refusal(archive, entry.name, "is a link or a device"))
            yield _Member(
                entry.name,
                entry.size,
                entry.isreg(),
                partial(tar.extractfile, entry),
            )


def _check_member(archive: Path, member: _Member) -> None:
    path = PurePosixPath(member.name)
    if (
        path.is_absolute()
        or ".." in path.parts
        or "\\" in member.name
        or "\0" in member.name
        or _DRIVE.match(member.name)
    ):
        raise _unsafe(archive, member, "has a path that leads out of the folder")


def _copy(archive: Path, member: _Member, target: Path) -> None:
    """Copy at most the size that the member declared and that was counted."""
    written = 0
    source = member.open()
    if source is None:
        raise _unsafe(archive, member, "is not a file")
    with source, target.open("xb") as stream:
        while block := source.read(_BLOCK):
            written += len(block)
            if written > member.size:
                raise _unsafe(archive, member, "is larger than it says")
            stream.write(block)
    if written != member.size:
        raise _unsafe(archive, member, "is shorter than it says")


def _damage(archive: Path, error: Exception) -> DataError:
    reason = " ".join(str(error).split())
    return DataError(f"{archive} is damaged ({reason}); fetch it again")


def _unsafe(archive: Path, member: _Member, problem: str) -> DataError:
    return DataError(_refusal(archive, member.name, problem))


def _refusal(archive: Path, name: str, problem: str) -> str:
    return f"{archive}: the member {name!r} {problem}; refused, fetch the archive from its source"
