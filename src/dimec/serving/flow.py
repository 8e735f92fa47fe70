"""When a connection is read from."""

from __future__ import annotations

import asyncio
from collections.abc import Collection

from uvicorn.protocols.http.flow_control import FlowControl


class OneAtATime(FlowControl):
    """Reads nothing more while requests that were read wait for their turn.

    Args:
        transport: of the connection.
        waiting: those requests.
    """

    def __init__(self, transport: asyncio.Transport, waiting: Collection[object]) -> None:
        super().__init__(transport)
        self._waiting = waiting

    def resume_reading(self) -> None:
        if not self._waiting:
            super().resume_reading()
