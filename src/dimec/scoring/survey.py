"""What is in a file of texts, and the parts that it is worked on in."""

from __future__ import annotations

import gzip
import hashlib
import importlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

from dimec.base.errors import DataError, MissingExtraError, shown
from dimec.base.storage import file_sha256
from dimec.scoring.shards import Shard

# Rows of a part, a multiple of a chunk's: what is lost at most where a process is killed, and what
# cores share a file by. It must not depend on the machine, or the last bits of answers would.
ROWS = 16_384
_BLOCK = 1 << 20


@dataclass(frozen=True)
class Piece:
    """A part of a file, for one process.

    Attributes:
        number: among the file's, from 0.
        start: rows, or lines, before it.
        rows: how many it has; lines, of which some may be empty.
        offset: bytes before it, where lines can be sought.
    """

    number: int
    start: int
    rows: int
    offset: int

    def to_json(self) -> dict[str, Any]:
        """JSON values."""
        return asdict(self)


@dataclass(frozen=True)
class Surveyed:
    """A file, looked through.

    Attributes:
        sha256: of its bytes.
        pieces: its parts, in order; at least one.
    """

    sha256: str
    pieces: tuple[Piece, ...]

    @property
    def rows(self) -> int:
        """Of all parts."""
        return sum(piece.rows for piece in self.pieces)


def survey(shard: Shard, rows: int = ROWS) -> Surveyed:
    """Look a file through once.

    Raises:
        DataError: it cannot be read.
        MissingExtraError: Parquet without pyarrow.
    """
    try:
        if shard.kind == "parquet":
            with parquet_file(shard.path) as file:
                total = int(file.metadata.num_rows)
            starts = range(0, max(1, total), rows)
            pieces = tuple(
                Piece(number, start, min(rows, total - start), 0)
                for number, start in enumerate(starts)
            )
            return Surveyed(file_sha256(shard.path), pieces)
        if is_gzip(shard.path):
            return _gzipped(shard.path)
        return _lines(shard.path, rows)
    except (OSError, EOFError) as error:
        raise DataError(f"cannot read {shard.path}: {shown(str(error), 120)}") from None


def is_gzip(path: Path) -> bool:
    """Whether a file's name says that it is compressed, so that its lines cannot be sought."""
    return path.suffix.lower() == ".gz"


def opened(path: Path) -> BinaryIO:
    """A file of lines, decompressed where its name ends in ``.gz``."""
    return cast(BinaryIO, gzip.open(path, "rb")) if is_gzip(path) else path.open("rb")


def parquet_file(path: Path) -> Any:
    """A Parquet file, opened so that this thread alone reads it; see dimec.data.tables.

    Raises:
        DataError: it is none.
        MissingExtraError: pyarrow is not installed.
    """
    try:
        arrow = importlib.import_module("pyarrow")
        parquet = importlib.import_module("pyarrow.parquet")
    except ImportError:
        raise MissingExtraError("pyarrow", "train", "reading Parquet files") from None
    try:
        return parquet.ParquetFile(path, pre_buffer=False)
    except (arrow.ArrowException, OSError, ValueError) as error:
        reason = shown(" ".join(str(error).split()), 80)
        raise DataError(
            f"{path} is not a whole Parquet file ({reason}); copy or write it again"
        ) from None


def _lines(path: Path, rows: int) -> Surveyed:
    digest = hashlib.sha256()
    starts = [0]  # bytes before each part
    lines, offset, ended = 0, 0, True
    with path.open("rb") as stream:
        while block := stream.read(_BLOCK):
            digest.update(block)
            place = 0
            found = block.count(b"\n")
            if lines // rows == (lines + found) // rows:
                lines += found  # most blocks hold no boundary
            else:
                while (end := block.find(b"\n", place)) >= 0:
                    place, lines = end + 1, lines + 1
                    if lines % rows == 0:
                        starts.append(offset + place)
            offset += len(block)
            ended = block.endswith(b"\n")
    lines += not ended
    starts = [start for start in starts if start < offset] or [0]
    pieces = tuple(
        Piece(number, number * rows, min(rows, lines - number * rows), start)
        for number, start in enumerate(starts)
    )
    return Surveyed(digest.hexdigest(), pieces)


def _gzipped(path: Path) -> Surveyed:
    """A compressed file is one part: nobody can begin to read it in the middle."""
    lines, ended = 0, True
    with opened(path) as stream:
        while block := stream.read(_BLOCK):
            lines += block.count(b"\n")
            ended = block.endswith(b"\n")
    return Surveyed(file_sha256(path), (Piece(0, 0, lines + (not ended), 0),))
