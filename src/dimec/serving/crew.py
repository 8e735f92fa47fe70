"""A worker as its supervisor sees it: a process, and the channel to it."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import dimec
from dimec.base import errors
from dimec.base.errors import ServerError
from dimec.serving.board import SHARED_FOLDER
from dimec.serving.channel import CONNECTION, Channel, Message, channel_ends

_PATIENCE = 600.0  # seconds that a worker has to load a bundle


class WorkerProcess:
    """A process of its own that answers on the connections that it is given.

    Attributes:
        number: which of the workers it is.
        given: connections that it was given.
        leaving: is called when it was told to stop by somebody else.

    Args:
        number: as above.
        folder: where it counts, for the metrics.
    """

    def __init__(self, number: int, folder: Path) -> None:
        self.number = number
        self.given = 0
        self.leaving: Callable[[WorkerProcess, str], None] = lambda worker, reason: None
        self._folder = folder
        self._kept: deque[socket.socket] = deque()
        self._process: asyncio.subprocess.Process | None = None
        self._channel: Channel | None = None
        self._answer: asyncio.Future[Message] = asyncio.get_running_loop().create_future()

    async def start(self, told: Message, board: int) -> None:
        """Start the process and tell it what it is to serve."""
        ours, theirs = channel_ends()
        with theirs:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", "-m", "dimec.serving.worker"),
                *(str(theirs.fileno()), str(board)),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,  # which is the supervisor's, for one line
                pass_fds=(theirs.fileno(), board),
                env=self._environment(),
                # A group of its own: Ctrl-C at the terminal is for the supervisor.
                process_group=0,
            )
        self._channel = Channel(ours, self._hear, self._silent)
        self._channel.send(told)

    def _environment(self) -> dict[str, str]:
        # The package may have been found where the child would not look.
        paths = [str(Path(dimec.__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
        fixed = {
            "PYTHONPATH": os.pathsep.join(filter(None, paths)),
            SHARED_FOLDER: str(self._folder),
        }
        return {name: os.environ[name] for name in os.environ if name != "DIMEC_TOKEN"} | fixed

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.returncode is None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    async def ready(self) -> Message:
        """Wait until it can answer; what it says then.

        Raises:
            DimecError: as it says itself.
            ServerError: it ended without a word.
        """
        message = await self._answer
        if message["said"] == "failed":
            kind = getattr(errors, message["kind"], ServerError)
            raise kind(message["reason"])
        if message["said"] != "ready":
            code = await self.wait()
            raise ServerError(f"worker {self.number} ended with {code} before it was ready")
        return message

    async def ask(self, message: Message) -> Message:
        """Have something prepared, and wait for that; what it says then.

        Raises:
            DimecError: it refuses, and says why; a worker that ends meanwhile refuses nothing,
                since another takes its place.
        """
        self._answer = asyncio.get_running_loop().create_future()
        self.say(message)
        async with asyncio.timeout(_PATIENCE):
            answer = await self._answer
        if answer["said"] == "refused":
            raise ServerError(answer["reason"])
        return answer

    def say(self, message: Message) -> None:
        """Send a message, unless it has ended."""
        if self._channel is not None and self.alive:
            self._channel.send(message)

    def give(self, sock: socket.socket) -> None:
        """Hand a connection over; it is kept here too until the worker has it."""
        assert self._channel is not None
        self.given += 1
        self._kept.append(sock)
        self._channel.send({"do": CONNECTION}, sock.dup())

    def take_back(self, adopted: int) -> list[socket.socket]:
        """Of a worker that has ended: the connections that it never had, by how many it had."""
        never = self.given - adopted
        kept = list(self._kept)
        self._kept.clear()
        for sock in kept[: len(kept) - never]:
            sock.close()
        return kept[len(kept) - never :]

    async def wait(self) -> int:
        """Wait for its end; its exit code, negative for a signal."""
        if self._process is None:
            return 0
        code = await self._process.wait()
        if self._channel is not None:
            self._channel.close()
        return code

    async def end(self) -> None:
        """End it by force."""
        self.kill()
        await self.wait()

    def kill(self) -> None:
        if self._process is not None and self._process.returncode is None:
            with suppress(ProcessLookupError):
                os.kill(self._process.pid, signal.SIGKILL)

    def _hear(self, message: Message, _: socket.socket | None) -> None:
        if message["said"] == "adopted":
            if self._kept:
                self._kept.popleft().close()
        elif message["said"] == "leaving":
            self.leaving(self, message["reason"])
        elif message["said"] != "committed" and not self._answer.done():
            self._answer.set_result(message)

    def _silent(self) -> None:
        if not self._answer.done():
            self._answer.set_result({"said": "nothing"})
