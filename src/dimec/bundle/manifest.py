"""The bundle: one folder a tier, each with all that this tier needs and nothing else.

::

    manifest.json            the whole: tiers, provenance, sha256 of every file below
    mobile/manifest.json     each tier's folder can be moved alone, so it has a manifest of its own
    mobile/embed.onnx        token ids → embeddings, and their pooled mean (what the router sees)
    mobile/layers-1.onnx …   hidden states → those behind the next exit, and its probabilities;
                             the last, layers-M.onnx, ends at exit m
    mobile/tokenizer.json
    mobile/policy.json       where an input goes (:mod:`dimec.policies.kinds`), with its arrays
    mobile/policy.safetensors
    edge/manifest.json, edge/model.onnx
    cloud/manifest.json, cloud/model.onnx

These are the paper's three tiers; a tier's folder has the name of the tier. The first is the
device: it has the tokenizer, the policy, and layers that are cut. Every other has one graph to be
served.

Beside each ``.onnx`` lies its ``.onnx.data`` with the large tensors, one ``layers.onnx.data`` for
all of the device's layers. onnxruntime maps them into memory in place of copying them: those of a
private copy, see :mod:`dimec.base.held`.

Nothing in a bundle is a pickle. A manifest names plain files in its own folder only, each with its
size and hash, and both are checked before a file is used. A graph may read no file beside it that
the manifest does not name.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import re
import stat
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    StringConstraints,
    ValidationError,
    model_validator,
)

from dimec.base.errors import (
    ArtefactError,
    ConfigError,
    CorruptArtefactError,
    MissingArtefactError,
    quoted,
    shown,
)
from dimec.base.held import Held, held_copy, read_held
from dimec.base.storage import file_sha256, parse_json, write_json
from dimec.tiers.deployment import Deployment
from dimec.tiers.tier import Tier

MANIFEST = "manifest.json"
_MADE_BY = "dimec export"
_LARGEST_MANIFEST = 1 << 20  # bytes; a real one has 2,000
# A name, never a path: no separator, no drive, no leading dot.
_PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}\Z")
# Far beyond any text classifier, and few enough that no manifest can ask for all the memory.
_MOST_LAYERS, _MOST_TOKENS, _MOST_WIDE, _MOST_WORDS = 10_000, 1 << 17, 1 << 16, 1 << 24

Precision = Literal["fp32", "int8"]
Digest = Annotated[str, StringConstraints(pattern=r"\A[0-9a-f]{64}\z")]
# 2: the device's layers are cut after each exit that it may stop at. 3: any tiers, any policy.
FORMAT: Literal[3] = 3
_MOST_TIERS = 16
Layer = Annotated[int, Field(ge=1, le=_MOST_LAYERS)]
Version = Annotated[str, StringConstraints(pattern=r"\A[1-9][0-9]{0,17}\z")]


_M = TypeVar("_M", bound=BaseModel)


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def _refuse(problems: Mapping[str, bool]) -> None:
    """Raise ValueError with the first problem that is there."""
    for problem, there in problems.items():
        if there:
            raise ValueError(problem)


class FileRecord(_Frozen):
    """What a file of a bundle must be."""

    sha256: Digest
    bytes: int = Field(ge=0)


class TierRecord(_Frozen):
    """A tier as :class:`dimec.tiers.tier.Tier` has it, and the version of what it computes."""

    name: str
    layer: Layer
    layer_price: float
    send_price: float
    visit_price: float
    source: str = Field("", max_length=64)
    version: Version

    @property
    def tier(self) -> Tier:
        """The tier itself.

        Raises:
            ConfigError: no tier can be so.
        """
        return Tier(**self.model_dump(exclude={"version"}))


class _Shared(_Frozen):
    """What the manifests of a bundle and of its tiers have in common."""

    tiers: tuple[TierRecord, ...] = Field(min_length=1, max_length=_MOST_TIERS)
    labels: tuple[str, ...] = Field(min_length=1)
    provenance: dict[str, JsonValue]
    files: dict[str, FileRecord]

    @model_validator(mode="after")
    def _check_shared(self) -> Self:
        _refuse({"labels: two are the same": len(set(self.labels)) < len(self.labels)})
        try:
            # NaN, an infinity such as 1e999, or half a surrogate pair: no answer could hold it.
            whole = [self.labels, self.provenance]
            json.dumps(whole, allow_nan=False, ensure_ascii=False).encode("utf-8")
        except (ValueError, RecursionError) as error:
            raise ValueError(f"labels and provenance: no text or JSON ({error})") from None
        try:
            _ = self.deployment
        except ConfigError as error:
            raise ValueError(str(error)) from None
        return self

    @property
    def deployment(self) -> Deployment:
        """The tiers with their prices, in order."""
        return Deployment(tuple(record.tier for record in self.tiers))

    @property
    def names(self) -> tuple[str, ...]:
        """Of the tiers, in order."""
        return tuple(record.name for record in self.tiers)

    @property
    def exits(self) -> tuple[int, ...]:
        """The layer at whose exit each tier answers."""
        return tuple(record.layer for record in self.tiers)

    @property
    def versions(self) -> dict[str, str]:
        """The version of every tier of the same export, by name."""
        return {record.name: record.version for record in self.tiers}


class TierManifest(_Shared):
    """What one tier's folder holds.

    Attributes:
        tier: the name of this tier.
        tiers: of the whole bundle, each with its version, see :func:`tier_version`.
        precision: of the graphs' weights.
        labels: names of the C classes.
        inputs: names of the tensors that a tier's model takes, each (B, T) int64.
        vocabulary: token ids are 0 … vocabulary - 1.
        max_tokens: the longest input, in tokens.
        padding: the token id that fills up a batch.
        pairs: whether an input is a pair of texts.
        width: D, the width of an embedding.
        provenance: model fingerprint, task, backbone, versions of packages, date.
        files: name → size and hash of every other file in the folder.
        segments: the layers after which the first tier's layers are cut, ascending, the last its
            exit; none on a tier that runs as a whole.
    """

    kind: Literal["dimec tier"] = "dimec tier"
    format: Literal[3] = FORMAT
    tier: str
    precision: Precision
    inputs: tuple[Literal["input_ids", "attention_mask", "token_type_ids"], ...]
    vocabulary: int = Field(ge=1, le=_MOST_WORDS)
    max_tokens: int = Field(ge=1, le=_MOST_TOKENS)
    padding: int = Field(ge=0)
    pairs: bool
    width: int = Field(ge=1, le=_MOST_WIDE)
    segments: tuple[Layer, ...] = ()

    @model_validator(mode="after")
    def _check_tier(self) -> Self:
        _refuse({"tier: it must be one of the tiers": self.tier not in self.names})
        problems = {
            "padding: it must be below the vocabulary": self.padding >= self.vocabulary,
            "inputs: two are the same": len(set(self.inputs)) < len(self.inputs),
            "segments: the first tier has them, and no other": (
                bool(self.segments) != self.is_first
            ),
            "segments: they must go from shallow to deep, up to the exit": (
                bool(self.segments)
                and (
                    any(b <= a for a, b in itertools.pairwise(self.segments))
                    or self.segments[-1] != self.exit
                )
            ),
        }
        _refuse(problems)
        return self

    @property
    def is_first(self) -> bool:
        """Whether this is the device, where inputs arrive."""
        return self.tier == self.names[0]

    @property
    def version(self) -> str:
        """Of the function that this tier computes."""
        return self.versions[self.tier]

    @property
    def exit(self) -> int:
        """The layer whose classifier answers here."""
        return self.exits[self.names.index(self.tier)]

    @property
    def graphs(self) -> tuple[str, ...]:
        """Names of the graph files, in the order in which they run."""
        return graph_names(self.segments)


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


class BundleManifest(_Shared):
    """What a whole bundle holds; ``files`` has paths of the form ``tier/name``."""

    kind: Literal["dimec bundle"] = "dimec bundle"
    format: Literal[3] = FORMAT


def graph_names(segments: Sequence[int]) -> tuple[str, ...]:
    """Names of a tier's graph files, in the order in which they run.

    Args:
        segments: see :class:`TierManifest`.
    """
    if not segments:
        return ("model.onnx",)
    return ("embed.onnx", *(f"layers-{exit_}.onnx" for exit_ in segments))


def tier_version(model: str, exit_: int, precision: str) -> str:
    """The version of a tier's model: the same for the same function, another for any other.

    Decimal digits below 2^48, since Triton takes whole numbers only as versions.

    Args:
        model: fingerprint of the trained model.
        exit_: the layer whose classifier answers.
        precision: ``fp32`` or ``int8``.
    """
    digest = hashlib.sha256(json.dumps([model, exit_, precision]).encode()).hexdigest()
    return str(int(digest[:12], 16) + 1)


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
    def open(cls, path: Path | str, tier: str | None = None) -> TierBundle:
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
            _check_file(path, name, record)
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


def verify_bundle(path: Path | str) -> tuple[BundleManifest, dict[str, TierBundle]]:
    """Check a whole bundle: its manifest, and every tier's folder.

    Raises:
        ArtefactError: something is missing or not what it must be.
    """
    path, manifest = Path(path), read_manifest(path)
    for name, record in manifest.files.items():
        tier, _, file = name.partition("/")
        if tier not in manifest.names:
            raise CorruptArtefactError(f"{path / MANIFEST} names {quoted(name, 60)}, of no tier")
        if (path / tier).is_symlink():
            raise CorruptArtefactError(f"{path / tier} is a link; a bundle holds its own folders")
        _check_file(path / tier, file, record)
    tiers = {tier: TierBundle.open(path / tier, tier) for tier in manifest.names}
    for tier, bundle in tiers.items():
        if bundle.manifest.tiers != manifest.tiers:
            raise CorruptArtefactError(
                f"{path / tier} is of another export than {path / MANIFEST}; make the bundle again "
                f"with: {_MADE_BY}"
            )
    return manifest, tiers


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
    if not path.is_dir():
        raise MissingArtefactError(f"{path} is no bundle folder; make one with: {_MADE_BY}")


def _parse(model: type[_M], path: Path) -> _M:
    _check_plain(path)
    with path.open("rb") as stream:
        content = stream.read(_LARGEST_MANIFEST + 1)
    if len(content) > _LARGEST_MANIFEST:
        raise CorruptArtefactError(f"{path} is far too large for a manifest")
    value: Any = parse_json(content, path, _MADE_BY)
    earlier = value.get("format") if isinstance(value, dict) else None
    if type(earlier) is int and 0 < earlier < FORMAT:
        raise CorruptArtefactError(
            f"{path} is no manifest that this version of dimec reads: it is of format {earlier}, "
            f"and this version reads {FORMAT}; make the bundle again with: {_MADE_BY}"
        )
    try:
        manifest = model.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = shown(".".join(map(str, first["loc"])) or "the whole", 60)
        problem = shown(first["msg"], 120)
        raise CorruptArtefactError(
            f"{path} is no manifest that this version of dimec reads ({where}: {problem}); "
            f"make the bundle again with: {_MADE_BY}"
        ) from None
    return manifest


def _check_file(folder: Path, name: str, record: FileRecord) -> None:
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
        raise CorruptArtefactError(f"{file} cannot be read: {error.strerror}") from None
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
        raise CorruptArtefactError(f"{file} cannot be read: {error.strerror}") from None
    if not stat.S_ISREG(mode):
        kind = "a link" if stat.S_ISLNK(mode) else "no plain file"
        raise CorruptArtefactError(f"{file} is {kind}; a bundle holds plain files only")


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
    others = {entry.name for entry in folder.iterdir()} - {MANIFEST, *manifest.files}
    for graph in sorted(name for name in manifest.files if others and name.endswith(".onnx")):
        content = (folder / graph).read_bytes().lower()
        for other in sorted(others):
            if os.fsencode(other).lower() in content:
                raise CorruptArtefactError(
                    f"{folder / graph} reads {other!r}, which {folder / MANIFEST} does not name; "
                    f"make the bundle again with: {_MADE_BY}"
                )
