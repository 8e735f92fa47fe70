"""The state file: what it holds, who may hold it, and what it survives."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dimec.errors import (
    ConfigError,
    CorruptArtefactError,
    DimecError,
    MismatchError,
    StateBusyError,
    StorageError,
)
from dimec.mobile.prediction import Prediction
from dimec.mobile.rows import Record
from dimec.mobile.state import MEMORY, State, default_path
from tiers import full_disk

WIDTH = 8
SUMS = np.arange(3.0 * WIDTH).reshape(3, WIDTH)
COUNTS = np.array([4, 0, 2])
IDENTITY = "ab" * 32


def open_state(path: Path | str, identity: str = IDENTITY) -> State:
    return State(path, identity, SUMS, COUNTS)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "state.sqlite"


@pytest.fixture
def state(path: Path) -> Iterator[State]:
    with contextlib.closing(open_state(path)) as opened:
        yield opened


def prediction(id_: str, **changes: Any) -> Prediction:
    plain = Prediction(
        id=id_,
        label="größer",
        probability=0.1 + 0.2,
        probabilities={"größer": 0.1 + 0.2, "b": 1 - (0.1 + 0.2)},
        route="cloud",
        distances={"mobile": 1 / 3, "edge": None, "cloud": 0.0},
        margin=1 / 3,
        served_by="mobile",
        fallback_reason="cloud: timeout; edge: unreachable",
        tried=("cloud", "edge"),
        milliseconds=1.25,
        cost=8.5,
        recorded=True,
    )
    return replace(plain, **changes)


def embedding(seed: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    return np.random.default_rng(seed).standard_normal(WIDTH).astype(np.float32)


class TestWhatItHolds:
    @pytest.mark.parametrize(
        "changes",
        [
            {},
            {"margin": None, "fallback_reason": None, "tried": (), "served_by": "cloud"},
            {"id": "Größe ☃ 'quoted\""},
            {"distances": {"mobile": None, "edge": None, "cloud": 5e-324}, "cost": 1e308},
        ],
    )
    def test_an_answer_comes_back_as_it_was(
        self, state: State, path: Path, changes: dict[str, Any]
    ) -> None:
        given_ = prediction("one", **changes)
        assert state.find(given_.id) is None
        state.write([Record(given_, None)])
        assert state.find(given_.id) == given_
        state.close()
        with contextlib.closing(open_state(path)) as again:
            assert again.find(given_.id) == given_

    def test_pools_are_the_fitted_ones_and_what_was_learnt(self, state: State, path: Path) -> None:
        expected, counts = SUMS.copy(), COUNTS.copy()
        for number in range(30):
            tier = number % 3
            name = ("mobile", "edge", "cloud")[tier]
            learns = number % 4 > 0
            given_ = prediction(f"{number}", route=name)
            state.write([Record(given_, embedding(number) if learns else None)])
            if learns:
                expected[tier] += embedding(number)
                counts[tier] += 1
            assert state.sums.tobytes() == expected.tobytes()
            assert state.counts.tolist() == counts.tolist()
        state.close()
        with contextlib.closing(open_state(path)) as again:
            assert again.sums.tobytes() == expected.tobytes()
            assert again.counts.tolist() == counts.tolist()
            assert again.sums.shape == (3, WIDTH)

    def test_an_id_is_recorded_once_and_taught_once(self, state: State) -> None:
        state.write([Record(prediction("one", label="b"), embedding(1))])
        before = state.sums.tobytes(), state.counts.tolist()
        again = [Record(prediction("one"), embedding(2)), Record(prediction("one"), embedding(3))]
        state.write(again)
        found = state.find("one")
        assert found is not None
        assert found.label == "b"
        assert (state.sums.tobytes(), state.counts.tolist()) == before

    def test_totals(self, state: State) -> None:
        empty = state.totals()
        assert (empty.answers, empty.cost, empty.fallbacks) == (0, 0, {})
        assert empty.routes == {"mobile": 0, "edge": 0, "cloud": 0}
        none = {"fallback_reason": None, "tried": ()}
        answers = [
            prediction("1", route="mobile", served_by="mobile", cost=3.0, **none),
            prediction("2", route="edge", served_by="edge", cost=5.5, **none),
            prediction("3", route="cloud", served_by="edge", cost=8.5, fallback_reason="cloud: x"),
            prediction("4", route="cloud", served_by="edge", cost=8.5, fallback_reason="cloud: x"),
        ]
        state.write([Record(answer, None) for answer in answers])
        totals = state.totals()
        assert totals.answers == 4
        assert totals.routes == {"mobile": 1, "edge": 1, "cloud": 2}
        assert totals.served == {"mobile": 1, "edge": 3, "cloud": 0}
        assert totals.fallbacks == {"cloud: x": 2}
        assert totals.cost == 25.5
        assert totals.milliseconds == 5.0

    def test_jobs(self, state: State, path: Path) -> None:
        assert state.job("/some/file") is None
        name = state.begin_job("/some/file")
        assert state.job("/some/file") == name
        assert state.begin_job("/another") != name
        state.close()
        with contextlib.closing(open_state(path)) as again:
            assert again.job("/some/file") == name
            assert again.begin_job("/some/file") != name
            assert again.job("/some/file") != name

    def test_in_memory_nothing_stays(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        with contextlib.closing(open_state(MEMORY)) as state:
            state.write([Record(prediction("one"), embedding(1))])
            assert state.find("one") is not None
        assert list(tmp_path.iterdir()) == []
        with contextlib.closing(open_state(Path(MEMORY))) as state:
            assert state.find("one") is None


class TestWhoMayHoldIt:
    def test_one_at_a_time(self, state: State, path: Path) -> None:
        with pytest.raises(StateBusyError, match=r"in use by another .* wait .* or name another"):
            open_state(path)
        code = (
            "import sys, numpy\nfrom dimec.mobile.state import State\n"
            "State(sys.argv[1], 'ab' * 32, numpy.zeros((3, 8)), numpy.zeros(3, int))"
        )
        done = subprocess.run(
            [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=False
        )
        assert "StateBusyError" in done.stderr
        state.close()
        open_state(path).close()

    def test_a_bundle_of_its_own(self, state: State, path: Path) -> None:
        state.write([Record(prediction("one"), None)])
        state.close()
        with pytest.raises(MismatchError, match=r"another bundle .* name another state file"):
            open_state(path, "cd" * 32)
        with pytest.raises(MismatchError):
            State(path, "cd" * 32, np.zeros((3, 5)), np.zeros(3, np.int64))
        with contextlib.closing(open_state(path)) as again:
            assert again.find("one") is not None

    def test_closing_is_the_end(self, state: State, path: Path) -> None:
        state.close()
        state.close()
        with pytest.raises(StorageError, match="is closed"):
            state.write([Record(prediction("one"), None)])
        path.unlink()
        with pytest.raises(StorageError, match="is closed"):
            state.write([Record(prediction("one"), None)])
        assert not path.exists()


class TestWhereItLies:
    def test_in_the_users_state(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
        assert default_path(IDENTITY) == tmp_path / "dimec" / IDENTITY[:16] / "state.sqlite"
        home = tmp_path / "home"
        monkeypatch.setenv("HOME", str(home))
        for value in ("relative/path", ""):
            monkeypatch.setenv("XDG_STATE_HOME", value)
            assert default_path(IDENTITY).is_relative_to(home / ".local" / "state" / "dimec")

    def test_without_a_home(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("XDG_STATE_HOME", "")
        monkeypatch.setattr(os.path, "expanduser", lambda path: path)
        with pytest.raises(ConfigError, match=r"no home folder .* :memory:"):
            default_path(IDENTITY)

    def test_a_place_that_cannot_be(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("mine")
        with pytest.raises(StorageError, match="cannot write"):
            open_state(tmp_path / "file" / "state.sqlite")
        (tmp_path / "folder").mkdir()
        with pytest.raises(StorageError, match="cannot write"):
            open_state(tmp_path / "folder")
        (tmp_path / "folder").rmdir()
        open_state(tmp_path / "folder").close()
        assert (tmp_path / "file").read_text() == "mine"

    def test_a_folder_that_is_read_only(self, path: Path) -> None:
        open_state(path).close()
        before = path.read_bytes()
        for file in path.parent.iterdir():
            file.chmod(0o444)
        path.parent.chmod(0o555)
        try:
            with unprivileged():
                for place in (path, path.with_name("new.sqlite"), path.parent / "new" / "s"):
                    with pytest.raises(StorageError, match="cannot write"):
                        open_state(place)
        finally:
            path.parent.chmod(0o755)
        assert path.read_bytes() == before


@contextlib.contextmanager
def unprivileged() -> Iterator[None]:
    """Without root's leave to write anywhere, where root runs the tests."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65_534)
    try:
        yield
    finally:
        os.seteuid(0)


