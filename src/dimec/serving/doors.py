"""Who may come in: connections are counted from their first byte to their last, TLS or not."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from enum import Enum, auto
from typing import TYPE_CHECKING, Any

from dimec.serving.board import Cell, Count

if TYPE_CHECKING:
    from dimec.serving.settings import ServerSettings

# Connections beyond the limit that are told so: one that lingers, so that its client can read the
# answer, costs as much as any other.
_MOST_TOLD = 32
_BREATH = 0.05  # seconds until accepting is tried again


class Welcome(Enum):
    """What becomes of a connection."""

    COME_IN = auto()
    ONLY_TO_BE_TOLD = auto()
    NOT_AT_ALL = auto()


class Doors:
    """Counts connections, and says which are too many.

    Args:
        settings: the limits.
        refused: is called with the status of each connection that never became a request.
        count: of this process's among those of all that share the limit; none do by default.
    """

    def __init__(
        self,
        settings: ServerSettings,
        refused: Callable[[int], None],
        count: Count | None = None,
    ) -> None:
        self._limit = settings.max_connections
        self._count = count or Count.of_one(Cell.CONNECTIONS)
        self.record_refusal = refused
        self._inside: set[object] = set()
        self._told: set[object] = set()

    def admit(self, connection: object) -> Welcome:
        """What becomes of a connection; it is counted until it leaves, unless it is not let in."""
        if connection in self._inside:
            return Welcome.COME_IN
        if connection in self._told:
            return Welcome.ONLY_TO_BE_TOLD
        if self._count.fits(len(self._inside) + 1, self._limit):
            self._inside.add(connection)
            return Welcome.COME_IN
        if len(self._told) < _MOST_TOLD:
            self._told.add(connection)
            return Welcome.ONLY_TO_BE_TOLD
        self.record_refusal(503)
        return Welcome.NOT_AT_ALL

    def leave(self, connection: object) -> None:
        """Count it no longer."""
        self._inside.discard(connection)
        self._count.put(len(self._inside))
        self._told.discard(connection)


class Adopter:
    """Speaks on connections that were accepted elsewhere, once both sides agree on TLS if need be.

    Args:
        context: of TLS; None without.
        settings: how long a handshake and a farewell may take.
        doors: count the connections.
        make: what is spoken on one.
    """

    def __init__(
        self,
        context: ssl.SSLContext | None,
        settings: ServerSettings,
        doors: Doors,
        make: Callable[[], asyncio.Protocol],
    ) -> None:
        self._secure: dict[str, Any] = {}
        if context is not None:
            seconds = settings.header_seconds
            self._secure = {
                "ssl": context,
                "ssl_handshake_timeout": seconds,
                "ssl_shutdown_timeout": seconds,
            }
        self._doors = doors
        self._make = make
        self._tasks: set[asyncio.Task[None]] = set()

    def adopt(self, sock: socket.socket) -> None:
        """Take a connection, or close it where there are too many."""
        connection = self._make()
        if self._doors.admit(connection) is Welcome.NOT_AT_ALL:
            sock.close()
            return
        task = asyncio.get_running_loop().create_task(self._agree(sock, connection))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def close(self) -> None:
        """Give up handshakes that are under way."""
        if self._secure:
            for task in self._tasks:
                task.cancel()

    async def _agree(self, sock: socket.socket, connection: asyncio.Protocol) -> None:
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: connection, sock, **self._secure
            )
        except OSError:  # no handshake, or none in time: there is nobody to tell
            self._doors.leave(connection)
        except asyncio.CancelledError:
            self._doors.leave(connection)
            raise


class TlsAcceptor(Adopter):
    """Accepts connections, and agrees with each on TLS.

    The loop's own server would tell of a connection after its handshake only, so that any number
    of handshakes could be under way.

    Args:
        listener: a bound socket.
        backlog: connections that the system may keep waiting.
        context, settings, doors, make: as of :class:`Adopter`.
    """

    def __init__(
        self,
        listener: socket.socket,
        backlog: int,
        context: ssl.SSLContext,
        settings: ServerSettings,
        doors: Doors,
        make: Callable[[], asyncio.Protocol],
    ) -> None:
        super().__init__(context, settings, doors, make)
        self._listener = listener
        listener.setblocking(False)
        listener.listen(backlog)
        self._accepting = asyncio.create_task(self._accept())

    def close(self) -> None:
        """Accept nothing more, and give up handshakes that are under way."""
        self._accepting.cancel()
        super().close()
        self._listener.close()

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                sock, _ = await loop.sock_accept(self._listener)
            except OSError:  # gone again, or no file descriptor is left
                await asyncio.sleep(_BREATH)
                continue
            self.adopt(sock)
