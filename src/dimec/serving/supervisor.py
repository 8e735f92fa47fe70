"""Several processes behind one address: started, restarted, given a new bundle, and stopped.

The supervisor accepts every connection and hands it to the worker that has the fewest. Left to the
system, sixteen clients that keep their connections are shared out badly between two workers: of a
socket that both accept from, by epoll, 15.5 on average came to one of them (60 trials on Linux), by
``SO_REUSEPORT`` 9.5 (300 trials). One core is then idle while the other has a queue. Handing over
costs something a connection, and nothing a request.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import tempfile
import time
from collections import deque
from collections.abc import Coroutine
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dimec.base.errors import DimecError
from dimec.bundle.folders import TierBundle
from dimec.serving.board import Board, Cell, Fact, board_file
from dimec.serving.copies import Copy
from dimec.serving.crew import WorkerProcess
from dimec.serving.listening import announce
from dimec.serving.server import BACKLOG, LAST_WORDS
from dimec.serving.settings import ServerSettings
from dimec.serving.signals import Signals
from dimec.serving.watching import LOOK, difference, stamps

if TYPE_CHECKING:
    from dimec.serving.logs import JsonLog

_STEADY = 30.0  # seconds after which a worker that ends is none that cannot live
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 30.0  # before one is started again; it doubles each time
_MANY = 64  # connections that are accepted at a time
_NO_ROOM = 0.05  # seconds until accepting is tried again


class Supervisor:
    """Keeps the workers of a tier.

    Args:
        bundle: of the tier.
        settings: of the server.
        listener: a bound socket.
        log: for everything that happens.
    """

    def __init__(
        self, bundle: TierBundle, settings: ServerSettings, listener: socket.socket, log: JsonLog
    ) -> None:
        self._settings = settings
        self._listener = listener
        self._log = log
        self._count = settings.processes
        self._copy = Copy(bundle)
        self._pace: Any = None  # of the copy's graph, as the first worker measures it
        self._seen = stamps(bundle)
        self._board_file = board_file(self._count)
        self._board = Board.at(self._board_file, self._count)
        self._board.state(Fact.PID, os.getpid())
        self._folder = Path(tempfile.mkdtemp(prefix="dimec-metrics-"))
        self._workers: dict[int, WorkerProcess] = {}
        # A worker that starts loads the bundle of the others: none starts while that changes.
        self._changing = asyncio.Lock()
        self._listening = False
        self._waiting: deque[socket.socket] = deque()  # connections that no worker has

    async def run(self, stop_with_stdin: bool) -> None:
        """Start the workers, announce, keep them until the signal to stop, drain.

        Raises:
            DimecError: what the first worker that cannot start says.
        """
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        try:
            with Signals(self._log, self._renew_soon, self._end) as self._signals:
                await self._run(stop_with_stdin)
        finally:
            for task in self._tasks:
                task.cancel()
            self._end()
            for worker in self._workers.values():
                await worker.wait()
            os.close(self._board_file)

    async def _run(self, stop_with_stdin: bool) -> None:
        async with self._changing:  # a signal to take another bundle waits until all have this one
            if not await self._start_all():
                return
        if stop_with_stdin:  # not before: what a worker that cannot start says is to be heard
            self._signals.stop_with_stdin()
        self._listener.setblocking(False)
        self._listener.listen(BACKLOG)
        self._listen()
        for number in range(self._count):
            self._spawn(self._keep(number))
        self._spawn(self._watch())
        self._spawn(self._listen_for_beats())
        await asyncio.sleep(0)  # a signal that came meanwhile is seen first
        if not self._signals.stop.is_set():
            port = self._listener.getsockname()[1]
            announce(self._settings, self._copy.original.manifest, port, self._log)
        await self._signals.stop.wait()
        await self._drain()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # Workers

    async def _start_all(self) -> bool:
        """All workers; returns False where a signal to stop came first."""
        starting = asyncio.ensure_future(self._start_each())
        stopping = asyncio.ensure_future(self._signals.stop.wait())
        await asyncio.wait((starting, stopping), return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if starting.done():
            starting.result()  # raises what the first that failed said
            return True
        starting.cancel()
        with suppress(asyncio.CancelledError):
            await starting
        return False

    async def _start_each(self) -> None:
        """The first alone, which measures the graph; then the others, side by side."""
        await self._start(0)
        await asyncio.gather(*map(self._start, range(1, self._count)))

    async def _start(self, number: int) -> None:
        """Start a worker and wait until it is ready.

        Raises:
            DimecError: it says that it cannot, or ended without a word.
        """
        self._board.clear(number)
        told = {
            "settings": self._settings_told(),
            "bundle": str(self._copy.path),
            "folders": [str(self._copy.path), str(self._folder)],
            "worker": number,
            "workers": self._count,
            "pace": self._pace,
        }
        worker = WorkerProcess(number, self._folder)
        self._workers[number] = worker
        worker.leaving = self._drain_one
        await worker.start(told, self._board_file)
        try:
            self._pace = (await worker.ready())["pace"]
        except DimecError as error:
            private, known = str(self._copy.path), str(self._copy.original.path)
            raise type(error)(str(error).replace(private, known)) from None

    def _settings_told(self) -> dict[str, Any]:
        told = self._settings.model_dump(mode="json", exclude={"token"})
        if (token := self._settings.token) is not None:
            told["token"] = token.get_secret_value()
        return told

    async def _keep(self, number: int) -> None:
        """Put another worker into the place of one that has ended, again and again."""
        failures, begun = 0, time.monotonic()
        while True:
            code = await self._workers[number].wait()
            if self._signals.stop.is_set():
                return
            adopted = int(self._board.get(number, Cell.ADOPTED))
            self._board.clear(number)
            self._waiting.extend(self._workers[number].take_back(adopted))
            self._hand_over()
            lived = time.monotonic() - begun
            failures = 0 if code == 0 or lived > _STEADY else failures + 1
            pause = min(_FIRST_PAUSE * 2 ** (failures - 1), _LONGEST_PAUSE) if failures else 0.0
            told = {"worker": number, "exit_code": code, "seconds": round(lived, 3)}
            self._log("warning" if code else "info", "worker ended", **told, again_in=pause)
            await asyncio.sleep(pause)
            async with self._changing:
                begun = time.monotonic()
                try:
                    await self._start(number)
                except DimecError as error:
                    self._log("error", "worker not started", worker=number, reason=str(error))
                    await self._workers[number].end()
                    continue
            restarts = self._board.fact(Fact.RESTARTS)
            self._board.state(Fact.RESTARTS, restarts + 1)
            self._log("info", "worker started", worker=number, pid=self._workers[number].pid)
            self._hand_over()
            self._listen()

    async def _listen_for_beats(self) -> None:
        """End a worker that is deaf: its event loop no longer turns, or it was stopped."""
        patience = self._settings.hang_seconds
        pause = min(1.0, patience / 4)
        awake = seen = time.monotonic()
        while True:
            await asyncio.sleep(pause)
            now = time.monotonic()
            if now - seen > 2 * pause:  # it was this process that slept, so the others have time
                awake = now
            seen = now
            for worker in self._workers.values():
                beat = self._board.get(worker.number, Cell.BEAT)
                if beat and worker.alive and now - max(beat, awake) > patience:
                    self._log("error", "worker hangs", worker=worker.number, pid=worker.pid)
                    worker.kill()

    def _drain_one(self, worker: WorkerProcess, reason: str) -> None:
        """A worker was told to stop by a signal of its own: it has its last connection now."""
        worker.say({"do": "drain", "reason": reason, "alone": True})

    def _kill(self) -> None:
        for worker in self._workers.values():
            worker.kill()

    def _end(self) -> None:
        """End what is left, and leave no file behind."""
        self._kill()
        while self._waiting:
            self._waiting.popleft().close()
        self._copy.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    # Connections

    def _listen(self) -> None:
        if not self._listening and self._listener.fileno() >= 0:
            self._listening = True
            self._loop.add_reader(self._listener, self._accept)

    def _rest(self, seconds: float | None = None) -> None:
        """Accept nothing for a while: connections wait in the system's backlog."""
        self._listening = False
        self._loop.remove_reader(self._listener)
        if seconds is not None:
            self._loop.call_later(seconds, self._listen)

    def _accept(self) -> None:
        for _ in range(_MANY):
            if not any(map(self._takes, self._workers.values())):
                self._rest()  # until one is started
                return
            try:
                sock, _address = self._listener.accept()
            except (BlockingIOError, InterruptedError):
                return
            except OSError:  # gone again, or no file descriptor is left
                self._rest(_NO_ROOM)
                return
            if sock.family != socket.AF_UNIX:
                with suppress(OSError):
                    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._waiting.append(sock)
            self._hand_over()

    def _hand_over(self) -> None:
        """Give each connection that waits to the worker that has the fewest, if there is any."""
        while self._waiting and (
            ready := [worker for worker in self._workers.values() if self._takes(worker)]
        ):
            min(ready, key=self._load).give(self._waiting.popleft())

    def _takes(self, worker: WorkerProcess) -> bool:
        return bool(self._board.get(worker.number, Cell.READY)) and worker.alive

    def _load(self, worker: WorkerProcess) -> float:
        """Connections that a worker has, with those that are on their way to it."""
        adopted = self._board.get(worker.number, Cell.ADOPTED)
        return self._board.get(worker.number, Cell.CONNECTIONS) + worker.given - adopted

    # A new bundle

    async def _watch(self) -> None:
        """Notice when the bundle on the disk is no longer the one that is served."""
        while True:
            await asyncio.sleep(LOOK)
            async with self._changing:
                original = self._copy.original
                seen = await asyncio.to_thread(stamps, original)
                if seen == self._seen:
                    continue
                self._seen = seen
                reason = await asyncio.to_thread(difference, original)
                if bool(reason) != bool(self._board.fact(Fact.CHANGED)):
                    event = "bundle changed on disk" if reason else "bundle is again the one served"
                    self._log("warning", event, version=original.manifest.version, reason=reason)
                self._board.state(Fact.CHANGED, bool(reason))

    def _renew_soon(self) -> None:
        self._spawn(self._renew())

    async def _renew(self) -> None:
        """Have all workers answer from what is on the disk now, or none."""
        async with self._changing:
            copy = pace = None
            try:
                seen = await asyncio.to_thread(stamps, self._copy.original)
                copy = await asyncio.to_thread(Copy.of_disk, self._copy.original)
                # One after the other, so that the others have the processor meanwhile.
                workers = [w for w in self._workers.values() if self._takes(w)]
                for worker in workers:
                    order = {"do": "prepare", "bundle": str(copy.path), "pace": pace}
                    pace = (await worker.ask(order)).get("pace", pace)
            except (DimecError, OSError) as error:
                reason = str(error)
                if copy is not None:
                    reason = reason.replace(str(copy.path), str(copy.original.path))
                    copy.close()
                for worker in self._workers.values():
                    worker.say({"do": "abort"})
                self._log("error", "bundle refused", reason=reason)
                return
            for worker in workers:
                worker.say({"do": "commit"})
            old, self._copy, self._seen, self._pace = self._copy, copy, seen, pace
            old.close()
            self._board.state(Fact.CHANGED, False)
            self._log("info", "bundle taken", version=copy.original.manifest.version)

    # Stopping

    async def _drain(self) -> None:
        """Accept nothing more, let the workers finish what was accepted."""
        self._rest()
        self._listener.close()
        self._log("info", "draining", reason=self._signals.reason)
        workers = list(self._workers.values())
        for worker in workers:
            worker.say({"do": "drain", "reason": self._signals.reason})
        seconds = self._settings.drain + 4 * LAST_WORDS
        ended = [asyncio.ensure_future(worker.wait()) for worker in workers]
        _, late = await asyncio.wait(ended, timeout=seconds)
        if late:
            self._log("warning", "drain took too long", workers=len(late))
            self._kill()
            await asyncio.wait(ended)
        self._log("info", "stopped")