class TestDamage:
    @pytest.fixture
    def sound(self, state: State, path: Path) -> Path:
        for number in range(200):
            state.write([Record(prediction(f"{number}"), embedding(number))])
        state.close()
        return path

    @pytest.mark.parametrize("content", [b"not a database at all" * 100, b"\0" * 5000])
    def test_no_database(self, path: Path, content: bytes) -> None:
        path.parent.mkdir()
        path.write_bytes(content)
        with pytest.raises(
            CorruptArtefactError, match=r"left as it is: move it away to start anew"
        ):
            open_state(path)
        assert path.read_bytes() == content

    def test_cut_short(self, sound: Path) -> None:
        content = sound.read_bytes()
        sound.write_bytes(content[:3000])
        with pytest.raises(CorruptArtefactError):
            open_state(sound)
        assert sound.read_bytes() == content[:3000]

    def test_of_another_program(self, path: Path) -> None:
        path.parent.mkdir()
        with contextlib.closing(sqlite3.connect(path)) as database:
            database.execute("CREATE TABLE notes(text TEXT)")
        with pytest.raises(CorruptArtefactError, match="of another program"):
            open_state(path)

    @pytest.mark.parametrize(
        "statement",
        [
            "UPDATE pools SET count = count + 1 WHERE tier = 'edge'",
            "UPDATE pools SET sum = zeroblob(64) WHERE tier = 'cloud'",
            "UPDATE pools SET sum = x'00' WHERE tier = 'cloud'",
            "UPDATE pools SET sum = 'text', count = 'text' WHERE tier = 'mobile'",
            "DELETE FROM pools WHERE tier = 'mobile'",
            "DROP TABLE answers",
            "ALTER TABLE pools RENAME COLUMN sum TO total",
            "ALTER TABLE meta RENAME COLUMN key TO name",
            "UPDATE meta SET value = '2' WHERE key = 'format'",
            "DELETE FROM meta",
        ],
    )
    def test_altered(self, sound: Path, statement: str) -> None:
        with contextlib.closing(sqlite3.connect(sound)) as database:
            database.execute(statement)
            database.commit()
        # One column under another name holds the same, which is no damage.
        if "RENAME COLUMN sum" in statement:
            open_state(sound).close()
            return
        with pytest.raises(CorruptArtefactError, match="no state that this version"):
            open_state(sound)

    def test_an_altered_answer(self, sound: Path) -> None:
        with contextlib.closing(sqlite3.connect(sound)) as database:
            database.execute("UPDATE answers SET probabilities = '{' WHERE id = '7'")
            database.commit()
        with contextlib.closing(open_state(sound)) as state:
            with pytest.raises(CorruptArtefactError, match="the answer '7' was altered"):
                state.find("7")
            assert state.find("8") is not None

    def test_a_damaged_page_that_the_pools_are_not_on(self, sound: Path) -> None:
        """It would go unnoticed until an answer on it is asked for, and spread by then."""
        with contextlib.closing(sqlite3.connect(sound)) as database:
            size = database.execute("PRAGMA page_size").fetchone()[0]
            statement = "SELECT pageno FROM dbstat WHERE name = 'answers' AND pagetype = 'leaf'"
            try:
                pages = [row[0] for row in database.execute(statement)]
            except sqlite3.OperationalError:  # sqlite without that table
                pages = [sound.stat().st_size // size]
        content = bytearray(sound.read_bytes())
        start = (pages[-1] - 1) * size
        content[start : start + size] = b"\xa5" * size
        sound.write_bytes(content)
        with pytest.raises(CorruptArtefactError, match=r"left as it is: move it away") as caught:
            open_state(sound)
        assert "\n" not in str(caught.value)
        assert sound.read_bytes() == content
        assert [file.name for file in sound.parent.iterdir()] == [sound.name]

    def test_any_bytes_at_any_place(self, sound: Path, tmp_path: Path) -> None:
        """Whatever is altered: the file opens, or says so in dimec's own words."""
        content = sound.read_bytes()
        victim = tmp_path / "victim.sqlite"
        opened = refused = 0

        @settings(max_examples=150)
        @given(st.integers(0, len(content) - 1), st.binary(min_size=1, max_size=40))
        def attack(position: int, junk: bytes) -> None:
            nonlocal opened, refused
            for suffix in ("-wal", "-shm"):
                victim.with_name(victim.name + suffix).unlink(missing_ok=True)
            victim.write_bytes(content[:position] + junk + content[position + len(junk) :])
            try:
                with contextlib.closing(open_state(victim)) as state:
                    state.find("7")
                    state.totals()
                    state.write([Record(prediction("new"), embedding(1))])
                opened += 1
            except DimecError:
                refused += 1

        attack()
        assert opened > 10
        assert refused > 10


class TestAFullDisk:
    def test_nothing_is_written_by_half(self, state: State, path: Path) -> None:
        written = 0

        def fill() -> None:
            nonlocal written
            for number in range(5000):
                state.write([Record(prediction(f"{number}"), embedding(number))])
                written += 1

        with full_disk(200_000), pytest.raises(StorageError, match="free some space"):
            fill()
        assert written > 5
        expected = state.sums.tobytes(), state.counts.tolist()
        with full_disk(200_000), pytest.raises(StorageError):
            state.write([Record(prediction(f"more {n}"), embedding(n)) for n in range(500)])
        assert (state.sums.tobytes(), state.counts.tolist()) == expected
        assert state.find(f"{written}") is None
        state.write([Record(prediction("later"), embedding(0))])
        after = state.sums.tobytes(), state.counts.tolist()
        state.close()
        with contextlib.closing(open_state(path)) as again:
            assert (again.sums.tobytes(), again.counts.tolist()) == after
            assert again.totals().answers == written + 1
        with contextlib.closing(sqlite3.connect(path)) as database:
            assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)

    def test_a_new_one_is_not_begun_by_half(self, path: Path) -> None:
        """It answers from memory until there is room, as one does that was open before."""
        with full_disk(2000):
            state = open_state(path)
            assert state.opened == 0
            assert state.sums.tobytes() == SUMS.tobytes()
            for _ in range(2):
                with pytest.raises(StorageError, match="cannot write"):
                    state.write([Record(prediction("one"), embedding(1))])
            assert state.find("one") is None
            assert state.totals().answers == 0
            name = state.begin_job("/some/file")
            assert state.job("/some/file") == name
        with contextlib.closing(state):
            state.write([Record(prediction("one"), embedding(1))])
            assert state.opened == 1
        with contextlib.closing(open_state(path)) as again:
            assert again.find("one") is not None
            assert again.counts.tolist() == [*COUNTS[:2], COUNTS[2] + 1]

    def test_one_that_is_there_is_gone_on_from(self, path: Path) -> None:
        """The content is read, though sqlite has no room for the index of its log."""
        with contextlib.closing(open_state(path)) as state:
            state.write([Record(prediction("one"), embedding(1))])
            learnt = state.sums.tobytes()
        with full_disk(2000):
            state = open_state(path)
            assert state.find("one") is not None
            assert state.sums.tobytes() == learnt
            with pytest.raises(StorageError):
                state.write([Record(prediction("two"), embedding(2))])
            with pytest.raises(StateBusyError):
                open_state(path)
        with contextlib.closing(state):
            state.write([Record(prediction("two"), embedding(2))])
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
            state.write([Record(prediction("one"), embedding(1))])
            learnt = state.sums.tobytes()
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
            assert state.sums.tobytes() == learnt
            for _ in range(2):
                with pytest.raises(StorageError, match="Read-only file system"):
                    state.write([Record(prediction("two"), embedding(2))])
            assert state.find("one") is not None
            assert {file.name: file.read_bytes() for file in path.parent.iterdir()} == before
            monkeypatch.undo()
            state.write([Record(prediction("two"), embedding(2))])
            assert state.opened == 1
        with contextlib.closing(open_state(path)) as again:
            assert again.totals().answers == 2

    def test_nothing_is_there(self, path: Path, frozen: Callable[[], None]) -> None:
        frozen()
        with contextlib.closing(open_state(path)) as state:
            assert state.sums.tobytes() == SUMS.tobytes()
            assert state.totals().answers == 0

    def test_another_bundles_and_a_damaged_one_are_refused(
        self, path: Path, frozen: Callable[[], None]
    ) -> None:
        State(path, "cd" * 32, SUMS, COUNTS).close()
        frozen()
        with pytest.raises(MismatchError):
            open_state(path)
        path.write_bytes(b"no database" * 1000)
        with pytest.raises(CorruptArtefactError):
            open_state(path)


