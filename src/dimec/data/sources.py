"""From a file to its text: its kind, its bytes up to a bound, and its encoding.

A byte order mark settles the encoding (UTF-8, UTF-16, UTF-32); without one it is UTF-8. Nothing
else is certain: files in other encodings are refused with the option that says which.
"""

from __future__ import annotations

import codecs
import os
import zlib
from collections.abc import Iterator
from pathlib import Path
from stat import S_ISREG
from typing import BinaryIO

from dimec.base.errors import ConfigError, DataError, option, quoted, shown

LARGEST_EXPANDED = 2 * 2**30  # bytes that a .gz may expand to

_KINDS = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".json": "json",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
}
_BINARY = {".parquet": "parquet", ".arrow": "arrow", ".feather": "arrow"}
_MARKS = (  # UTF-32's little-endian mark begins with that of UTF-16
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_NO_TEXT = {
    b"PAR1": "a Parquet file; read it as parquet:FILE",
    b"ARROW1": "an Arrow file; read it as arrow:FILE",
    b"PK\x03\x04": "a zip archive, as Excel's workbooks are; save or unpack it as CSV",
    b"\x1f\x8b": "compressed with gzip; let its name end in .gz",
}
_CHUNK = 2**20


def kind_of(path: Path | str) -> str | None:
    """A file's kind by its ending: csv, tsv, json, jsonl, parquet or arrow.

    Case does not matter. Those of text may end in ``.gz`` too; the others compress by themselves.
    None for another ending.
    """
    name = Path(path).name.lower()
    if (kind := _BINARY.get(Path(name).suffix)) is not None:
        return kind
    return _KINDS.get(Path(name.removesuffix(".gz")).suffix)


def read_bytes(path: Path) -> bytes:
    """The content of a regular file, decompressed where its name ends in ``.gz``.

    Raises:
        DataError: there is no such file, it is a folder, a pipe or a device, it is no whole gzip
            file, or expands to more than :data:`LARGEST_EXPANDED` bytes.
    """
    try:
        with open(path, "rb", opener=_without_waiting) as stream:
            if not S_ISREG(os.fstat(stream.fileno()).st_mode):
                raise DataError(
                    f"{path} is no regular file but a pipe or a device, which cannot be read "
                    "again; write its content to a file"
                )
            if path.suffix.lower() == ".gz":
                return _expanded(path, stream)
            return stream.read()
    except FileNotFoundError:
        raise DataError(f"{path} does not exist; check the path") from None
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}; check the path") from None


def read_text(path: Path, encoding: str | None = None) -> str:
    """The whole of a text file without its byte order mark.

    Raises:
        ConfigError: as :func:`decode`.
        DataError: as :func:`read_bytes` and :func:`decode`, and where the content is no text.
    """
    content = read_bytes(path)
    for magic, problem in _NO_TEXT.items():
        if content.startswith(magic):
            raise DataError(f"{path} is {problem}")
    return decode(content, str(path), encoding)


def read_lines(path: Path, encoding: str | None = None) -> Iterator[tuple[int, str]]:
    """(line number from 1, line) of every line that is not empty, of a file with a text a line.

    Raises:
        ConfigError: as :func:`decode`.
        DataError: as :func:`read_text`, or it holds JSON, whose lines are no texts.
    """
    content = read_text(path, encoding)
    if content[:100].lstrip().startswith(("[{", '{"')):
        raise DataError(f"{path} holds JSON; call it .json, or .jsonl for an object a line")
    return numbered_lines(content)


