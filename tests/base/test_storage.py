"""Files are whole or not there; what was altered is refused."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dimec.base.errors import CorruptArtefactError, MissingArtefactError, StorageError
from dimec.base.storage import (
    atomic_path,
    atomic_write,
    file_sha256,
    load_arrays,
    read_json,
    save_arrays,
    storage_errors,
    write_json,
)
from support.builders import json_values


def listing(folder: Path) -> list[str]:
    """Every name in a folder, hidden ones too."""
    return sorted(os.listdir(folder))  # noqa: PTH208


# --- Writing -------------------------------------------------------------------------------------


@given(st.binary(max_size=200) | st.text(st.characters(codec="utf-8"), max_size=50))
def test_content_arrives_as_given(content: bytes | str) -> None:
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "new" / "folders" / "file"
        atomic_write(path, "old")
        atomic_write(path, content)
        expected = content.encode() if isinstance(content, str) else content
        assert path.read_bytes() == expected
        assert listing(path.parent) == ["file"]


def test_a_file_is_readable_as_any_other(tmp_path: Path) -> None:
    """Temporary files of the standard library are closed to all but their owner; these are not."""
    (tmp_path / "plain").touch()
    atomic_write(tmp_path / "text", "")
    save_arrays(tmp_path / "arrays", "test", {"x": np.zeros(2)}, {})
    modes = {stat.S_IMODE((tmp_path / name).stat().st_mode) for name in listing(tmp_path)}
    assert len(modes) == 1


def test_a_link_is_replaced_and_its_target_kept(tmp_path: Path) -> None:
    (tmp_path / "target").write_text("kept")
    (tmp_path / "link").symlink_to("target")
    atomic_write(tmp_path / "link", "new")
    assert (tmp_path / "link").read_text() == "new"
    assert (tmp_path / "target").read_text() == "kept"


def test_readers_see_the_old_file_until_the_new_one_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    atomic_write(path, "old")
    seen: list[bytes] = []
    fsync = os.fsync

    def watch(handle: int) -> None:
        seen.append(path.read_bytes())
        fsync(handle)

    monkeypatch.setattr(os, "fsync", watch)
    atomic_write(path, "new")
    # The file's own flush comes before the rename, the folder's after it.
    assert seen == [b"old", b"new"]


@pytest.mark.parametrize(
    "code", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS, errno.EACCES]
)
def test_a_refusal_leaves_the_old_file_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    path = tmp_path / "file"
    atomic_write(path, "old")

    def refuse(handle: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(StorageError, match="file") as caught:
        atomic_write(path, "new")
    caught.match(os.strerror(code))
    remedy = "free some space" if code in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG) else "choose"
    caught.match(remedy)
    assert path.read_text() == "old"
    assert listing(tmp_path) == ["file"]


def test_an_interrupt_leaves_the_old_file_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    atomic_write(path, "old")

    def interrupt(handle: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        atomic_write(path, "new")
    assert path.read_text() == "old"
    assert listing(tmp_path) == ["file"]


FULL_DISK = """
import resource, sys
from pathlib import Path
import numpy as np
from dimec.base.errors import StorageError
from dimec.base.storage import atomic_write, save_arrays

path = Path(sys.argv[1])
write = {
    "bytes": lambda: atomic_write(path, bytes(100_000)),
    "arrays": lambda: save_arrays(path, "test", {"x": np.zeros(100_000)}, {}),
}[sys.argv[2]]
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
try:
    write()
except StorageError as error:
    print(error)
    sys.exit(3)
"""


@pytest.mark.parametrize("what", ["bytes", "arrays"])
def test_a_process_that_may_write_no_more_leaves_the_old_file_alone(
    tmp_path: Path, what: str
) -> None:
    """The operating system itself stops the write halfway, as it does on a full disk."""
    path = tmp_path / "file"
    save_arrays(path, "test", {"x": np.arange(3)}, {})
    command = [sys.executable, "-c", FULL_DISK, str(path), what]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 3, done.stderr
    assert str(path) in done.stdout
    assert "free some space" in done.stdout
    assert load_arrays(path, "test", "make")[0]["x"].tolist() == [0, 1, 2]
    assert listing(tmp_path) == ["file"]


KILLED = """
import os, signal, sys
from pathlib import Path
from dimec.base.storage import atomic_write

