"""What happens while tasks are done, wherever that is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from dimec.scoring.pieces import Task


@dataclass(frozen=True)
class Read:
    """So many rows more; fewer, where a process died and they are to be read again."""

    rows: int


@dataclass(frozen=True)
class Done:
    """A task is done, with this tally."""

    task: Task
    tally: Mapping[str, Any]


@dataclass(frozen=True)
class Failed:
    """A task cannot be done: the message of an error, and the name of its class."""

    task: Task
    message: str
    kind: str


@dataclass(frozen=True)
class Stopped:
    """No task can be done, as of :class:`Failed`."""

    message: str
    kind: str


Event: TypeAlias = Read | Done | Failed | Stopped
