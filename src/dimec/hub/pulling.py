"""Pull: a run, a bundle or traces from the hub, whole and checked or not at all.

Files come into ``.OUT.pull`` beside the target. One that is broken off stays there as
``FILE.part``, and the same command goes on behind its last byte. Only when every file has the
size and the hash that are announced does the target appear.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from dimec.base.errors import (
    ArtefactError,
    ConfigError,
    CorruptArtefactError,
    HubError,
    StorageError,
)
from dimec.base.progress import NoProgress, Progress
from dimec.base.storage import file_sha256, read_json, write_json
from dimec.base.storage_folders import atomic_folder, take_lock
from dimec.bundle.folders import verify_bundle
from dimec.hub.asking import Announced, Hub
from dimec.hub.listing import CARD, LARGEST_LISTING, LISTING, ORIGIN, Listing, read_listing
from dimec.hub.names import HubName


@dataclass(frozen=True)
class Pulled:
    """What was pulled.

    Attributes:
        folder: where it is.
        name: of it, at the commit.
        commit: that its revision stood for.
        holds: ``run``, ``bundle`` or ``traces``.
        files, bytes: how much.
        there: whether it was there already, and nothing was fetched.
    """

    folder: Path
    name: HubName
    commit: str
    holds: str
    files: int
    bytes: int
    there: bool


def pull(
    name: HubName, out: Path, *, token: str | None = None, progress: Progress | None = None
) -> Pulled:
    """Pull what a name stands for into a folder.

    Args:
        name: with or without a revision; the commit that it stands for is written beside the files,
            into ``hub.json``.
        out: a folder that is not there, or is empty, or holds the same already.
        token: in place of ``HF_TOKEN`` or of the client's login.
        progress: where to report to.

    Raises:
        ConfigError: ``out`` holds something else.
        HubError: the hub has no such thing, or nothing that dimec pushed, or does not answer.
        CorruptArtefactError: it is not what is announced, or names files that it may not.
        StorageError: too little room, or the disk refuses.
        RunBusyError: another process pulls to the same folder.
        MissingExtraError: the hub's client is not installed.
    """
    if name.inside:
        raise ConfigError(f"pull takes all of {name.repo}; its folder {name.inside} is in it")
    progress = progress or NoProgress()
    out = Path(out).absolute()
    _check_free(out)
    hub = Hub(token)
    commit = hub.commit(name)
    pinned = name.at(commit)
    if out.exists() and any(out.iterdir()):
        return _same(out, pinned, commit)
    parts = out.with_name(f".{out.name}.pull")
    out.parent.mkdir(parents=True, exist_ok=True)
    lock = take_lock(
        out.with_name(f".{out.name}.pull.lock"),
        f"{out} is being pulled by another process; wait for it to end, or choose another folder",
    )
    try:
        folder = _parts_of(parts, commit)
        listing = _fetch_all(hub, name, commit, folder, progress)
        _put(listing, folder, out, _origin(hub, name, commit))
        shutil.rmtree(parts, ignore_errors=True)
    finally:
        Path(lock.lock_file).unlink(missing_ok=True)
        lock.release()
    return Pulled(out, pinned, commit, listing.holds, len(listing.files), listing.size, False)


def _check_free(out: Path) -> None:
    """Before anything is asked: whether the target may be one."""
    if out.is_symlink() or (out.exists() and not out.is_dir()):
        raise ConfigError(f"{out} is no folder; choose another one")
    if out.exists() and any(out.iterdir()) and not (out / ORIGIN).is_file():
        raise ConfigError(f"{out} holds something else already; choose another folder")


def _same(out: Path, name: HubName, commit: str) -> Pulled:
    """What a folder holds, where it is this very commit and unaltered.

    Raises:
        ConfigError: it is not.
    """
    origin = read_json(out / ORIGIN, "dimec pull")
    kept = origin if isinstance(origin, dict) else {}
    if (kept.get("repo"), kept.get("commit")) != (name.repo, commit):
        raise ConfigError(
            f"{out} holds {kept.get('repo')} at {str(kept.get('commit'))[:12]} already, and not "
            f"{name.repo} at {commit[:12]}; choose another folder"
        )
    try:
        listing = read_listing(out / LISTING)
    except (OSError, ArtefactError):
        raise _altered(out) from None
    for file, record in listing.files.items():
        path = out / file
        if not path.is_file() or file_sha256(path) != record.sha256:
            raise _altered(out)
    return Pulled(out, name, commit, listing.holds, len(listing.files), listing.size, True)


def _altered(out: Path) -> ConfigError:
    return ConfigError(f"{out} was altered after it was pulled; pull into another folder")


def _parts_of(parts: Path, commit: str) -> Path:
    """The folder for what has come of a commit; that of another commit is discarded."""
    if parts.is_symlink():
        raise StorageError(f"{parts} is a link; remove it")
    folder = parts / commit
    if parts.exists():
        for other in parts.iterdir():
            if other != folder:
                shutil.rmtree(other, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _fetch_all(hub: Hub, name: HubName, commit: str, folder: Path, progress: Progress) -> Listing:
    """All files of a commit, each checked; returns the listing that names them."""
    first = hub.announced(name, commit, [LISTING, CARD])
    if LISTING not in first:
        raise HubError(
            f"{name.repo} has no {LISTING}, so dimec did not push it; only runs, bundles and "
            "traces of dimec push can be pulled"
        )
    for file, said in first.items():
        if said.bytes > LARGEST_LISTING:
            raise CorruptArtefactError(f"{file} of {name.repo} is far too large ({said.bytes:,})")
        hub.fetch(name, commit, file, folder / file, said, lambda some: None)
    listing = Listing.read((folder / LISTING).read_bytes(), f"{LISTING} of {name.repo}")
    announced = hub.announced(name, commit, list(listing.files))
    _check_announced(name, listing, announced)
    _check_room(folder, listing.size)
    progress.start(f"pulling {name.repo}", listing.size)
    for file, said in announced.items():
        hub.fetch(name, commit, file, folder / file, said, progress.advance)
        if file_sha256(folder / file) != listing.files[file].sha256:
            (folder / file).unlink()
            raise CorruptArtefactError(
                f"{file} of {name.repo} is not what {LISTING} says (its hash differs); it was "
                "changed after it was pushed: have it pushed again"
            )
    progress.end()
    return listing


def _check_announced(name: HubName, listing: Listing, announced: Mapping[str, Announced]) -> None:
    """Nothing is fetched where the hub announces other files than the listing names."""
    for file, record in listing.files.items():
        said = announced.get(file)
        if said is None:
            raise CorruptArtefactError(f"{name.repo} lacks {file}; have it pushed again")
        if said.bytes != record.bytes or said.sha256 not in (None, record.sha256):
            raise CorruptArtefactError(
                f"{file} of {name.repo} is announced with {said.bytes:,} bytes and is not what "
                f"{LISTING} says ({record.bytes:,} bytes); have it pushed again"
            )


def _check_room(folder: Path, size: int) -> None:
    free = shutil.disk_usage(folder).free
    if size > free:
        raise StorageError(
            f"{size / 1e6:,.0f} MB are to come, and {folder} has room for {free / 1e6:,.0f} MB; "
            "free some space, or choose another folder"
        )


def _origin(hub: Hub, name: HubName, commit: str) -> dict[str, str]:
    """Where it comes from, as is written beside it."""
    told = {"repo": name.repo, "type": name.kind, "revision": name.wanted, "commit": commit}
    return {**told, "endpoint": hub.endpoint}


def _put(listing: Listing, parts: Path, out: Path, origin: Mapping[str, str]) -> None:
    """Have the target appear with all its files at once."""
    beside = [file for file in (LISTING, CARD) if (parts / file).exists()]
    with atomic_folder(out) as whole:
        for file in [*listing.files, *beside]:
            target = whole / file
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                os.link(parts / file, target)
            except OSError:  # a file system without links
                shutil.copyfile(parts / file, target)
        write_json(whole / ORIGIN, dict(origin))
        if listing.holds == "bundle":
            verify_bundle(whole)


def as_json(pulled: Pulled) -> dict[str, object]:
    """JSON values of what was pulled."""
    return {**asdict(pulled), "folder": str(pulled.folder), "name": str(pulled.name)}
