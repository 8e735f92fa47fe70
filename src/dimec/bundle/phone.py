"""The phone folder: a bundle's first tier as ExecuTorch programs, for a mobile in Kotlin or Swift.

::

    mobile/manifest.json     this module's :class:`PhoneManifest`: sizes and hashes of all below
    mobile/embed.pte         token ids → embeddings, and their pooled mean (what the policy sees)
    mobile/layers-1.pte …    hidden states → those behind the next exit, and its probabilities
    mobile/tokenizer.json    these four are the bundle's, byte for byte
    mobile/policy.json, mobile/policy.safetensors
    mobile/exit0.safetensors if the run has one
    golden.json              what all tiers make of some inputs (:mod:`dimec.bundle.golden`)

The folder of the tier's name goes into the app. ``golden.json`` holds texts of the run's data; it
is for the tests of whoever writes the app, and stays with them. ``docs/phone.md`` says how all of
it is read.

A program takes one text, without padding, and so no mask: (1, T), for T up to ``max_tokens``.
"""

from __future__ import annotations

import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from dimec.base.errors import CorruptArtefactError, MissingArtefactError, shown
from dimec.base.storage import read_json
from dimec.base.validating import from_file
from dimec.bundle.exit0 import EXIT0
from dimec.bundle.folders import check_file
from dimec.bundle.manifest import GOLDEN, MANIFEST, FileRecord, Frozen, Layer, Shared

_MADE_BY = "dimec export --executorch"
KIND: Literal["dimec phone"] = "dimec phone"


class TensorRecord(Frozen):
    """An input or output of a program.

    Attributes:
        name: what it is; programs take and give them by place.
        dtype: of its values.
        shape: ``tokens`` stands for T.
    """

    name: str
    dtype: Literal["int64", "float32"]
    shape: tuple[int | Literal["tokens"], ...]


class ProgramRecord(Frozen):
    """A program: its method is ``forward``.

    Attributes:
        file: its name.
        start, stop: the layers that it runs: those behind ``start``, up to ``stop``; 0 and 0 for
            the embedding layer.
        inputs, outputs: in the order in which ``forward`` takes and gives them.
        operators: what the backend leaves to kernels, which the app has to link.
    """

    file: str
    start: int = Field(ge=0)
    stop: int = Field(ge=0)
    inputs: tuple[TensorRecord, ...] = Field(min_length=1)
    outputs: tuple[TensorRecord, ...] = Field(min_length=1)
    operators: tuple[str, ...]


class PhoneManifest(Shared):
    """What the folder of an app holds.

    Attributes:
        runtime: the packages' version that made the programs; an app's is to be this or newer.
        backend: of ExecuTorch, that runs most of them.
        tier: the name of this tier, the first of ``tiers``, which are as in a bundle's manifest.
        precision: of the weights.
        inputs: names of what ``embed.pte`` takes, each (1, T) int64.
        vocabulary: token ids are 0 … vocabulary - 1.
        max_tokens: the longest input, in tokens; ``tokenizer.json`` is set to cut at it.
        pairs: whether an input is a pair of texts.
        width: D, the width of an embedding.
        segments: the layers after which the tier's layers are cut, ascending, the last its exit.
        programs: in the order in which they run.
        provenance: as in a bundle's manifest; ``parity`` is that of the programs.
        files: name → size and hash of every other file in the folder.
        golden: of the ``golden.json`` that belongs to it.
    """

    kind: Literal["dimec phone"] = KIND
    format: Literal[1] = 1
    runtime: str
    backend: Literal["XnnpackBackend"] = "XnnpackBackend"
    tier: str
    precision: Literal["fp32"] = "fp32"
    inputs: tuple[Literal["input_ids", "token_type_ids"], ...] = Field(min_length=1)
    vocabulary: int = Field(ge=1)
    max_tokens: int = Field(ge=1)
    pairs: bool
    width: int = Field(ge=1)
    segments: tuple[Layer, ...] = Field(min_length=1)
    programs: tuple[ProgramRecord, ...]
    golden: FileRecord

    @model_validator(mode="after")
    def _check_phone(self) -> Self:
        files = tuple(program.file for program in self.programs)
        if self.tier != self.names[0]:
            raise ValueError("tier: it must be the first of the tiers")
        if files != program_names(self.segments) or not {*files, "tokenizer.json"} <= {*self.files}:
            raise ValueError("programs: they must be those of the segments, and among the files")
        return self

    @property
    def exit0(self) -> bool:
        """Whether the phone can answer at layer 0, from the embedding layer alone."""
        return EXIT0 in self.files


@dataclass(frozen=True)
class PhoneFolder:
    """A phone folder, checked: every file is there, whole and unaltered.

    Attributes:
        path: what the export wrote.
        manifest: of the app's part.
    """

    path: Path
    manifest: PhoneManifest

    @property
    def app(self) -> Path:
        """The folder that goes into an app."""
        return self.path / self.manifest.tier

    @property
    def bytes(self) -> int:
        """Of the app's files, without the manifest."""
        return sum(record.bytes for record in self.manifest.files.values())

    @classmethod
    def open(cls, path: Path | str) -> Self:
        """Read the folder that an export wrote, and check all of it.

        Raises:
            MissingArtefactError: it is none, or a file of it is not there.
            CorruptArtefactError: the manifest or a file is not what it must be.
        """
        path = Path(path)
        app = app_folder(path)
        if app is None:
            raise MissingArtefactError(f"{path} is no phone folder; make one with: {_MADE_BY}")
        manifest = from_file(
            PhoneManifest,
            read_json(app / MANIFEST, _MADE_BY),
            f"{app / MANIFEST} is no phone's manifest",
            f"make it again with: {_MADE_BY}",
        )
        if manifest.tier != app.name:
            raise CorruptArtefactError(
                f"{app / MANIFEST} is of the tier {shown(manifest.tier, 60)}, expected that of its "
                f"folder, {shown(app.name, 60)}; make it again with: {_MADE_BY}"
            )
        for name, record in manifest.files.items():
            check_file(app, name, record)
        check_file(path, GOLDEN, manifest.golden)
        return cls(path, manifest)


def app_folder(path: Path) -> Path | None:
    """The part of a phone folder that goes into an app; None where it is no phone folder.

    A phone folder holds a folder whose manifest says that it is one, ``golden.json``, and nothing
    else, so that none of a user's files is ever taken for a part of it.
    """
    if not path.is_dir() or path.is_symlink():
        return None
    entries = [entry for entry in path.iterdir() if entry.name != GOLDEN]
    if len(entries) != 1 or not entries[0].is_dir() or entries[0].is_symlink():
        return None
    manifest = entries[0] / MANIFEST
    try:
        if not stat.S_ISREG(manifest.lstat().st_mode):
            return None
        told = read_json(manifest, _MADE_BY)
    except (OSError, CorruptArtefactError, MissingArtefactError):
        return None
    return entries[0] if isinstance(told, dict) and told.get("kind") == KIND else None


def program_names(segments: Sequence[int]) -> tuple[str, ...]:
    """Names of the programs, in the order in which they run.

    Example:
        >>> program_names((1, 2))
        ('embed.pte', 'layers-1.pte', 'layers-2.pte')
    """
    return ("embed.pte", *(f"layers-{exit_}.pte" for exit_ in segments))
