"""One of a server's processes: answers on the connections that the supervisor hands to it."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import socket
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from dimec.base.errors import DimecError
from dimec.serving.board import Board, Cell, Seat
from dimec.serving.channel import CONNECTION, Channel, Message
from dimec.serving.copies import CopiedBundle
from dimec.serving.listening import tls_context
from dimec.serving.pinning import Pin, pin_of
from dimec.serving.server import TierServer, loop_factory
from dimec.serving.settings import ServerSettings

if TYPE_CHECKING:
    from dimec.serving.app import TierApp
    from dimec.serving.doors import Adopter
    from dimec.serving.logs import JsonLog
    from dimec.serving.model import Pace
    from dimec.serving.signals import Signals
    from dimec.serving.standing import Standing


class WorkerServer(TierServer):
    """A tier's server whose connections come from a supervisor, and its orders too.

    Args:
        bundle: of the tier, a copy that all workers have.
        settings: of the server.
        sock: what the supervisor is at the other end of.
        log: for everything that happens.
        seat: on the board of the server.
        folders: what is removed where the supervisor is gone and cannot do so.
        pace: of the bundle's graph, where another worker has measured it.
        pin: its core, where it has one.
    """

    def __init__(
        self,
        bundle: CopiedBundle,
        settings: ServerSettings,
        sock: socket.socket,
        log: JsonLog,
        seat: Seat,
        folders: list[str],
        pace: Pace | None,
        pin: Pin | None,
    ) -> None:
        super().__init__(bundle, settings, sock, tls_context(settings), log)
        self._seat = seat
        self._folders = folders
        self._pace, self._pin = pace, pin
        self._adopter: Adopter | None = None
        self._signals: Signals | None = None
        self._prepared: tuple[CopiedBundle, TierApp] | None = None
        self._channel: Channel | None = None
        self._orders: dict[str, Callable[[Message], None]] = {
            "prepare": self._prepare,
            "commit": self._commit,
            "abort": self._abort,
            "drain": self._obey,
        }

    # What a server of one process does otherwise

    async def _run(self, signals: Signals) -> None:
        self._signals = signals
        signals.leave = self._leave
        await super()._run(signals)

    def _renew(self) -> None:
        """SIGHUP is the supervisor's: all take a bundle, or none."""

    def _stand(self) -> Standing:
        from dimec.serving.app import Place
        from dimec.serving.metrics import Families
        from dimec.serving.standing import Standing

        class Copied(Standing):
            async def watch(self) -> None:
                """Nobody changes a copy; the supervisor watches what it was made of."""

        connections = partial(self._seat.board.whole, Cell.CONNECTIONS)
        place = Place(self._seat, Families(), pin=self._pin, spans=self._open_spans())
        return Copied(self._bundle, self._settings, self._log, connections, place, self._pace)

    async def _listen(self, loop: asyncio.AbstractEventLoop, app: Standing) -> Adopter:
        from dimec.serving.doors import Adopter, Doors

        doors = Doors(self._settings, app.record_refusal, self._seat.count(Cell.CONNECTIONS))
        speaker = self._speaker(app, doors)
        self._adopter = Adopter(self._context, self._settings, doors, speaker)
        self._channel = Channel(self._listener, self._hear, self._orphaned)
        return self._adopter

    def _announce(self) -> None:
        if self._pin is not None:
            self._pin.stay()
        self._seat.put(Cell.PID, os.getpid())
        self._beat(asyncio.get_running_loop())
        self._seat.put(Cell.READY, 1)
        assert self._standing is not None
        self._say({"said": "ready", "pace": self._standing.app.pace.to_json()})

    def _beat(self, loop: asyncio.AbstractEventLoop) -> None:
        """Say that the event loop turns, again and again."""
        self._seat.put(Cell.BEAT, time.monotonic())
        loop.call_later(min(1.0, self._settings.hang_seconds / 4), self._beat, loop)

    # What the supervisor says

    def _say(self, message: Message) -> None:
        assert self._channel is not None
        self._channel.send(message)

    def _hear(self, message: Message, sock: socket.socket | None) -> None:
        order = message["do"]
        if order != CONNECTION:
            self._orders[order](message)
            return
        if sock is not None:
            assert self._adopter is not None
            self._adopter.adopt(sock)
        # Behind the count of those that are open, and before the first byte is read.
        self._seat.add(Cell.ADOPTED, 1)
        self._say({"said": "adopted"})

    def _obey(self, message: Message) -> None:
        assert self._signals is not None
        self._seat.put(Cell.READY, 0)
        if self._standing is not None:
            self._standing.leaving = message.get("alone", False)
        self._signals.ask_to_stop(message["reason"])

    def _leave(self, reason: str) -> None:
        """Told to stop by a signal: connections may be on their way, so the last is asked for."""
        self._seat.put(Cell.READY, 0)
        self._say({"said": "leaving", "reason": reason})

    def _orphaned(self) -> None:
        """The supervisor is gone: nobody hands over connections, and nobody clears up."""
        for folder in self._folders:
            shutil.rmtree(folder, ignore_errors=True)
        self._obey({"reason": "the supervisor is gone"})

    # A new bundle: first all load it, then all answer from it

    def _prepare(self, message: Message) -> None:
        task = asyncio.get_running_loop().create_task(self._load(message))
        self._renewals.add(task)
        task.add_done_callback(self._renewals.discard)

    async def _load(self, message: Message) -> None:
        from dimec.serving.logs import error_fields

        assert self._standing is not None
        make, pace = self._standing.make, _pace(message)
        try:
            bundle = await asyncio.to_thread(CopiedBundle.open, message["bundle"])
            app = await asyncio.to_thread(make, bundle, pace)
        except DimecError as error:
            self._say({"said": "refused", "reason": str(error)})
        except Exception as error:
            self._say({"said": "refused", "reason": str(error_fields(error))})
        else:
            self._prepared = bundle, app
            self._say({"said": "prepared", "pace": app.pace.to_json()})

    def _commit(self, message: Message) -> None:
        assert self._standing is not None
        assert self._prepared is not None
        bundle, app = self._prepared
        self._prepared, self._bundle = None, bundle
        self._folders[0] = str(bundle.path)
        old = self._standing.replace(bundle, app)
        task = asyncio.get_running_loop().create_task(self._standing.retire(old))
        self._renewals.add(task)
        task.add_done_callback(self._renewals.discard)
        self._say({"said": "committed"})

    def _abort(self, message: Message) -> None:
        if self._prepared is not None:
            self._prepared[1].close()
            self._prepared = None