def decode(content: bytes, name: str, encoding: str | None = None) -> str:
    """Text of bytes.

    Args:
        content: the whole of a file.
        name: what errors call it.
        encoding: a codec's name; default: what the byte order mark says, else UTF-8.

    Raises:
        ConfigError: no such encoding.
        DataError: the bytes are not in it, or have the mark of another one.
    """
    codec = codec_of(content, name, encoding)
    try:
        return content.decode(codec).removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        # Counted in what is before it, as UTF-16 has other newlines.
        before = content[: error.start].decode(codec, "ignore")
        raise undecodable(name, before.count("\n") + 1, codec, content[error.start]) from None
    except UnicodeError:  # of codecs that are for names of hosts, not for files
        raise DataError(
            f"{name} is not in {codec}; name another one with {option('encoding')}"
        ) from None


def codec_of(start: bytes, name: str, encoding: str | None = None) -> str:
    """The codec of a file that begins with ``start``; arguments and errors as :func:`decode`."""
    wanted = None if encoding is None else checked_encoding(encoding)
    marked = next((codec for mark, codec in _MARKS if start.startswith(mark)), None)
    if marked is not None:
        if wanted is not None and not wanted.startswith(marked):
            raise DataError(
                f"{name} begins with the mark of {marked.upper()}, but {option('encoding')} is "
                f"{encoding}; leave the option out"
            )
        return "utf-8-sig" if marked == "utf-8" else marked
    if wanted is None and b"\0" in start[:2]:
        guess = "utf-16-be" if start[:1] == b"\0" else "utf-16-le"
        raise DataError(
            f"{name}: expected UTF-8, got what looks like UTF-16 without its mark; if it is, say "
            f"so with {option('encoding', guess)}"
        )
    return wanted or "utf-8"


def checked_encoding(encoding: str) -> str:
    """The codec's own name; ConfigError where there is no such text encoding."""
    try:
        codec = codecs.lookup(encoding)
    except (LookupError, ValueError):
        codec = None
    # Python's bytes-to-bytes codecs (hex, zip, ...) are found by name too.
    if codec is None or not getattr(codec, "_is_text_encoding", True):
        raise ConfigError(
            f"{option('encoding')}: unknown encoding {quoted(encoding)}; expected utf-8, utf-16, "
            "windows-1252 or another one that Python knows"
        )
    return codec.name


def undecodable(name: str, line: int, codec: str, byte: int) -> DataError:
    """What to say of a byte that is not in the encoding."""
    remedy = (
        f"if it is Windows-1252 (an older CSV of Excel), say so with "
        f"{option('encoding', 'windows-1252')}, else convert the file to UTF-8"
        if codec.startswith("utf-8")
        else f"name another one with {option('encoding')}"
    )
    expected = "UTF-8" if codec.startswith("utf-8") else codec
    return DataError(
        f"{name}, line {line}: expected {expected}, got the byte 0x{byte:02x}; {remedy}"
    )


def numbered_lines(text: str) -> Iterator[tuple[int, str]]:
    """(line number from 1, line) of every line that is not empty."""
    for number, line in enumerate(text.split("\n"), start=1):
        if stripped := line.removesuffix("\r"):
            yield number, stripped


def shown_names(names: tuple[str, ...], limit: int = 5, *, quotes: bool = True) -> str:
    """Some column names for a message, at most ``limit`` of them and about 100 characters."""
    listed = ", ".join((quoted if quotes else shown)(name, 18) for name in names[:limit])
    return listed + (f" and {len(names) - limit} more" if len(names) > limit else "")


def _without_waiting(path: str, flags: int) -> int:
    """A pipe that nobody writes to would not open otherwise."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _expanded(path: Path, stream: BinaryIO) -> bytes:
    import gzip

    chunks, size = [], 0
    try:
        with gzip.GzipFile(fileobj=stream) as expanded:
            while chunk := expanded.read(_CHUNK):
                size += len(chunk)
                if size > LARGEST_EXPANDED:
                    raise DataError(
                        f"{path} expands to more than {LARGEST_EXPANDED:,} bytes, the most that "
                        "is read of a .gz; decompress it yourself, and give that file"
                    )
                chunks.append(chunk)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(
            f"{path} is not a whole gzip file ({error}); copy or compress it again"
        ) from None
    return b"".join(chunks)
