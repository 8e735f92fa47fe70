"""The folders of a bundle: read, and checked against what their manifests say, file by file."""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypeVar

from pydantic import BaseModel

from dimec.base.errors import (
    ArtefactError,
    CorruptArtefactError,
    MissingArtefactError,
    quoted,
)
from dimec.base.held import Held, held_copy, read_held
from dimec.base.storage import file_sha256, parse_json, write_json
from dimec.base.validating import from_file
from dimec.bundle.manifest import (
    FORMAT,
    GOLDEN,
    MANIFEST,
    BundleManifest,
    FileRecord,
    TierManifest,
)

_MADE_BY = "dimec export"
_LARGEST_MANIFEST = 1 << 20  # bytes; a real one has 2,000
# A name, never a path: no separator, no drive, no leading dot.
_PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}\Z")

_M = TypeVar("_M", bound=BaseModel)


def is_whole(path: Path | str) -> bool:
    """Whether a folder holds a whole bundle, and not one tier's part of it.

    False also where there is no manifest that can be read.
    """
    try:
        _check_plain(Path(path) / MANIFEST)  # of a pipe no end may come
        with (Path(path) / MANIFEST).open("rb") as stream:
            record = json.loads(stream.read(_LARGEST_MANIFEST))
    except (ArtefactError, OSError, ValueError, RecursionError):
        return False
    return (
        isinstance(record, dict)
        and record.get("kind") == BundleManifest.model_fields["kind"].default
    )


@dataclass(frozen=True)
class TierBundle:
    """A tier's folder, checked: every file that its manifest names is there, whole and unaltered.

    Example (not run, needs a bundle):
        >>> tier = TierBundle.open("bundles/mine/edge")  # doctest: +SKIP
        >>> tier.file("model.onnx")  # doctest: +SKIP
        PosixPath('bundles/mine/edge/model.onnx')
    """

    path: Path
    manifest: TierManifest

    @classmethod
    def open(cls, path: Path | str, tier: str | None = None) -> Self:
        """Read a tier's folder and check every file against its size and hash.

        Args:
            path: the folder.
            tier: the tier that it must be, or None for any.

        Raises:
            MissingArtefactError: no such folder, or a file of it is not there.
            CorruptArtefactError: the manifest or a file is not what it must be.
        """
        path = Path(path)
        _check_folder(path)
        manifest = _parse(TierManifest, path / MANIFEST)
        if tier is not None and manifest.tier != tier:
            raise CorruptArtefactError(
                f"{path} is the bundle of the {manifest.tier} tier, expected the {tier} tier's; "
                f"give the folder {tier}/ of the export"
            )
        for name, record in manifest.files.items():
            check_file(path, name, record)
        _check_graphs(path, manifest)
        _check_others(path, manifest)
        return cls(path, manifest)

    def file(self, name: str) -> Path:
        """Path of a file that the manifest names.

        Raises:
            CorruptArtefactError: the manifest names no such file.
        """
        if name not in self.manifest.files:
            raise CorruptArtefactError(
                f"{self.path / MANIFEST} names no {name}; make the bundle again with: {_MADE_BY}"
            )
        return self.path / name

    def read(self, name: str) -> bytes:
        """The content of a file, checked as it is read.

        Raises:
            CorruptArtefactError: as :meth:`file`, or it is no longer what the manifest says.
        """
        return read_held(self.file(name), self.manifest.files[name].sha256)

    def hold(self) -> AbstractContextManager[Held]:
        """Private copies of the graphs' files, to load them from; see :mod:`dimec.base.held`.

        Raises:
            CorruptArtefactError: a file is no longer what the manifest says.
        """
        read_whole = (".json", ".safetensors")
        graphs = {n: r.sha256 for n, r in self.manifest.files.items() if not n.endswith(read_whole)}
        return held_copy(self.path, graphs)

    @property
    def size(self) -> int:
        """Bytes on disk of all files but the manifest."""
        return sum(record.bytes for record in self.manifest.files.values())


def read_manifest(path: Path | str) -> BundleManifest:
    """The manifest of a whole bundle, of which no file is looked at yet.

    Raises:
        ArtefactError: it is missing or not what it must be.
    """
    _check_folder(Path(path))
    return _parse(BundleManifest, Path(path) / MANIFEST)


def open_mobile_bundle(path: Path | str) -> TierBundle:
    """The first tier's bundle: in the folder itself, or in its folder below.

    Raises:
        ArtefactError: there is none, it is damaged, or it is another tier's.
    """
    path = Path(path)
    if is_whole(path):
        path = path / read_manifest(path).names[0]
    bundle = TierBundle.open(path)
    if not bundle.manifest.is_first:
        first = bundle.manifest.names[0]
        raise CorruptArtefactError(
            f"{path} is the bundle of the {bundle.manifest.tier} tier, expected the {first} "
            f"tier's; give the folder {first}/ of the export"
        )
    return bundle


def verify_bundle(path: Path | str) -> tuple[BundleManifest, dict[str, TierBundle]]:
    """Check a whole bundle: its manifest, and every tier's folder.

    Raises:
        ArtefactError: something is missing or not what it must be.
    """
    path, manifest = Path(path), read_manifest(path)
    for name, record in manifest.files.items():
        tier, _, file = name.partition("/")
        if name == GOLDEN:
            check_file(path, name, record)
            continue
        if tier not in manifest.names:
            raise CorruptArtefactError(f"{path / MANIFEST} names {quoted(name, 60)}, of no tier")
        if (path / tier).is_symlink():
            raise CorruptArtefactError(f"{path / tier} is a link; a bundle holds its own folders")
        check_file(path / tier, file, record)
    tiers = {tier: TierBundle.open(path / tier, tier) for tier in manifest.names}
    _check_together(path, manifest, tiers)
    return manifest, tiers


