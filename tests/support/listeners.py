"""Progress that a test listens to, or that interrupts the work."""

from __future__ import annotations

from dimec.base.progress import NoProgress


class Killed(NoProgress):
    """Interrupts when an epoch, or a recording, begins."""

    def __init__(self, stage: str) -> None:
        self.stage = stage

    def start(self, stage: str, total: int) -> None:
        if stage == self.stage:
            raise KeyboardInterrupt


class Heard(NoProgress):
    """Keeps what is said."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, text: str) -> None:
        self.said.append(text)
