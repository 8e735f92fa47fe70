"""Fetching a bundle's archive before a server starts: the script of the chart, as a process."""

from __future__ import annotations

import hashlib
import io
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from support.charts import CHART
from support.fetching import Shelf, on_shelf
from support.tiny import Said, environment

SCRIPT = CHART / "files" / "fetch_bundle.py"
FILES = {"mine/edge/manifest.json": b"{}", "mine/edge/model.onnx": bytes(range(256)) * 9_000}


def packed(**links: str) -> bytes:
    """An archive of the files, and of links by name."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        for name, content in FILES.items():
            told = tarfile.TarInfo(name)
            told.size = len(content)
            archive.addfile(told, io.BytesIO(content))
        for name, target in links.items():
            told = tarfile.TarInfo(name)
            told.type, told.linkname = tarfile.SYMTYPE, target
            archive.addfile(told)
    return out.getvalue()


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def fetch(url: str, digest: str, folder: Path, **variables: str) -> Said:
    """Run the script as a pod does."""
    done = subprocess.run(
        [sys.executable, SCRIPT, url, digest, folder],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env=environment(**variables),
    )
    return Said(done.returncode, done.stdout, done.stderr)


def there(folder: Path) -> dict[str, bytes]:
    """Path → content of what was unpacked; nothing else may be left beside it."""
    bundle = folder / "bundle"
    assert {path.suffix for path in folder.iterdir()} <= {"", ".done"}
    return {
        path.relative_to(bundle).as_posix(): path.read_bytes()
        for path in bundle.rglob("*")
        if path.is_file()
    }


def test_an_archive_is_unpacked_and_not_fetched_twice(tmp_path: Path) -> None:
    content = packed()
    with on_shelf(Shelf(content)) as shelf:
        said = fetch(shelf.url, sha256(content), tmp_path)
        assert said.code == 0, said
        assert there(tmp_path) == FILES
        again = fetch(shelf.url, sha256(content), tmp_path)
        assert "is there already" in again.out
        assert len(shelf.asked) == 1


def test_another_archive_takes_its_place(tmp_path: Path) -> None:
    first, second = packed(), packed(**{"mine/more": "edge"})
    for content in (first, second):
        with on_shelf(Shelf(content)) as shelf:
            assert fetch(shelf.url, sha256(content), tmp_path).code == 0
    assert (tmp_path / "bundle" / "mine" / "more").is_symlink()


@pytest.mark.parametrize("ranges", [True, False])
def test_a_download_that_broke_off_goes_on(tmp_path: Path, ranges: bool) -> None:
    content = packed()
    half = len(content) // 2
    with on_shelf(Shelf(content, breaks_after=half, ranges=ranges)) as shelf:
        said = fetch(shelf.url, sha256(content), tmp_path)
        assert said.code == 1
        assert "bytes before the end" in said.err
        assert not (tmp_path / "bundle").exists()
        shelf.breaks_after = None
        assert fetch(shelf.url, sha256(content), tmp_path).code == 0
        assert shelf.asked[-1]["range"] == f"bytes={half}-"
    assert there(tmp_path) == FILES


def test_one_that_was_whole_but_not_unpacked_is_not_fetched_again(tmp_path: Path) -> None:
    content = packed()
    (tmp_path / f"{sha256(content)}.part").write_bytes(content)
    with on_shelf(Shelf(content)) as shelf:
        assert fetch(shelf.url, sha256(content), tmp_path).code == 0
    assert there(tmp_path) == FILES


def test_another_hash_is_refused_and_nothing_is_left(tmp_path: Path) -> None:
    content = packed()
    with on_shelf(Shelf(content)) as shelf:
        said = fetch(shelf.url, "0" * 64, tmp_path)
    assert said.code == 1
    assert f"got {sha256(content)}" in said.err
    assert "sha256sum" in said.err
    assert "Traceback" not in said.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "content",
    [packed(**{"mine/out": "../../../etc"}), b"no archive", packed()[:-40]],
    ids=["a way out", "no archive", "cut short"],
)
def test_what_is_no_archive_of_plain_files_is_refused(tmp_path: Path, content: bytes) -> None:
    with on_shelf(Shelf(content)) as shelf:
        said = fetch(shelf.url, sha256(content), tmp_path)
    assert said.code == 1
    assert "the archive cannot be unpacked" in said.err
    assert "Traceback" not in said.err
    assert not (tmp_path / "bundle").exists()


def test_the_header_is_sent_and_shown_nowhere(tmp_path: Path) -> None:
    content = packed()
    with on_shelf(Shelf(content, authorization="Bearer key-of-mine")) as shelf:
        refused = fetch(shelf.url, sha256(content), tmp_path)
        assert refused.code == 1
        assert "answered 401" in refused.err
        said = fetch(
            shelf.url, sha256(content), tmp_path, BUNDLE_AUTHORIZATION="Bearer key-of-mine"
        )
    assert said.code == 0
    assert "key-of-mine" not in said.out + said.err


def test_a_server_that_is_not_there_is_said(tmp_path: Path) -> None:
    said = fetch("http://127.0.0.1:9/mine.tar.gz", "0" * 64, tmp_path)
    assert said.code == 1
    assert "could not be fetched" in said.err
    assert "Traceback" not in said.err
