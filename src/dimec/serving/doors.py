"""Who may come in: connections are counted from their first byte to their last, TLS or not."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from enum import Enum, auto
from typing import TYPE_CHECKING

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
    """

    def __init__(self, settings: ServerSettings, refused: Callable[[int], None]) -> None:
        self._limit = settings.max_connections
        self.record_refusal = refused
        self._inside: set[object] = set()
        self._told: set[object] = set()

    def admit(self, connection: object) -> Welcome:
        """What becomes of a connection; it is counted until it leaves, unless it is not let in."""
        if connection in self._inside:
            return Welcome.COME_IN
        if connection in self._told:
            return Welcome.ONLY_TO_BE_TOLD
        if len(self._inside) < self._limit:
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
        self._told.discard(connection)


class TlsAcceptor:
    """Accepts connections, and agrees with each on TLS.

    The loop's own server would tell of a connection after its handshake only, so that any number
    of handshakes could be under way.

    Args:
        listener: a bound socket.
        backlog: connections that the system may keep waiting.
        context: of TLS.
        settings: how long a handshake and a farewell may take.
        doors: count the connections.
        make: what is spoken on one.
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
        self._listener = listener
        self._context = context
        self._seconds = settings.header_seconds
        self._doors = doors
        self._make = make
        listener.setblocking(False)
        listener.listen(backlog)
        self._tasks = {asyncio.create_task(self._accept())}

    def close(self) -> None:
        """Accept nothing more, and give up handshakes that are under way."""
        for task in self._tasks:
            task.cancel()
        self._listener.close()

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                sock, _ = await loop.sock_accept(self._listener)
            except OSError:  # gone again, or no file descriptor is left
                await asyncio.sleep(_BREATH)
                continue
            connection = self._make()
            if self._doors.admit(connection) is Welcome.NOT_AT_ALL:
                sock.close()
                continue
            task = loop.create_task(self._agree(sock, connection))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _agree(self, sock: socket.socket, connection: asyncio.Protocol) -> None:
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: connection,
                sock,
                ssl=self._context,
                ssl_handshake_timeout=self._seconds,
                ssl_shutdown_timeout=self._seconds,
            )
        except OSError:  # no handshake, or none in time: there is nobody to tell
            self._doors.leave(connection)
        except asyncio.CancelledError:
            self._doors.leave(connection)
            raise
