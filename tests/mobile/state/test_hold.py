"""Who may hold a state file: one process, whatever the name that leads to it."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dimec.base.errors import StateBusyError, StorageError
from dimec.mobile.state.rows import Record
from support.states import open_state, prediction
from support.tiny import environment

_HOLDER = """
import sys
from pathlib import Path
from dimec.base.errors import DimecError
from dimec.mobile.state import hold
from dimec.mobile.state.store import State
if sys.argv[2] == "weak":
    hold._SET_LOCK = None
try:
    State(Path(sys.argv[1]), "ab" * 32, ("mobile", "edge", "cloud"))
    print("held", flush=True)
except DimecError as error:
    print(type(error).__name__, flush=True)
sys.stdin.read()
"""


class Process:
    """A process that opens a state, says ``held`` or what went wrong, and stays."""

    def __init__(self, path: Path, how: str = "") -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", _HOLDER, str(path), how],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment(),
        )
        assert self.process.stdout is not None
        self.said = self.process.stdout.readline().strip()

    def end(self, *, kill: bool = False) -> None:
        if kill:
            self.process.kill()
        self.process.communicate()


@pytest.fixture
def process() -> Iterator[Callable[..., Process]]:
    """``process(path)``: another process that opens the state; ended after the test."""
    with contextlib.ExitStack() as stack:

        def start(path: Path, how: str = "") -> Process:
            started = Process(path, how)
            stack.callback(started.end)
            return started

        yield start


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state.sqlite"


def symbolic(path: Path) -> Path:
    link = path.with_name("link.sqlite")
    link.symlink_to(path)
    return link


def through_a_folder(path: Path) -> Path:
    link = path.parent / "folder"
    link.symlink_to(path.parent)
    return link / path.name


def hard(path: Path) -> Path:
    link = path.with_name("hard.sqlite")
    link.hardlink_to(path)
    return link


def moved(path: Path) -> Path:
    return path.rename(path.with_name("moved.sqlite"))


def bared(path: Path) -> Path:
    """Nothing beside it but what sqlite itself needs."""
    for file in path.parent.iterdir():
        if file.name not in (path.name, f"{path.name}-wal", f"{path.name}-shm"):
            file.unlink()
    path.with_name(f"{path.name}.lock").touch()
    path.with_name(f"{path.name}.lock").unlink()
    return path


NAMES = (symbolic, through_a_folder, hard, moved, bared)


class TestOneWriter:
    @pytest.mark.parametrize(
        ("name", "how"), [*((name, "") for name in NAMES), (symbolic, "weak"), (moved, "weak")]
    )
    def test_no_other_name_lets_a_second_one_in(
        self,
        path: Path,
        process: Callable[..., Process],
        name: Callable[[Path], Path],
        how: str,
    ) -> None:
        assert process(path, how).said == "held"
        other = name(path)
        assert process(other, how).said == "StateBusyError"
        with pytest.raises(StateBusyError, match=r"in use by another .* wait"):
            open_state(other)

    @pytest.mark.parametrize("how", ["", "weak"])
    def test_a_killed_process_lets_go(
        self, path: Path, process: Callable[..., Process], how: str
    ) -> None:
        first = process(path, how)
        assert first.said == "held"
        first.end(kill=True)
        assert process(path, how).said == "held"

    @pytest.mark.parametrize("name", NAMES)
    def test_nor_twice_in_a_process(self, path: Path, name: Callable[[Path], Path]) -> None:
        with contextlib.closing(open_state(path)), pytest.raises(StateBusyError):
            open_state(name(path))

    def test_whoever_is_refused_takes_no_lock_along(
        self, path: Path, process: Callable[..., Process]
    ) -> None:
        """Closing a descriptor of a file takes all of a process's POSIX locks on it away.

        Without sqlite's shared lock, a reader that comes and goes would delete the log in use.
        """
        with contextlib.closing(open_state(path)) as state:
            state.write([Record(prediction("one"), None)])
            for _ in range(2):
                with pytest.raises(StateBusyError):
                    open_state(path)
            code = (
                "import contextlib, sqlite3, sys\n"
                "with contextlib.closing(sqlite3.connect(sys.argv[1])) as database:\n"
                "    print(*database.execute('SELECT COUNT(*) FROM answers').fetchone())"
            )
            done = subprocess.run(
                [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True
            )
            assert done.stdout == "1\n"
            assert path.with_name(f"{path.name}-wal").exists()
            state.write([Record(prediction("two"), None)])
        with contextlib.closing(open_state(path)) as again:
            assert again.totals().answers == 2

    def test_two_that_start_at_once_make_one_file(self, path: Path) -> None:
        """In an empty folder, where each could make the file."""
        for number in range(3):
            place = path.with_name(f"{number}.sqlite")
            command = [sys.executable, "-c", _HOLDER, str(place), ""]
            pipe = subprocess.PIPE
            both = [
                subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=environment())
                for _ in range(2)
            ]
            said = []
            for each in both:
                assert each.stdout is not None
                said.append(each.stdout.readline().strip())
            for each in both:
                each.communicate()
            assert sorted(said) == ["StateBusyError", "held"]


class TestNamesThatCannotBe:
    def test_a_second_name(self, path: Path) -> None:
        """sqlite's log lies beside one name: opened by the other, the file would lack it."""
        open_state(path).close()
        before = path.read_bytes()
        for name in (hard(path), path):
            with pytest.raises(StorageError, match=r"second name \(a hard link\).* remove"):
                open_state(name)
        assert path.read_bytes() == before
        path.with_name("hard.sqlite").unlink()
        open_state(path).close()

    def test_a_link_leads_to_the_state(self, path: Path) -> None:
        link = symbolic(path)
        with contextlib.closing(open_state(link)) as state:
            state.write([Record(prediction("one"), None)])
        assert link.is_symlink()
        with contextlib.closing(open_state(path)) as state:
            assert state.find("one") is not None

    def test_a_pipe_a_device_and_a_circle(self, path: Path) -> None:
        os.mkfifo(path)
        circle = path.with_name("circle")
        circle.symlink_to(circle)
        for place in (path, Path("/dev/null"), circle, path.with_name("x" * 300)):
            with pytest.raises(StorageError, match="cannot write") as caught:
                open_state(place)
            assert "\n" not in str(caught.value)

    def test_a_lock_file_that_is_a_link_is_not_followed(self, path: Path) -> None:
        """Older versions held a file beside the state."""
        victim = path.with_name("victim")
        victim.write_text("mine")
        path.with_name(f"{path.name}.lock").symlink_to(victim)
        open_state(path).close()
        assert victim.read_text() == "mine"


def test_what_it_leaves_beside_it(path: Path) -> None:
    open_state(path).close()
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    copy = shutil.copy(path, path.with_name("copy.sqlite"))
    with contextlib.closing(sqlite3.connect(copy)) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
