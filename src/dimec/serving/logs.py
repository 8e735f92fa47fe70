"""One JSON object a line, written by a thread of its own.

A reader that does not read would otherwise stop the server: a full pipe blocks whoever writes. So
lines wait in memory, and are dropped and counted once there are too many.
"""

from __future__ import annotations

import io
import json
import logging
import threading
import time
import traceback
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from functools import lru_cache
from typing import Any, Protocol

from pydantic_core import to_json

from dimec.serving.settings import LogLevel

_LEVELS: dict[str, int] = {"debug": 10, "info": 20, "warning": 30, "error": 40}
_MOST_LINES = 20_000
# Bytes that a pipe takes from one process without another's between them, on Linux; POSIX says 512.
_WHOLE = 4096
_PAUSE = 0.02  # seconds between two writes: many lines at once


class _ByteSink(Protocol):
    """What a log writes to."""

    def write(self, data: bytes, /) -> int | None: ...


class JsonLog:
    """A log of JSON lines.

    Args:
        level: the least severe lines that are written.
        stream: where to, without a buffer; standard error by default.
        always: fields of every line.
    """

    def __init__(
        self,
        level: LogLevel = "info",
        stream: _ByteSink | None = None,
        always: Mapping[str, Any] | None = None,
    ) -> None:
        self._always = dict(always or {})
        self._least = _LEVELS[level]
        # Not sys.stderr: a thread that is stuck in it would keep the interpreter from ending.
        self._stream = io.FileIO(2, "wb", closefd=False) if stream is None else stream
        self._lines: deque[bytes] = deque()
        self._dropped = 0
        self._wake = threading.Event()
        self._closed = False
        self._thread = threading.Thread(target=self._write_all, name="log", daemon=True)
        self._thread.start()

    def enabled(self, level: LogLevel) -> bool:
        return _LEVELS[level] >= self._least

    def __call__(self, level: LogLevel, event: str, **fields: Any) -> None:
        """Write a line; never waits, and never fails.

        Args:
            level: how severe.
            event: what happened.
            fields: JSON values; those that are None are left out. Never a token, never text or
                token ids.
        """
        if _LEVELS[level] < self._least:
            return
        if len(self._lines) >= _MOST_LINES:
            self._dropped += 1
            return
        self._lines.append(_line(level, event, self._always | fields))
        if not self._wake.is_set():
            self._wake.set()

    def close(self, seconds: float = 1.0) -> None:
        """Write what waits, for at most so many seconds."""
        self._closed = True
        self._wake.set()
        self._thread.join(seconds)

    def _write_all(self) -> None:
        while True:
            self._wake.wait()
            self._wake.clear()
            closed = self._closed  # read after clearing: what comes later sets it again
            if not closed:
                time.sleep(_PAUSE)
            count = len(self._lines)
            lines = [self._lines.popleft() for _ in range(count)]
            if self._dropped:
                lines.append(_line("warning", "log lines dropped", {"lines": self._dropped}))
                self._dropped = 0
            # Where nobody reads any more, the server goes on.
            with suppress(OSError, ValueError):
                for some in _together(lines):
                    self._write(some)
            if closed:
                return

    def _write(self, data: bytes) -> None:
        while data:
            written = self._stream.write(data)
            if written is None:  # a stream that does not block, and is full
                time.sleep(_PAUSE)
            data = data[written or 0 :]


@lru_cache(2)
def _stamp(second: int) -> str:
    """Of all lines of a second."""
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))


def _line(level: str, event: str, fields: dict[str, Any]) -> bytes:
    now = time.time()
    stamp = f"{_stamp(int(now))}.{int(now * 1000) % 1000:03d}Z"
    line = {"time": stamp, "level": level, "event": event}
    line |= {name: value for name, value in fields.items() if value is not None}
    text = to_json(line, fallback=str, inf_nan_mode="null").decode("utf-8")
    # JSON allows DEL, C1 controls, line separators and marks of direction as they are; a terminal
    # or a reader of lines would act on them.
    return (text if text.isprintable() else _escaped(text)).encode("utf-8") + b"\n"


def _together(lines: Iterable[bytes]) -> Iterator[bytes]:
    """Lines, as many at a time as are written in one piece: other processes write there too."""
    some = b""
    for line in lines:
        if some and len(some) + len(line) > _WHOLE:
            yield some
            some = b""
        some += line
    yield some


def _escaped(text: str) -> str:
    return "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in text)


def error_fields(error: BaseException) -> dict[str, Any]:
    """What to log of an unexpected error: its kind and where it came from.

    Not its message: a runtime's message may quote what a client sent.
    """
    frames = traceback.extract_tb(error.__traceback__)[-8:]
    where = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]
    return {"error": type(error).__name__, "where": where}


class LogHandler(logging.Handler):
    """Puts warnings and errors of libraries into a :class:`JsonLog`."""

    def __init__(self, log: JsonLog) -> None:
        super().__init__(logging.WARNING)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        level: LogLevel = "error" if record.levelno >= logging.ERROR else "warning"
        fields: dict[str, Any] = {}
        if record.exc_info and isinstance(record.exc_info[1], BaseException):
            fields = error_fields(record.exc_info[1])
        self._log(level, "library", logger=record.name, message=str(record.msg)[:300], **fields)
