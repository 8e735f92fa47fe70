"""A folder that appears all at once."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock

from dimec.base.errors import CorruptArtefactError, RunBusyError, StorageError
from dimec.base.storage import load_arrays, read_json, save_arrays
from dimec.base.storage_folders import atomic_folder, take_lock
from support.tiny import contents


def _fill(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def _write(place: Path, error: BaseException | None = None) -> None:
    """Write a folder, and fail in the end if there is something to fail with."""
    with atomic_folder(place) as folder:
        _fill(folder, a="new")
        if error is not None:
            raise error


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_it_stands_when_the_block_ends_and_not_before(tmp_path: Path) -> None:
    place = tmp_path / "new" / "folder"
    with atomic_folder(place) as folder:
        _fill(folder, a="1")
        (folder / "below").mkdir()
        _fill(folder / "below", b="2")
        assert not place.exists()
    assert contents(place) == {"a": b"1", "below/b": b"2"}
    assert _names(place.parent) == ["folder"]


@pytest.mark.parametrize("old", [{}, {"a": "old", "z": "old"}])
def test_what_stood_there_is_gone(tmp_path: Path, old: dict[str, str]) -> None:
    place = tmp_path / "folder"
    place.mkdir()
    _fill(place, **old)
    with atomic_folder(place) as folder:
        _fill(folder, a="new")
        assert contents(place) == {name: text.encode() for name, text in old.items()}
    assert contents(place) == {"a": b"new"}
    assert _names(tmp_path) == ["folder"]


@pytest.mark.parametrize("error", [KeyboardInterrupt(), ValueError("a fault")])
def test_an_error_leaves_what_was_there(tmp_path: Path, error: BaseException) -> None:
    place = tmp_path / "folder"
    place.mkdir()
    _fill(place, a="old")
    with pytest.raises(type(error)):
        _write(place, error)
    assert contents(place) == {"a": b"old"}
    assert _names(tmp_path) == ["folder"]


def test_a_full_disk_is_an_error_that_the_user_can_act_on(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="no room to write"):
        _write(tmp_path / "folder", OSError(errno.ENOSPC, "No space left on device"))
    assert not list(tmp_path.iterdir())


def test_what_a_killed_process_left_is_cleared_up(tmp_path: Path) -> None:
    (tmp_path / ".folder.tmp" / "below").mkdir(parents=True)
    _fill(tmp_path / ".folder.tmp" / "below", half="made")
    (tmp_path / ".folder.lock").touch()
    with atomic_folder(tmp_path / "folder") as folder:
        assert not list(folder.iterdir())
        _fill(folder, a="new")
    assert contents(tmp_path / "folder") == {"a": b"new"}
    assert _names(tmp_path) == ["folder"]


def test_one_that_was_killed_in_the_last_step_gets_its_old_folder_back(tmp_path: Path) -> None:
    (tmp_path / ".folder.old").mkdir()
    _fill(tmp_path / ".folder.old", a="old")
    with pytest.raises(ValueError, match="a fault"):
        _write(tmp_path / "folder", ValueError("a fault"))
    assert contents(tmp_path / "folder") == {"a": b"old"}
    assert _names(tmp_path) == ["folder"]


def test_two_writers_do_not_mix(tmp_path: Path) -> None:
    with atomic_folder(tmp_path / "folder") as folder:
        _fill(folder, a="first")
        with pytest.raises(RunBusyError, match="is being written by another dimec process"):
            _write(tmp_path / "folder")
        assert contents(folder) == {"a": b"first"}
    assert contents(tmp_path / "folder") == {"a": b"first"}


def test_the_lock_of_a_writer_is_held(tmp_path: Path) -> None:
    lock = FileLock(tmp_path / ".folder.lock")
    with lock, pytest.raises(RunBusyError), atomic_folder(tmp_path / "folder"):
        pass
    assert not (tmp_path / "folder").exists()


def test_a_lock_that_is_no_plain_file_is_not_followed(tmp_path: Path) -> None:
    victim, lock = tmp_path / "victim", tmp_path / ".folder.lock"
    victim.write_text("mine")
    for target in (victim, tmp_path / "nowhere", lock, None):
        if target is None:
            os.mkfifo(lock)
        else:
            lock.symlink_to(target)
        with (
            pytest.raises(StorageError, match=r"\.folder\.lock is no plain file .* remove it"),
            atomic_folder(tmp_path / "folder"),
        ):
            pass
        lock.unlink()
    lock.mkdir()
    with pytest.raises(StorageError, match="no plain file"):
        take_lock(lock, "busy")
    assert victim.read_text() == "mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == [".folder.lock", "victim"]


def test_json_that_python_reads_by_half(tmp_path: Path) -> None:
    """Nested too deep, or with a number of more digits than Python turns into one."""
    path = tmp_path / "fit.json"
    for content in ("[" * 100_000, "9" * 5000, '{"a":' * 5000):
        path.write_text(content)
        with pytest.raises(CorruptArtefactError, match="is not valid JSON") as caught:
            read_json(path, "dimec fit")
        assert len(str(caught.value)) < 300 + len(str(path))
    save_arrays(tmp_path / "arrays", "kind", {"a": np.ones(2)}, {"x": 1})
    assert load_arrays(tmp_path / "arrays", "kind", "x")[1] == {"x": 1}
