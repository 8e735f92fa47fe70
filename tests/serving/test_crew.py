from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from dimec.base.errors import CorruptArtefactError, ServerError
from dimec.serving.board import board_file
from dimec.serving.crew import WorkerProcess


def with_worker(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    program: str,
    work: Callable[[WorkerProcess], Awaitable[None]],
) -> None:
    """Do something with a process that runs a few lines of Python in a worker's place.

    They have ``sock``, its end of the channel, and ``told``, the first line that came by it.
    """
    script = tmp_path / "worker.py"
    script.write_text(
        "import json, os, signal, socket, sys\n"
        "sock = socket.socket(fileno=int(sys.argv[1]))\n"
        "file = sock.makefile('rb')\n"
        "told = json.loads(file.readline())\n"
        "say = lambda **m: sock.sendall(json.dumps(m).encode() + b'\\n')\n" + program,
        "utf-8",
    )
    real = asyncio.create_subprocess_exec

    async def instead(*words: str, **options: object) -> asyncio.subprocess.Process:
        return await real(words[0], str(script), *words[4:], **options)  # type: ignore[arg-type]

    monkeypatch.setattr(asyncio, "create_subprocess_exec", instead)

    async def run() -> None:
        board = board_file(1)
        worker = WorkerProcess(0, tmp_path)
        try:
            await worker.start({"settings": {}, "worker": 0}, board)
            await work(worker)
        finally:
            os.close(board)
            await worker.end()

    asyncio.run(run())


def test_what_it_says_of_its_bundle_is_raised_as_its_own(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async def work(worker: WorkerProcess) -> None:
        with pytest.raises(CorruptArtefactError, match="no graph"):
            await worker.ready()

    with_worker(
        monkeypatch,
        tmp_path,
        "say(said='failed', kind='CorruptArtefactError', reason='no graph')\n",
        work,
    )


def test_one_that_ends_without_a_word_is_told_by_its_code(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async def work(worker: WorkerProcess) -> None:
        with pytest.raises(ServerError, match="worker 0 ended with -9 before it was ready"):
            await worker.ready()
        assert not worker.alive

    with_worker(monkeypatch, tmp_path, "os.kill(os.getpid(), signal.SIGKILL)\n", work)


def test_it_has_no_token_in_its_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DIMEC_TOKEN", "secret-of-the-test")

    async def work(worker: WorkerProcess) -> None:
        await worker.ready()
        environment = Path(f"/proc/{worker.pid}/environ").read_bytes()
        assert b"PROMETHEUS_MULTIPROC_DIR=" + os.fsencode(tmp_path) in environment
        assert b"secret-of-the-test" not in environment

    with_worker(monkeypatch, tmp_path, "say(said='ready')\nfile.readline()\n", work)


def test_what_a_dead_one_had_not_taken_comes_back(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async def work(worker: WorkerProcess) -> None:
        await worker.ready()
        pairs = [socket.socketpair() for _ in range(3)]
        for near, _ in pairs:
            worker.give(near)
        assert worker.given == 3
        assert await worker.wait() == 0
        kept = worker.take_back(adopted=1)
        assert kept == [near for near, _ in pairs[1:]]
        kept[0].sendall(b"still open")
        assert pairs[1][1].recv(20) == b"still open"
        for near, far in pairs:
            near.close()
            far.close()

    # It takes one and says so, and ends with the others unread.
    program = "say(said='ready')\nfile.readline()\nsay(said='other')\n"
    with_worker(monkeypatch, tmp_path, program, work)


def test_it_refuses_a_bundle_and_one_that_ends_refuses_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async def work(worker: WorkerProcess) -> None:
        await worker.ready()
        with pytest.raises(ServerError, match="of another tier"):
            await worker.ask({"do": "prepare"})
        await worker.ask({"do": "prepare"})
        assert await worker.wait() == 0
        worker.say({"do": "commit"})  # nobody is there

    program = "say(said='ready')\nfile.readline()\nsay(said='refused', reason='of another tier')\n"
    with_worker(monkeypatch, tmp_path, program + "file.readline()\n", work)
