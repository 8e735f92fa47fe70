"""``dimec.json`` of what was pushed: what it is, and each file with its size and hash.

What comes from the hub is not trusted: a listing may name plain files below its own folder only,
of kinds that dimec writes. None of these is a pickle, and none is ever run.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from dimec.base.errors import CorruptArtefactError, quoted
from dimec.base.storage import parse_json
from dimec.base.validating import from_file

LISTING = "dimec.json"
CARD = "README.md"
ORIGIN = "hub.json"  # where a folder was pulled from; written beside, never pushed
LARGEST_LISTING = 1 << 20  # bytes; that of a run has 5,000
_MOST_FILES, _DEEPEST = 4000, 6
# No leading dot: nothing hidden, and nothing of git's or the client's own.
_PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,120}\Z")
_ENDINGS = {".json", ".jsonl", ".toml", ".sha256", ".safetensors", ".onnx", ".data", ".svg"}
_ENDINGS |= {".png", ".csv", ".txt", ".model"}
_RESERVED = {LISTING, CARD.lower(), ORIGIN}

Holds = Literal["run", "bundle", "traces"]


class Record(BaseModel):
    """What a file must be."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sha256: Annotated[str, StringConstraints(pattern=r"\A[0-9a-f]{64}\z")]
    bytes: int = Field(ge=0, le=1 << 40)


class Listing(BaseModel):
    """What a repository of the hub holds of dimec's.

    Attributes:
        kind, format: of the listing itself.
        holds: a run, a bundle, or traces.
        dimec: the version that pushed it.
        files: path → what the file must be.
        left_out: what the folder had and was not pushed → why.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["dimec on the hub"] = "dimec on the hub"
    format: Literal[1] = 1
    holds: Holds
    dimec: str = Field(max_length=64)
    files: Mapping[str, Record] = Field(min_length=1, max_length=_MOST_FILES)
    left_out: Mapping[str, str] = Field(default_factory=dict)

    @classmethod
    def read(cls, content: bytes, where: str) -> Self:
        """The listing that a file's bytes hold, with names that lead nowhere else.

        Raises:
            CorruptArtefactError: no listing, or one that names what it may not.
        """
        value = parse_json(content, where, "dimec push")
        listing = from_file(cls, value, f"{where} is no listing", "push it again, or update dimec")
        check_names(listing.files, where)
        return listing

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(record.bytes for record in self.files.values())


def check_names(files: Mapping[str, Record], where: str) -> None:
    """Refuse names that lead out of the folder, hide, collide, or are of no known kind.

    Raises:
        CorruptArtefactError: names the first.
    """
    taken: set[str] = set(_RESERVED)
    for name in files:
        parts = name.split("/")
        plain = len(parts) <= _DEEPEST and all(map(_PLAIN.match, parts))
        if not plain or PurePosixPath(name).suffix not in _ENDINGS:
            raise CorruptArtefactError(
                f"{where} names the file {quoted(name, 120)}; only plain files of dimec's kinds "
                "below its own folder are taken"
            )
        # Where case does not count, two names may be one file; and a file is no folder.
        lower = name.lower()
        above = {lower.rsplit("/", k)[0] for k in range(1, len(parts))}
        if lower in taken or above & {other.lower() for other in files}:
            raise CorruptArtefactError(f"{where} names {quoted(name, 120)} twice, or as a folder")
        taken.add(lower)


def read_listing(path: Path) -> Listing:
    """The listing in a folder.

    Raises:
        CorruptArtefactError: as :meth:`Listing.read`.
        OSError: it cannot be read.
    """
    with path.open("rb") as stream:
        return Listing.read(stream.read(LARGEST_LISTING), str(path))
