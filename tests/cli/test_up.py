"""``dimec up``: a prompt before three real tiers, and no process left behind, however it ends."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import select
import shlex
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from dimec.cli.up import line_from_elsewhere
from dimec.mobile import Mobile
from support.tiers import assert_pools_fit, balanced, texts
from support.tiny import Said, command, environment

PATIENCE = 60.0


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory, tiny_bundle: Path) -> Path:
    """The tiny bundle with a router that uses all three tiers."""
    return balanced(tiny_bundle, tmp_path_factory.mktemp("up") / "my bundle")


@pytest.fixture(autouse=True)
def _own_state(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "home"))


def until(condition: Callable[[], bool], what: str) -> None:
    """Wait for something."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def family(pid: int) -> list[psutil.Process]:
    """The servers that a process has started."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return list(psutil.Process(pid).children(recursive=True))
    return []


def all_gone(processes: list[psutil.Process]) -> None:
    assert len(processes) == 2
    _, alive = psutil.wait_procs(processes, timeout=PATIENCE)
    assert alive == []


class Terminal:
    """A process at a terminal of its own, in a session of its own, as a shell starts it."""

    def __init__(self, *words: str | Path) -> None:
        self.pid, self._descriptor = pty.fork()
        if self.pid == 0:
            line = command(*words)
            os.execve(line[0], line, environment())
        self.screen = ""
        self.code: int | None = None

    def wait_for(self, text: str, times: int = 1) -> None:
        """Read until a text has come so many times."""
        until(lambda: self._read().count(text) >= times, f"{text!r} in {self.screen!r}")

    def press(self, keys: str) -> None:
        """Type; \\x03 is Ctrl-C, \\x04 Ctrl-D."""
        os.write(self._descriptor, keys.encode())

    def wait(self) -> int:
        """The exit code, once it has ended and all was read."""

        def ended() -> bool:
            self._read()
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.code = os.waitstatus_to_exitcode(status)
            return pid != 0

        until(ended, self.screen)
        self._read()
        assert self.code is not None
        return self.code

    def _read(self) -> str:
        while select.select([self._descriptor], [], [], 0)[0]:
            try:
                chunk = os.read(self._descriptor, 65_536)
            except OSError:  # the other end is closed
                break
            if not chunk:
                break
            self.screen += chunk.decode("utf-8", "replace")
        return self.screen

    def close(self) -> None:
        """End it and its children by force, if they still run."""
        for process in family(self.pid):
            process.kill()
        if self.code is None:
            with contextlib.suppress(ProcessLookupError, ChildProcessError):
                os.kill(self.pid, signal.SIGKILL)
                os.waitpid(self.pid, 0)
        os.close(self._descriptor)


@pytest.fixture
def terminal(bundle: Path) -> Iterator[Terminal]:
    terminal = Terminal("up", bundle, "--timeout", "30")
    with contextlib.closing(terminal):
        yield terminal


class TestAtATerminal:
    def test_what_is_typed_is_answered_until_ctrl_d(self, terminal: Terminal, bundle: Path) -> None:
        terminal.wait_for("text> ")
        children = family(terminal.pid)
        for number, text in enumerate(texts(6), start=1):
            terminal.press(f"{text}\n")
            terminal.wait_for("answered by", number)
            terminal.wait_for("text> ", number + 1)
        terminal.press("\x04")
        assert terminal.wait() == 0
        all_gone(children)
        answers = [line for line in terminal.screen.splitlines() if "answered by" in line]
        assert len(answers) == 6
        for word in ("route ", "margin ", "answered by ", " ms ", " λ"):
            assert all(word in line for line in answers)
        assert any(line.startswith("6 answers: ") for line in terminal.screen.splitlines())
        assert "Traceback" not in terminal.screen
        with Mobile.open(bundle) as mobile:
            assert mobile.ledger().answers == 6
            assert mobile.ledger().fallbacks == {}

    def test_another_terminal_can_ask_the_same_tiers(self, terminal: Terminal) -> None:
        terminal.wait_for("text> ")
        _, _, after = terminal.screen.partition("from another terminal: dimec ")
        words = shlex.split(after.splitlines()[0])
        folder = Path(words[words.index("--token-file") + 1]).parent
        assert folder.stat().st_mode & 0o077 == 0
        line = command(*words, *texts(12), "--timeout", "30", "--json")
        asked = subprocess.run(line, check=True, capture_output=True, env=environment())
        answers = [json.loads(answer) for answer in asked.stdout.splitlines()]
        assert len(answers) == 13
        assert {answer["answered_by"] for answer in answers} >= {"edge", "cloud"}
        assert {answer["fallback_reason"] for answer in answers} == {None}
        terminal.press("\x04")
        assert terminal.wait() == 0
        assert not folder.exists()

    def test_ctrl_c_at_the_prompt_stops_all(self, terminal: Terminal) -> None:
        terminal.wait_for("text> ")
        children = family(terminal.pid)
        terminal.press("half a te\x03")
        assert terminal.wait() == 0
        all_gone(children)
        assert "Traceback" not in terminal.screen
        assert "dimec: " not in terminal.screen

    def test_ctrl_c_while_the_servers_start_stops_all(self, terminal: Terminal) -> None:
        children: set[psutil.Process] = set()

        def two() -> bool:
            children.update(family(terminal.pid))
            return len(children) == 2

        until(two, "two servers")
        terminal.press("\x03")
        assert terminal.wait() == 0
        _, alive = psutil.wait_procs(children, timeout=PATIENCE)
        assert alive == []
        assert "Traceback" not in terminal.screen


class TestFromAPipe:
    def start(self, bundle: Path, *words: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            command("up", bundle, "--timeout", "30", *words),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment(),
            start_new_session=True,
        )

    def test_lines_in_answers_out(self, bundle: Path, tmp_path: Path) -> None:
        log, state = tmp_path / "servers.log", tmp_path / "state.sqlite"
        some = texts(30)
        with self.start(bundle, "--adaptive", "--log", str(log), "--state", str(state)) as process:
            content = "\n".join([*some, "", "Größe ☃"]).encode() + b"\nno text: \xff\n"
            out, err = process.communicate(content, timeout=PATIENCE)
        assert process.returncode == 0, err
        lines = out.decode().splitlines()
        assert len(lines) == 32
        assert {line.split("answered by ")[1].split(" ·")[0] for line in lines} == {
            "mobile",
            "edge",
            "cloud",
        }
        assert b"character 9 of the text is none" in err
        assert b"32 answers" in err
        assert log.read_text().count('"ready"') + log.read_text().count("/infer") > 0
        with Mobile.open(bundle, state=state, adaptive=True) as mobile:
            assert mobile.ledger().answers == 32
            assert_pools_fit(mobile)

    def test_a_line_without_an_end_is_refused_and_stops_all(self, bundle: Path) -> None:
        with self.start(bundle, "--state", ":memory:") as process:
            _, err = process.communicate(b"the film\n" + b"x" * (1 << 24) + b"x", PATIENCE)
        assert process.returncode == 2
        assert err.splitlines()[-1].startswith(b"dimec: standard input, line 2: longer than")

    def answered_once(self, process: subprocess.Popen[bytes]) -> list[psutil.Process]:
        """Have a line answered; returns the servers."""
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"the film is moving\n")
        process.stdin.flush()
        assert b"answered by" in process.stdout.readline()
        return family(process.pid)

    def test_a_signal_to_the_whole_group_stops_all(self, bundle: Path) -> None:
        with self.start(bundle) as process:
            children = self.answered_once(process)
            os.killpg(process.pid, signal.SIGINT)
            assert process.wait(PATIENCE) == 0
            assert process.stderr is not None
            assert b"Traceback" not in process.stderr.read()
        all_gone(children)

    def test_sigterm_stops_all(self, bundle: Path) -> None:
        with self.start(bundle) as process:
            children = self.answered_once(process)
            process.terminate()
            assert process.wait(PATIENCE) == 0
            assert process.stderr is not None
            assert b"Traceback" not in process.stderr.read()
        all_gone(children)

    @pytest.mark.parametrize("words", [(), ("--web",)], ids=["prompt", "web"])
    def test_sigterm_while_the_servers_start_stops_all(
        self, bundle: Path, words: tuple[str, ...]
    ) -> None:
        children: set[psutil.Process] = set()

        def two() -> bool:
            children.update(family(process.pid))
            return len(children) == 2

        process = subprocess.Popen(
            command("up", bundle, *words),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment(),
        )
        with process:
            until(two, "two servers")
            process.terminate()
            out, err = process.communicate(timeout=PATIENCE)
        assert (process.returncode, out) == (0, b"")
        assert b"Traceback" not in err
        # It has waited for them.
        assert not any(child.is_running() for child in children)

    def test_the_servers_do_not_outlive_it(self, bundle: Path) -> None:
        with self.start(bundle) as process:
            children = self.answered_once(process)
            process.kill()
            assert process.wait(PATIENCE) == -signal.SIGKILL
        all_gone(children)


class TestTheLineForAnotherTerminal:
    def test_is_quoted_for_a_shell_and_reads_pairs_from_standard_input(self) -> None:
        urls = {"my box": "http://127.0.0.1:9", "dc": "http://127.0.0.1:10"}
        line = line_from_elsewhere(Path("/a b"), urls, Path("/t/token"), pairs=True)
        assert line == (
            "dimec predict '/a b' --tier 'my box=http://127.0.0.1:9' --tier dc=http://127.0.0.1:10 "
            "--token-file /t/token --state :memory: --input -"
        )


class TestErrors:
    def test_are_one_line(self, bundle: Path, tmp_path: Path, cli: Callable[..., Said]) -> None:
        for place in (tmp_path, bundle / "mobile"):
            assert f"{place} is no whole bundle" in cli("up", place).complaint()
        assert "fallback must be one of" in cli("up", bundle, "--fallback", "luck").complaint()

    def test_of_the_mobile_stop_the_servers(
        self, bundle: Path, tmp_path: Path, cli: Callable[..., Said]
    ) -> None:
        (tmp_path / "state").write_text("mine")
        before = family(os.getpid())
        assert "is no state" in cli("up", bundle, "--state", tmp_path / "state").complaint()
        assert family(os.getpid()) == before
