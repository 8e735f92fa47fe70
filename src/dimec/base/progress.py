"""Live progress of long work, on standard error, so that standard output stays for results."""

from __future__ import annotations

import time
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import TaskID

_QUIET_INTERVAL = 15.0  # seconds between lines where the output is not a terminal


class Progress(Protocol):
    """Where long work reports to. The default, :class:`NoProgress`, says nothing."""

    def say(self, text: str) -> None:
        """A line that stays."""

    def start(self, stage: str, total: int) -> None:
        """A stage of ``total`` steps begins."""

    def advance(self, steps: int, note: str = "") -> None:
        """Some steps of the stage are done."""

    def end(self) -> None:
        """The stage is over."""


class NoProgress:
    """Says nothing."""

    def say(self, text: str) -> None: ...

    def start(self, stage: str, total: int) -> None: ...

    def advance(self, steps: int, note: str = "") -> None: ...

    def end(self) -> None: ...


class RichProgress:
    """A bar with rate and remaining time on a terminal; a line now and then elsewhere.

    The bar is there during a stage only, so that whatever is printed between stages stays whole.
    """

    def __init__(self, console: Console | None = None) -> None:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )
        from rich.progress import Progress as Bars

        self._console = console or Console(stderr=True)
        self._bars = Bars(
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TextColumn("{task.fields[note]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=self._console,
            transient=True,
            disable=not self._console.is_interactive,
            # What others print goes where they send it: a bar on standard error must never take
            # hold of standard output, which may be a file or another program.
            redirect_stdout=False,
            redirect_stderr=self._console.stderr,
        )
        self._task: TaskID | None = None
        self._stage, self._total, self._done, self._spoke = "", 0, 0, 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.end()

    def say(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def start(self, stage: str, total: int) -> None:
        self.end()
        self._stage, self._total, self._done, self._spoke = stage, total, 0, time.monotonic()
        self._task = self._bars.add_task(stage, total=total, note="")
        self._bars.start()

    def advance(self, steps: int, note: str = "") -> None:
        if self._task is None:
            return
        self._done += steps
        self._bars.update(self._task, advance=steps, note=note)
        quiet_for = time.monotonic() - self._spoke
        if not self._console.is_interactive and quiet_for > _QUIET_INTERVAL:
            self._spoke = time.monotonic()
            self.say(f"  {self._stage}: {self._done}/{self._total} {note}")

    def end(self) -> None:
        if self._task is not None:
            self._bars.remove_task(self._task)
            self._task = None
            self._bars.stop()