def main(arguments: list[str]) -> int:
    """Be a worker: descriptors of the channel and of the board. Returns the exit code."""
    sock = socket.socket(fileno=int(arguments[0]))
    told = _first_line(sock)
    from dimec.serving.logs import JsonLog

    settings = ServerSettings.of(**told["settings"])
    log = JsonLog(settings.log_level, always={"worker": told["worker"]})
    number, count = told["worker"], told["workers"]
    board = Board.at(int(arguments[1]), count)
    try:
        with asyncio.Runner(loop_factory=loop_factory()) as runner:
            bundle = CopiedBundle.open(told["bundle"])
            seat, pin = board.seat(number), pin_of(number, count, settings.pin)
            folders, pace = told["folders"], _pace(told)
            server = WorkerServer(bundle, settings, sock, log, seat, folders, pace, pin)
            runner.run(server.run(False))
    except DimecError as error:
        failed = {"said": "failed", "kind": type(error).__name__, "reason": str(error)}
        sock.setblocking(True)
        sock.sendall(json.dumps(failed).encode("ascii") + b"\n")
        return 2
    finally:
        log.close()
    return 0


def _pace(told: Message) -> Pace | None:
    """What another worker has measured, if any has."""
    from dimec.serving.model import Pace

    return None if told["pace"] is None else Pace.of_json(told["pace"])


def _first_line(sock: socket.socket) -> Any:
    """What the supervisor says first: settings, and which worker this is."""
    line = b""
    while not line.endswith(b"\n"):
        part = sock.recv(1)
        if not part:
            raise SystemExit(0)  # it has gone already
        line += part
    return json.loads(line)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
