"""Writing files so that a reader never sees half of one.

Every artefact goes through :func:`atomic_write`: the bytes land in a temporary file beside the
target, are flushed to the disk, and take the target's name in one step. A process killed at any
moment leaves the old file or the new one, never a mixture. For folders
:mod:`dimec.base.storage_folders` does the same.

Arrays are stored as safetensors with a checksum over their content, so that a truncated or
altered file is refused when it is read (:func:`save_arrays`, :func:`load_arrays`). Nothing here
uses pickle.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import secrets
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from dimec.base.errors import (
    CorruptArtefactError,
    MissingArtefactError,
    StorageError,
    shown,
)

FORMAT_VERSION = "1"

_DISK_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_REFUSED = {
    errno.EROFS,
    errno.EACCES,
    errno.EPERM,
    errno.ENOTDIR,
    errno.EISDIR,
    errno.EEXIST,
    errno.EIO,
    errno.ELOOP,
    errno.ENAMETOOLONG,
    errno.ENXIO,
    errno.ETXTBSY,
}


def expanded(path: Path | str) -> Path:
    """The path with ``~`` and ``~user`` replaced, which no shell does inside ``csv:~/a.csv``."""
    try:
        return Path(path).expanduser()
    except RuntimeError:  # no such user: a file may be called so
        return Path(path)


@contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turn the operating system's refusal to write ``path`` into a :class:`StorageError`."""
    try:
        yield
    except OSError as error:
        if error.errno not in _DISK_FULL | _REFUSED:
            raise
        raise _refusal(path, error) from error
    except SafetensorError as error:
        # safetensors passes the operating system's error on as text: "… (os error 28)".
        if not (number := re.search(r"os error (\d+)", str(error))):
            raise
        raise _refusal(path, OSError(int(number[1]), os.strerror(int(number[1])))) from error


def _refusal(path: Path, error: OSError) -> StorageError:
    if error.errno in _DISK_FULL:
        return StorageError(
            f"no room to write {path}: {error.strerror}; free some space and run the same "
            "command again, finished work is kept"
        )
    return StorageError(
        f"cannot write {path}: {error.strerror}; check the folder's permissions or choose "
        "another one"
    )


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A temporary path to write to, which takes the place of ``path`` when the block ends well.

    Creates parent folders. For writers that want a path of their own; see :func:`atomic_write`.

    Raises:
        StorageError: the disk is full or refuses to write; ``path`` is left as it was.
    """
    path = Path(path)
    # A name of its own per writer, so that two of them never share a half-written file.
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            # Made here first, so that it has the permissions that the user's umask gives: some
            # writers replace it by a private file of their own.
            temporary.touch(exist_ok=False)
            mode = temporary.stat().st_mode
            yield temporary
            temporary.chmod(mode)
            with temporary.open("rb") as stream:
                os.fsync(stream.fileno())
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        sync_folder(path.parent)


def atomic_write(path: Path, content: bytes | str) -> None:
    """Write ``content`` to ``path`` all at once, creating parent folders.

    Raises:
        StorageError: the disk is full or refuses to write; ``path`` is left as it was.
    """
    data = content.encode("utf-8") if isinstance(content, str) else content
    with atomic_path(path) as temporary, temporary.open("wb") as stream:
        stream.write(data)


def sync_folder(folder: Path) -> None:
    """Make a rename in ``folder`` survive a power cut, where the platform allows it."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` as indented JSON, atomically; NaN and infinity are refused by ValueError."""
    atomic_write(path, json.dumps(value, indent=2, allow_nan=False, ensure_ascii=False) + "\n")


