"""What a server's process is told by signals, its terminal and its standard input."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from dimec.serving.terminal import has_terminal

if TYPE_CHECKING:
    from dimec.serving.logs import JsonLog


class Signals:
    """Takes SIGTERM, SIGINT, SIGHUP and the end of standard input; needs a running event loop.

    Attributes:
        stop: set once the process is to stop.
        reason: why it is.
        leave: is called with the name of the first signal to stop; it stops by default.

    Args:
        log: for a process that is stopped at once.
        renew: is called on SIGHUP, which asks for the bundle that is there now.
        at_once: is called on a second signal, just before the process ends.
    """

    def __init__(
        self, log: JsonLog, renew: Callable[[], None], at_once: Callable[[], None] = lambda: None
    ) -> None:
        self._log = log
        self._renew = renew
        self._at_once = at_once
        self._terminal = has_terminal()
        self._signalled = False
        self._loop = asyncio.get_running_loop()
        self.stop = asyncio.Event()
        self.reason = ""
        self.leave: Callable[[str], None] = self.ask_to_stop

    def __enter__(self) -> Signals:
        self.listen()
        return self

    def listen(self) -> None:
        """Take the signals; again, where a library has taken them meanwhile."""
        for number in (signal.SIGTERM, signal.SIGINT):
            try:
                self._loop.add_signal_handler(number, self._on_signal, number)
            except NotImplementedError:  # Windows
                signal.signal(number, self._from_elsewhere)
        hangup = getattr(signal, "SIGHUP", None)
        if hangup is not None and signal.getsignal(hangup) is not signal.SIG_IGN:  # nohup's
            self._loop.add_signal_handler(hangup, self._on_hangup)

    def __exit__(self, *_: object) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            with suppress(NotImplementedError):  # Windows
                self._loop.remove_signal_handler(number)

    def ask_to_stop(self, reason: str) -> None:
        """Stop; the first reason counts."""
        self.reason = self.reason or reason
        self.stop.set()

    def stop_with_stdin(self) -> None:
        """Stop once nobody holds the other end of standard input any more."""

        def watch() -> None:
            try:
                # None where it was closed from the start; number 0 is then another file's.
                while sys.stdin is not None and os.read(0, 4096):
                    pass
            finally:
                self._loop.call_soon_threadsafe(self.ask_to_stop, "stdin ended")

        threading.Thread(target=watch, name="stdin", daemon=True).start()

    def _from_elsewhere(self, number: int, _: object) -> None:
        self._loop.call_soon_threadsafe(self._on_signal, number)

    def _on_hangup(self) -> None:
        if self._terminal and not has_terminal():
            self.ask_to_stop("the terminal closed")
        elif not self.stop.is_set():
            self._renew()

    def _on_signal(self, number: int) -> None:
        name = signal.Signals(number).name
        # Counted apart from the end of standard input: a parent that dies may well cause both.
        if self._signalled:
            self._log("warning", "stopped at once", signal=name)
            self._log.close()
            self._at_once()
            os._exit(128 + number)
        self._signalled = True
        self.leave(name)
