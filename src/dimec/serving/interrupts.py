"""Being told to stop, where that is to end children in order too."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from typing import NoReturn


@contextlib.contextmanager
def sigterm_as_interrupt() -> Iterator[None]:
    """While the block runs SIGTERM raises KeyboardInterrupt, as Ctrl-C does.

    Python's own answer is to die at once, so that nothing is stopped in order. An event loop's
    handler may take its place meanwhile; where the loop has ended, this one is not back. Outside of
    the main thread, which alone handles signals, nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt
