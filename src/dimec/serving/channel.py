"""What the supervisor and a worker say to each other: a JSON object a line, and connections.

A connection goes to another process as a descriptor beside a line (``SCM_RIGHTS``). What was sent
first arrives first, so a worker that reads "drain" has all connections that it was given.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any

CONNECTION = "connection"
_AT_ONCE = 1 << 16  # bytes
_MOST_SOCKETS = 64  # of one read; there is one a line

Message = dict[str, Any]


class Channel:
    """One end of a socket pair; needs a running event loop.

    Args:
        sock: the end.
        heard: is called with each message, and the socket that came with it.
        ended: is called once when the other end is gone.
    """

    def __init__(
        self,
        sock: socket.socket,
        heard: Callable[[Message, socket.socket | None], None],
        ended: Callable[[], None],
    ) -> None:
        self._sock = sock
        self._heard = heard
        self._ended = ended
        self._loop = asyncio.get_running_loop()
        self._outbox: deque[tuple[bytes, socket.socket | None]] = deque()
        self._read = b""
        self._sockets: deque[int] = deque()
        self._open = True
        sock.setblocking(False)
        self._loop.add_reader(sock, self._receive)

    def send(self, message: Message, beside: socket.socket | None = None) -> None:
        """Send a message; a socket beside it is the other process's from then on."""
        self._outbox.append((json.dumps(message).encode("ascii") + b"\n", beside))
        if len(self._outbox) == 1:
            self._flush()

    def close(self) -> None:
        """Send and receive nothing more."""
        if self._open:
            self._open = False
            self._loop.remove_reader(self._sock)
            self._loop.remove_writer(self._sock)
            self._sock.close()
        for _, beside in self._outbox:
            if beside is not None:
                beside.close()
        self._outbox.clear()
        while self._sockets:
            os.close(self._sockets.popleft())

    def _flush(self) -> None:
        while self._open and self._outbox:
            data, beside = self._outbox[0]
            try:
                if beside is None:
                    sent = self._sock.send(data)
                else:
                    sent = socket.send_fds(self._sock, [data], [beside.fileno()])
                    beside.close()
            except BlockingIOError:
                self._loop.add_writer(self._sock, self._flush)
                return
            except OSError:  # the other end is gone, which the reader notices
                self.close()
                self._loop.call_soon(self._ended)
                return
            if sent == len(data):
                self._outbox.popleft()
            else:
                self._outbox[0] = (data[sent:], None)
        if self._open:
            self._loop.remove_writer(self._sock)

    def _receive(self) -> None:
        try:
            data, descriptors, _, _ = socket.recv_fds(self._sock, _AT_ONCE, _MOST_SOCKETS)
        except BlockingIOError:
            return
        except OSError:
            data, descriptors = b"", []
        if not data:
            self.close()
            self._ended()
            return
        self._sockets.extend(descriptors)
        *lines, self._read = (self._read + data).split(b"\n")
        for line in lines:
            message = json.loads(line)
            # None came with it where this process has no room for another open file.
            given = message.get("do") == CONNECTION and self._sockets
            self._heard(message, socket.socket(fileno=self._sockets.popleft()) if given else None)


def channel_ends() -> tuple[socket.socket, socket.socket]:
    """Two ends that are connected."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    for end in (ours, theirs):
        with suppress(OSError):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    return ours, theirs
