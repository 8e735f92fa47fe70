"""A state file on a disk that is full or read-only, and one that goes away."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dimec.base.errors import (
    CorruptArtefactError,
    MismatchError,
    StateBusyError,
    StorageError,
)
from dimec.mobile.state.rows import Record
from dimec.mobile.state.store import State
from dimec.tiers.names import TIER_NAMES
from support.states import embedding, learn, learnt_by, open_state, prediction
from support.tiers import full_disk


class TestAFullDisk:
    def test_nothing_is_written_by_half(self, state: State, path: Path) -> None:
        written = 0

        def fill() -> None:
            nonlocal written
            for number in range(5000):
                state.write([Record(prediction(f"{number}"), embedding(number))], learn)
                written += 1

        with full_disk(200_000), pytest.raises(StorageError, match="free some space"):
            fill()
        assert written > 5
        expected = learnt_by(state)
        with full_disk(200_000), pytest.raises(StorageError):
            state.write([Record(prediction(f"more {n}"), embedding(n)) for n in range(500)], learn)
        assert learnt_by(state) == expected
        assert state.find(f"{written}") is None
        state.write([Record(prediction("later"), embedding(0))], learn)
        after = learnt_by(state)
        state.close()
        with contextlib.closing(open_state(path)) as again:
            assert learnt_by(again) == after
            assert again.totals().answers == written + 1
        with contextlib.closing(sqlite3.connect(path)) as database:
            assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)

    def test_a_new_one_is_not_begun_by_half(self, path: Path) -> None:
        """It answers from memory until there is room, as one does that was open before."""
        with full_disk(2000):
            state = open_state(path)
            assert state.opened == 0
            assert state.arrays == {}
            for _ in range(2):
                with pytest.raises(StorageError, match="cannot write"):
                    state.write([Record(prediction("one"), embedding(1))], learn)
            assert state.find("one") is None
            assert state.totals().answers == 0
            name = state.begin_job("/some/file")
            assert state.job("/some/file") == name
        with contextlib.closing(state):
            state.write([Record(prediction("one"), embedding(1))], learn)
            assert state.opened == 1
        with contextlib.closing(open_state(path)) as again:
            assert again.find("one") is not None
            assert again.arrays["count"] == 1

    def test_one_that_is_there_is_gone_on_from(self, path: Path) -> None:
        """The content is read, though sqlite has no room for the index of its log."""
        with contextlib.closing(open_state(path)) as state:
            state.write([Record(prediction("one"), embedding(1))], learn)
            learnt = learnt_by(state)
        with full_disk(2000):
            state = open_state(path)
            assert state.find("one") is not None
            assert learnt_by(state) == learnt
            with pytest.raises(StorageError):
                state.write([Record(prediction("two"), embedding(2))], learn)
            with pytest.raises(StateBusyError):
                open_state(path)
        with contextlib.closing(state):
            state.write([Record(prediction("two"), embedding(2))], learn)
        with contextlib.closing(open_state(path)) as again:
            assert again.totals().answers == 2


class TestAReadOnlyDisk:
    @pytest.fixture
    def frozen(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
        """Make the disk refuse every opening for writing, as one does that is read-only."""

        def freeze() -> None:
            real = os.open

            def refuse(name: Any, flags: int, *rest: Any, **options: Any) -> int:
                if str(name).startswith(str(path.parent)) and flags & (os.O_RDWR | os.O_CREAT):
                    raise OSError(errno.EROFS, os.strerror(errno.EROFS))
                return real(name, flags, *rest, **options)

            monkeypatch.setattr(os, "open", refuse)

        return freeze

    @pytest.mark.parametrize("killed", [False, True])
    def test_what_is_there_is_read(
        self,
        path: Path,
        frozen: Callable[[], None],
        monkeypatch: pytest.MonkeyPatch,
        tmp_path: Path,
        killed: bool,
    ) -> None:
        """Also what only the log of a killed process holds."""
        with contextlib.closing(open_state(path)) as state:
            state.write([Record(prediction("one"), embedding(1))], learn)
            learnt = learnt_by(state)
            if killed:
                shutil.copytree(path.parent, tmp_path / "as it was")
        if killed:
            shutil.rmtree(path.parent)
            (tmp_path / "as it was").rename(path.parent)
            assert path.with_name(f"{path.name}-wal").stat().st_size > 0
        frozen()
        before = {file.name: file.read_bytes() for file in path.parent.iterdir()}
        with contextlib.closing(open_state(path)) as state:
            assert state.find("one") is not None
            assert learnt_by(state) == learnt
            for _ in range(2):
                with pytest.raises(StorageError, match="Read-only file system"):
                    state.write([Record(prediction("two"), embedding(2))], learn)
            assert state.find("one") is not None
            assert {file.name: file.read_bytes() for file in path.parent.iterdir()} == before
            monkeypatch.undo()
            state.write([Record(prediction("two"), embedding(2))], learn)
            assert state.opened == 1
        with contextlib.closing(open_state(path)) as again:
            assert again.totals().answers == 2

    def test_nothing_is_there(self, path: Path, frozen: Callable[[], None]) -> None:
        frozen()
        with contextlib.closing(open_state(path)) as state:
            assert state.arrays == {}
            assert state.totals().answers == 0

    def test_another_bundles_and_a_damaged_one_are_refused(
        self, path: Path, frozen: Callable[[], None]
    ) -> None:
        State(path, "cd" * 32, TIER_NAMES).close()
        frozen()
        with pytest.raises(MismatchError):
            open_state(path)
        path.write_bytes(b"no database" * 1000)
        with pytest.raises(CorruptArtefactError):
            open_state(path)


class TestTheFileGoesAway:
    def test_deleted(self, state: State, path: Path) -> None:
        state.write([Record(prediction("one"), embedding(1))], learn)
        shutil.rmtree(path.parent)
        state.write([Record(prediction("two", route="mobile"), embedding(2))], learn)
        assert state.opened == 2
        assert state.find("one") is None
        assert state.find("two") is not None
        assert state.arrays["count"] == 1
        with pytest.raises(StateBusyError):
            open_state(path)

    def test_replaced_by_an_older_one(self, state: State, path: Path, tmp_path: Path) -> None:
        state.write([Record(prediction("old"), embedding(1))], learn)
        state.close()
        backup = shutil.copy(path, tmp_path / "backup")
        with contextlib.closing(open_state(path)) as again:
            again.write([Record(prediction("new"), embedding(2))], learn)
            for file in path.parent.glob("state.sqlite*"):
                file.unlink()
            shutil.copy(backup, path)
            again.write([Record(prediction("newest"), embedding(3))], learn)
            assert again.find("old") is not None
            assert again.find("new") is None
            assert again.arrays["count"] == 2

    def test_moved_away_with_all_that_it_has(self, state: State, path: Path) -> None:
        state.write([Record(prediction("one"), embedding(1))], learn)
        path.rename(path.with_name("moved.sqlite"))
        state.write([Record(prediction("two"), embedding(2))], learn)
        with contextlib.closing(open_state(path.with_name("moved.sqlite"))) as moved:
            assert moved.find("one") is not None
            assert moved.find("two") is None
        assert state.find("one") is None

    def test_its_place_is_taken(self, state: State, path: Path) -> None:
        state.write([Record(prediction("one"), None)])
        shutil.rmtree(path.parent)
        path.parent.write_text("a file where the folder was")
        for _ in range(2):
            with pytest.raises(StorageError):
                state.write([Record(prediction("two"), None)])
            assert state.find("one") is None
        path.parent.unlink()
        state.write([Record(prediction("two"), None)])
        assert state.find("two") is not None

    def test_another_bundles_state_in_its_place(self, state: State, path: Path) -> None:
        other = path.with_name("other.sqlite")
        State(other, "cd" * 32, TIER_NAMES).close()
        before = other.read_bytes()
        other.replace(path)
        with pytest.raises(MismatchError):
            state.write([Record(prediction("one"), None)])
        assert path.read_bytes() == before
