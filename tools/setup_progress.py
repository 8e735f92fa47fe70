"""Progress lines for the set-up: one line a step, with counts and seconds, alive while pip works.

On a terminal the line is rewritten in place; elsewhere (a log, CI) a new line comes now and then.
"""

from __future__ import annotations

import sys
import threading
import time
from pathlib import PurePath
from types import TracebackType
from typing import TextIO

_TERMINAL_SECONDS = 0.5
_LOG_SECONDS = 15.0


class StepProgress:
    """Shows that a step is alive. Feed it the step's output; it counts what pip collects."""

    def __init__(self, title: str, total: int = 0, stream: TextIO | None = None) -> None:
        self._title, self._total = title, total
        self._stream = sys.stdout if stream is None else stream
        self._live = self._stream.isatty()
        self._seen, self._state = 0, ""
        self._done = threading.Event()
        self._start = time.monotonic()
        self._thread = threading.Thread(target=self._tick, daemon=True)

    def hear(self, line: str) -> None:
        """Take in one line of the step's output."""
        words = line.split()
        # pip says "Collecting" of what it downloads and "Processing" of a file already here.
        if line.startswith(("Collecting ", "Processing ")) and len(words) > 1:
            self._seen += 1
            name = PurePath(words[1]).name.split("==")[0]
            count = f"{self._seen} of {self._total}, " if self._total else ""
            self._state = f"fetching {count}{name}"
        elif line.startswith("Installing collected packages"):
            self._state = "unpacking and compiling"

    def line(self) -> str:
        """The line as it stands now."""
        seconds = f"{time.monotonic() - self._start:.0f} s"
        detail = ", ".join(part for part in (self._state, seconds) if part)
        return f"set-up: {self._title}: {detail}"

    def _show(self, *, last: bool = False) -> None:
        if self._live:
            self._stream.write("\r\x1b[K" + self.line() + ("\n" if last else ""))
        else:
            self._stream.write(self.line() + "\n")
        self._stream.flush()

    def _tick(self) -> None:
        while not self._done.wait(_TERMINAL_SECONDS if self._live else _LOG_SECONDS):
            self._show()

    def __enter__(self) -> StepProgress:
        self._show()
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._done.set()
        self._thread.join()
        self._state = "failed" if kind else "done"
        self._show(last=True)