class TestTheFileGoesAway:
    def test_deleted(self, state: State, path: Path) -> None:
        state.write([Record(prediction("one"), embedding(1))])
        shutil.rmtree(path.parent)
        state.write([Record(prediction("two", route="mobile"), embedding(2))])
        assert state.opened == 2
        assert state.find("one") is None
        assert state.find("two") is not None
        assert state.counts.tolist() == [COUNTS[0] + 1, *COUNTS[1:]]
        with pytest.raises(StateBusyError):
            open_state(path)

    def test_replaced_by_an_older_one(self, state: State, path: Path, tmp_path: Path) -> None:
        state.write([Record(prediction("old"), embedding(1))])
        state.close()
        backup = shutil.copy(path, tmp_path / "backup")
        with contextlib.closing(open_state(path)) as again:
            again.write([Record(prediction("new"), embedding(2))])
            for file in path.parent.glob("state.sqlite*"):
                file.unlink()
            shutil.copy(backup, path)
            again.write([Record(prediction("newest"), embedding(3))])
            assert again.find("old") is not None
            assert again.find("new") is None
            assert again.counts[2] == COUNTS[2] + 2

    def test_moved_away_with_all_that_it_has(self, state: State, path: Path) -> None:
        state.write([Record(prediction("one"), embedding(1))])
        path.rename(path.with_name("moved.sqlite"))
        state.write([Record(prediction("two"), embedding(2))])
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
        State(other, "cd" * 32, SUMS, COUNTS).close()
        before = other.read_bytes()
        other.replace(path)
        with pytest.raises(MismatchError):
            state.write([Record(prediction("one"), None)])
        assert path.read_bytes() == before