os.fsync = lambda handle: os.kill(os.getpid(), signal.SIGKILL)
atomic_write(Path(sys.argv[1]), "new")
"""


def test_a_process_killed_in_the_middle_leaves_the_old_file_alone(tmp_path: Path) -> None:
    path = tmp_path / "file"
    atomic_write(path, "old")
    done = subprocess.run([sys.executable, "-c", KILLED, str(path)], check=False)
    assert done.returncode == -9
    assert path.read_text() == "old"
    # What it left behind does not stop the next writer.
    atomic_write(path, "newer")
    assert path.read_text() == "newer"


def test_a_block_that_fails_leaves_the_old_file_alone(tmp_path: Path) -> None:
    path = tmp_path / "file"
    atomic_write(path, "old")

    def write_half() -> None:
        with atomic_path(path) as temporary:
            temporary.write_text("half")
            raise RuntimeError("halfway")

    with pytest.raises(RuntimeError, match="halfway"):
        write_half()
    assert path.read_text() == "old"
    assert listing(tmp_path) == ["file"]


def test_two_writers_never_share_a_temporary_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with atomic_path(path) as one, atomic_path(path) as two:
        assert one != two
        one.write_text("outer")
        two.write_text("inner")
    assert path.read_text() == "outer"
    assert listing(tmp_path) == ["file"]


@pytest.mark.parametrize("below", ["file/new", "file/folder/new"])
def test_a_file_where_a_folder_should_be_is_refused(tmp_path: Path, below: str) -> None:
    (tmp_path / "file").write_text("kept")
    with pytest.raises(StorageError, match="cannot write"):
        atomic_write(tmp_path / below, "x")
    assert (tmp_path / "file").read_text() == "kept"
    assert listing(tmp_path) == ["file"]


def test_a_folder_where_the_file_should_be_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    with pytest.raises(StorageError, match="cannot write"):
        atomic_write(tmp_path / "run", "x")
    assert listing(tmp_path) == ["run"]


def test_other_errors_of_the_system_pass(tmp_path: Path) -> None:
    with pytest.raises(InterruptedError), storage_errors(tmp_path):
        raise OSError(errno.EINTR, "interrupted")


# --- JSON ----------------------------------------------------------------------------------------


@given(json_values)
def test_json_reads_back_the_same(value: Any) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "value.json"
        write_json(path, value)
        assert read_json(path, "make") == value
        assert path.read_text("utf-8").endswith("\n")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), [-float("inf")]])
def test_json_without_nan_or_infinity(tmp_path: Path, value: Any) -> None:
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "value.json", value)
    assert listing(tmp_path) == []


@pytest.mark.parametrize("content", [b"", b'{"a": 1', b"\xff\xfe", b"{'a': 1}"])
def test_what_is_not_json_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "value.json"
    path.write_bytes(content)
    with pytest.raises(CorruptArtefactError, match=r"not valid JSON.*again with: dimec fit"):
        read_json(path, "dimec fit")


def test_a_missing_file_names_the_command_that_makes_it(tmp_path: Path) -> None:
    with pytest.raises(MissingArtefactError, match="does not exist; make it with: dimec fit"):
        read_json(tmp_path / "value.json", "dimec fit")
    with pytest.raises(MissingArtefactError, match="does not exist; make it with: dimec fit"):
        load_arrays(tmp_path / "arrays", "test", "dimec fit")


def test_sha256_is_that_of_the_bytes(tmp_path: Path) -> None:
    (tmp_path / "abc").write_bytes(b"abc")
    known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert file_sha256(tmp_path / "abc") == known
