"""The processes of one server, and waiting for them."""

from __future__ import annotations

import http.client
import time
from collections.abc import Callable

import psutil

from support.served import Server, ask


def workers_of(server: Server) -> list[psutil.Process]:
    """The processes that answer."""
    return list(psutil.Process(server.process.pid).children())


def spread(server: Server, count: int) -> list[http.client.HTTPConnection]:
    """Connections that the workers have by turns."""
    lines = [server.connect() for _ in range(count)]
    for line in lines:
        assert ask(line, "GET", "/v2").status == 200
    return lines


def until(holds: Callable[[], bool]) -> None:
    """Wait for something; the test's time limit ends it."""
    while not holds():
        time.sleep(0.01)
