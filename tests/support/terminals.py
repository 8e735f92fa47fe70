"""The command line in this process with its standard streams on real files and real terminals."""

from __future__ import annotations

import fcntl
import io
import os
import pty
import struct
import sys
import termios
import threading
import tty
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from unittest.mock import patch

from support.tiny import Said

Sink = tuple[int, Callable[[], bytes]]  # where to write, and what was written once that is closed


@contextmanager
def file_sink(path: Path) -> Iterator[Sink]:
    """A file that is emptied first."""
    descriptor = os.open(path, os.O_CREAT | os.O_TRUNC | os.O_WRONLY)
    try:
        yield descriptor, path.read_bytes
    finally:
        os.close(descriptor)


@contextmanager
def terminal_sink(columns: int) -> Iterator[Sink]:
    """A terminal, raw: what it gets is what was written."""
    screen, keyboard = pty.openpty()
    fcntl.ioctl(keyboard, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    tty.setraw(keyboard)
    seen: list[bytes] = []

    def read() -> None:
        try:
            while chunk := os.read(screen, 65_536):
                seen.append(chunk)
        except OSError:  # the other end is closed
            pass

    reader = threading.Thread(target=read, daemon=True)
    reader.start()

    def written() -> bytes:
        if reader.is_alive():
            os.close(keyboard)
            reader.join()
        return b"".join(seen)

    try:
        yield keyboard, written
    finally:
        written()
        os.close(screen)


def run_on(words: Sequence[object], out: Sink, err: Sink, given: bytes = b"") -> Said:
    """``dimec WORDS`` with these as its standard output and error, ``given`` on its input."""
    from dimec.cli import main

    code = 0
    with ExitStack() as stack:
        source, feed = os.pipe()
        os.write(feed, given)
        os.close(feed)
        streams = zip(("stdin", "stdout", "stderr"), (source, out[0], err[0]), strict=True)
        for number, (name, descriptor) in enumerate(streams):
            kept = os.dup(number)
            stack.callback(os.close, kept)
            stack.callback(os.dup2, kept, number)
            os.dup2(descriptor, number)
            mode = "r" if number == 0 else "w"
            stream = io.TextIOWrapper(
                open(number, f"{mode}b", closefd=False),  # noqa: SIM115
                encoding="utf-8",
                line_buffering=number > 0,
            )
            stack.callback(stream.close)
            stack.enter_context(patch.object(sys, name, stream))
        os.close(source)
        stack.enter_context(patch.object(sys, "argv", ["dimec", *map(str, words)]))
        try:
            main()
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else 0
    return Said(code, out[1]().decode(), err[1]().decode())