def read_json(path: Path, made_by: str) -> Any:
    """Read a JSON artefact.

    Raises:
        MissingArtefactError: no such file; the message names the command ``made_by``.
        CorruptArtefactError: not JSON.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise MissingArtefactError(f"{path} does not exist; make it with: {made_by}") from None
    except OSError as error:
        raise _not_json(path, error, made_by) from None
    return parse_json(content, path, made_by)


def parse_json(content: bytes, path: Path | str, made_by: str) -> Any:
    """The value of a JSON artefact's bytes.

    Raises:
        CorruptArtefactError: not JSON, nested too deep, or with a number of thousands of digits.
    """
    try:
        return json.loads(content.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise _not_json(path, error, made_by) from None


def parse_toml(content: bytes) -> dict[str, Any]:
    """The table that a TOML file's bytes hold.

    Raises:
        ValueError: not TOML, nested too deep, or with a number of thousands of digits; one line.
    """
    try:
        values = tomllib.loads(content.decode("utf-8"))
        # A hexadecimal number has no limit of its own, and no message could show it.
        repr(values)
        return values
    except RecursionError:
        raise ValueError("it is nested too deep") from None
    except ValueError as error:
        raise ValueError(shown(str(error), 120)) from None


def _not_json(path: Path | str, error: Exception, made_by: str) -> CorruptArtefactError:
    return CorruptArtefactError(
        f"{path} is not valid JSON ({shown(str(error), 120)}); make it again with: {made_by}"
    )


def file_sha256(path: Path) -> str:
    """Hexadecimal SHA-256 of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _content_sha256(arrays: Mapping[str, npt.NDArray[Any]], metadata: Mapping[str, str]) -> str:
    digest = hashlib.sha256()
    for key in sorted(metadata):
        digest.update(json.dumps([key, metadata[key]]).encode())
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(json.dumps([name, array.dtype.str, list(array.shape)]).encode())
        # A view of the bytes: no copy of an array that may be most of the memory. Reshaped first,
        # because an array with a zero in its shape has no bytes to view.
        digest.update(array.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def _as_stored(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Contiguous and little-endian, as safetensors stores it; the shape stays, () too."""
    little = np.asarray(array).astype(np.asarray(array).dtype.newbyteorder("<"), copy=False)
    return np.require(little, requirements="C")


def save_arrays(
    path: Path, kind: str, arrays: Mapping[str, npt.NDArray[Any]], metadata: Mapping[str, Any]
) -> None:
    """Write named arrays and JSON metadata to one checksummed safetensors file, atomically.

    The same arrays and metadata give the same bytes.

    Args:
        path: the file.
        kind: what the file is (``"trace"``, ``"router"``, …); checked again on reading.
        arrays: name → numeric or boolean array of any shape.
        metadata: JSON values, kept in the safetensors header.
    """
    if reserved := [key for key in metadata if key.startswith("dimec.")]:
        raise ValueError(f"metadata keys must not start with 'dimec.', got {reserved[0]!r}")
    header = {key: json.dumps(value) for key, value in metadata.items()}
    header |= {"dimec.kind": kind, "dimec.format": FORMAT_VERSION}
    contiguous = {name: _as_stored(array) for name, array in arrays.items()}
    header["dimec.sha256"] = _content_sha256(contiguous, header)
    with atomic_path(path) as temporary:
        save_file(contiguous, temporary, metadata=header)
        _order_header(temporary)


def _order_header(path: Path) -> None:
    """Put the header's metadata in order: the library writes them in another one each time."""
    with path.open("r+b") as stream:
        size = int.from_bytes(stream.read(8), "little")
        header = json.loads(stream.read(size))
        header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
        ordered = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
        assert len(ordered) <= size, "the same header in another order is no longer"
        stream.seek(8)
        stream.write(ordered.ljust(size))


def load_arrays(
    path: Path, kind: str, made_by: str
) -> tuple[dict[str, npt.NDArray[Any]], dict[str, Any]]:
    """Read what :func:`save_arrays` wrote; returns (arrays, metadata).

    Raises:
        MissingArtefactError: no such file; the message names the command ``made_by``.
        CorruptArtefactError: truncated, altered, of another kind or of an unknown format.
    """
    path = Path(path)
    if not path.exists():
        raise MissingArtefactError(f"{path} does not exist; make it with: {made_by}")
    try:
        if not path.is_file():  # to open a pipe is to wait for whoever writes to it
            raise ValueError("it is no regular file")
        with safe_open(path, framework="numpy") as stream:
            header = dict(stream.metadata() or {})
            _check_kind(path, header, kind, made_by)
            arrays = {name: stream.get_tensor(name) for name in stream.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError, TypeError, LookupError, AttributeError) as error:
        # The last three: a type of numbers that numpy does not have.
        raise CorruptArtefactError(
            f"{path} is truncated or not a {kind} file ({error}); make it again with: {made_by}"
        ) from None
    expected = header.pop("dimec.sha256", None)
    if _content_sha256(arrays, header) != expected:
        raise CorruptArtefactError(
            f"{path} was altered after it was written (its checksum does not match); "
            f"make it again with: {made_by}"
        )
    try:
        metadata = {k: json.loads(v) for k, v in header.items() if not k.startswith("dimec.")}
    except (ValueError, RecursionError) as error:
        raise _not_json(path, error, made_by) from None
    return arrays, metadata


def _check_kind(path: Path, header: Mapping[str, str], kind: str, made_by: str) -> None:
    if header.get("dimec.kind") != kind or header.get("dimec.format") != FORMAT_VERSION:
        raise CorruptArtefactError(
            f"{path}: expected a {kind} file of format {FORMAT_VERSION}, got "
            f"{header.get('dimec.kind', 'something else')!r} of format "
            f"{header.get('dimec.format', 'unknown')!r}; make it again with: {made_by}"
        )
