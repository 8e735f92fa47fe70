"""What is pushed of a folder: each file by the name that it gets, and what stays at home, and why.

Only files that are known to hold nothing but results go along. Texts of the user's rows stay here
unless they are asked for, and paths of this machine are taken out of the files that name them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from safetensors import SafetensorError

from dimec.base.errors import ConfigError, CorruptArtefactError, MissingArtefactError
from dimec.bundle.folders import is_whole
from dimec.hub.listing import Holds
from dimec.publishing.of_bundle import bundle_files
from dimec.publishing.of_run import run_files
from dimec.publishing.of_traces import traces_files
from dimec.runs.paths import RunPaths
from dimec.traces.card import FILE


@dataclass(frozen=True)
class Parcel:
    """What is to be pushed.

    Attributes:
        holds: ``run``, ``bundle`` or ``traces``.
        folder: that it was made of.
        files: name on the hub → the file here.
        left_out: what is not pushed → why.
    """

    holds: Holds
    folder: Path
    files: Mapping[str, Path]
    left_out: Mapping[str, str] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(path.stat().st_size for path in self.files.values())


def kind_of(folder: Path) -> Holds:
    """What a folder holds.

    Raises:
        MissingArtefactError: no such folder.
        ConfigError: nothing that can be pushed.
    """
    if not folder.is_dir():
        raise MissingArtefactError(f"{folder} is no folder; give that of a run, bundle or traces")
    if RunPaths(folder).training_path.is_file():
        return "run"
    if is_whole(folder):
        return "bundle"
    if (folder / FILE).is_file() or next(folder.glob(f"*/*/*/{FILE}"), None):
        return "traces"
    raise ConfigError(
        f"{folder} is none of what can be pushed: a run directory (training.json), a whole bundle "
        f"(manifest.json of dimec export), or traces ({FILE})"
    )


def packed(folder: Path, workspace: Path, *, texts: bool = False) -> Parcel:
    """What is to be pushed of a folder.

    Args:
        folder: a run directory, a bundle, or traces with their card, one or a collection of them.
        workspace: where files go that have to be written anew; it must outlive the parcel.
        texts: whether texts of the user's rows go along: those that export compares models on,
            and the golden vectors of a bundle.

    Raises:
        ConfigError: none of them, or nothing that can be pushed in it.
        ArtefactError: it is damaged.
    """
    holds = kind_of(folder)
    make = {"run": run_files, "bundle": bundle_files, "traces": traces_files}[holds]
    try:
        files, left_out = make(folder, workspace, texts)
    except (ValueError, SafetensorError) as error:
        raise CorruptArtefactError(f"a file of {folder} cannot be read ({error})") from None
    for name, path in files.items():
        if path.is_symlink() or not path.is_file():
            raise CorruptArtefactError(f"{name} of {folder} is a link or no plain file")
    return Parcel(holds, folder, files, left_out)
