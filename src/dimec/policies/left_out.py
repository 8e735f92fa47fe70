"""Systems that cannot be used on some traces: told together, a line for each reason."""

from __future__ import annotations

from dimec.base.errors import ConfigError
from dimec.base.progress import Progress


class LeftOut:
    """Which systems were left out, and why.

    Example:
        >>> left_out = LeftOut()
        >>> left_out.add("knn", ConfigError("knn looks at embeddings"))
        >>> left_out.add("dimee", ConfigError("dimee looks at embeddings"))
        >>> left_out.lines()
        ['left out: knn, dimee (looks at embeddings)']
    """

    def __init__(self) -> None:
        self._names: dict[str, list[str]] = {}

    def add(self, name: str, error: ConfigError) -> None:
        """A system, and what it was refused with."""
        self._names.setdefault(str(error).removeprefix(f"{name} "), []).append(name)

    def lines(self) -> list[str]:
        """A line for each reason, in the order of their first systems."""
        return [f"left out: {', '.join(names)} ({reason})" for reason, names in self._names.items()]

    def say(self, progress: Progress) -> None:
        """Tell all of it."""
        for line in self.lines():
            progress.say(line)