def _check_together(path: Path, manifest: BundleManifest, tiers: Mapping[str, TierBundle]) -> None:
    """Refuse tiers of another export, and one that the first tier's token ids are not for."""
    first = tiers[manifest.names[0]].manifest
    for tier, bundle in tiers.items():
        own = bundle.manifest
        if (own.tiers, own.labels, own.pairs) != (manifest.tiers, manifest.labels, first.pairs):
            raise CorruptArtefactError(
                f"{path / tier} is of another export than {path / MANIFEST}; make the bundle again "
                f"with: {_MADE_BY}"
            )
        ids = [(one.inputs, one.max_tokens, one.padding) for one in (own, first)]
        if own.takes == "tokens" and ids[0] != ids[1]:
            raise CorruptArtefactError(
                f"{path / tier} is to take the token ids of {path / first.tier}, and has other "
                f"inputs, another length or padding; make the bundle again with: {_MADE_BY}"
            )


def file_records(folder: Path, *, manifest: bool = False) -> dict[str, FileRecord]:
    """Size and hash of every file in a tier's folder by name; its manifest only if asked for."""
    return {
        file.name: FileRecord(sha256=file_sha256(file), bytes=file.stat().st_size)
        for file in sorted(folder.iterdir())
        if file.is_file() and (manifest or file.name != MANIFEST)
    }


def write_manifest(folder: Path, manifest: TierManifest | BundleManifest) -> None:
    """Write the manifest of a folder, atomically."""
    write_json(folder / MANIFEST, manifest.model_dump(mode="json"))


def _check_folder(path: Path) -> None:
    try:
        there = path.is_dir()
    except OSError as error:  # a name too long, a folder around it that cannot be entered
        raise _unreadable(path, error) from None
    if not there:
        raise MissingArtefactError(f"{path} is no bundle folder; make one with: {_MADE_BY}")


def _parse(model: type[_M], path: Path) -> _M:
    _check_plain(path)
    try:
        with path.open("rb") as stream:
            content = stream.read(_LARGEST_MANIFEST + 1)
    except OSError as error:
        raise _unreadable(path, error) from None
    if len(content) > _LARGEST_MANIFEST:
        raise CorruptArtefactError(f"{path} is far too large for a manifest")
    value: Any = parse_json(content, path, _MADE_BY)
    earlier = value.get("format") if isinstance(value, dict) else None
    if type(earlier) is int and 0 < earlier < FORMAT:
        raise CorruptArtefactError(
            f"{path} is no manifest that this version of dimec reads: it is of format {earlier}, "
            f"and this version reads {FORMAT}; make the bundle again with: {_MADE_BY}"
        )
    return from_file(
        model, value, f"{path} is no manifest", f"make the bundle again with: {_MADE_BY}"
    )


def check_file(folder: Path, name: str, record: FileRecord) -> None:
    if not _PLAIN.match(name):
        raise CorruptArtefactError(
            f"{folder / MANIFEST} names the file {quoted(name, 120)}; only plain names in its "
            "own folder are allowed"
        )
    file = folder / name
    _check_plain(file)
    try:
        sound = file.stat().st_size == record.bytes and file_sha256(file) == record.sha256
    except OSError as error:
        raise _unreadable(file, error) from None
    if not sound:
        raise CorruptArtefactError(
            f"{file} was altered or truncated after it was exported (its size or hash does not "
            f"match the manifest); copy it again, or make the bundle again with: {_MADE_BY}"
        )


def _check_plain(file: Path) -> None:
    """A link, a pipe or a device is never opened: it may lead elsewhere, block, or have no end."""
    try:
        mode = file.lstat().st_mode
    except FileNotFoundError:
        raise MissingArtefactError(f"{file} does not exist; make it with: {_MADE_BY}") from None
    except OSError as error:
        raise _unreadable(file, error) from None
    if not stat.S_ISREG(mode):
        kind = "a link" if stat.S_ISLNK(mode) else "no plain file"
        raise CorruptArtefactError(f"{file} is {kind}; a bundle holds plain files only")


def _unreadable(path: Path, error: OSError) -> CorruptArtefactError:
    return CorruptArtefactError(f"{path} cannot be read: {error.strerror}")


def _check_graphs(folder: Path, manifest: TierManifest) -> None:
    """Refuse a segment too many: where it is left out, the others take other hidden states."""
    known = set(manifest.graphs)
    for name in sorted(manifest.files):
        if name.startswith("layers-") and name.endswith(".onnx") and name not in known:
            raise CorruptArtefactError(
                f"{folder / MANIFEST} names {name}, but its segments end at the layers "
                f"{', '.join(map(str, manifest.segments)) or '(none)'}; make the bundle again "
                f"with: {_MADE_BY}"
            )


def _check_others(folder: Path, manifest: TierManifest) -> None:
    """Refuse files that no hash vouches for where a graph speaks of them: it would read them.

    A graph names the files of its tensors in plain UTF-8; so a name that does not occur in it,
    in whatever case, is none of them.
    """
    try:
        others = {entry.name for entry in folder.iterdir()} - {MANIFEST, *manifest.files}
    except OSError as error:
        raise _unreadable(folder, error) from None
    for graph in sorted(name for name in manifest.files if others and name.endswith(".onnx")):
        try:
            content = (folder / graph).read_bytes().lower()
        except OSError as error:
            raise _unreadable(folder / graph, error) from None
        for other in sorted(others):
            if os.fsencode(other).lower() in content:
                raise CorruptArtefactError(
                    f"{folder / graph} reads {other!r}, which {folder / MANIFEST} does not name; "
                    f"make the bundle again with: {_MADE_BY}"
                )
