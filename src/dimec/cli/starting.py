"""A server that is told to stop while it is still starting ends in order, with exit code 0.

Python's own answer to SIGTERM is to die of it, and importing what a server needs takes a while. So
this is imported before all else; the server's own handler takes over once its loop runs, or that of
``dimec up`` before it starts its servers. A parent that wants no gap at all starts the server with
SIGTERM blocked.
"""

from __future__ import annotations

import os
import signal
import sys
import threading


def end_in_order() -> None:
    """From now on SIGTERM ends this process with exit code 0: nothing was accepted yet.

    SIGHUP, which asks for the bundle that is there now, is heeded by going on: it is just being
    read. On a terminal it says that the terminal closes, and ends the process as ever.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    end_on_sigterm()
    from dimec.serving.terminal import has_terminal

    started_by = {signal.SIGTERM}
    if (hangup := getattr(signal, "SIGHUP", None)) is not None:
        started_by.add(hangup)
        if signal.getsignal(hangup) is signal.SIG_DFL and not has_terminal():
            signal.signal(hangup, lambda *_: None)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, started_by)


def end_on_sigterm() -> None:
    """From now on SIGTERM ends this process with exit code 0: nothing was started yet."""
    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, lambda *_: os._exit(0))


if sys.argv[1:2] == ["serve"]:
    end_in_order()
elif sys.argv[1:2] == ["up"]:
    end_on_sigterm()
