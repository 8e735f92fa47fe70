"""What does the work of score and trace record: processes of this machine, or a cluster."""

from __future__ import annotations

import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from dimec.base.errors import ConfigError, quoted
from dimec.base.machine import processors

if TYPE_CHECKING:
    from dimec.scoring.run import Execute

ENGINES = ("local", "ray")


def check_choice(option: str, value: str, choices: Sequence[str]) -> None:
    """Raise ConfigError unless what was given for an option is one of its choices."""
    if value not in choices:
        raise ConfigError(f"{option}: expected {' or '.join(choices)}, got {quoted(value)}")


def engine_of(name: str, workers: int | None) -> Execute:
    """One of :data:`ENGINES`.

    Args:
        name: of it.
        workers: processes, or actors; None: one a core.

    Raises:
        MissingExtraError: ray is not installed.
    """
    if name == "ray":
        from dimec.scoring.ray_engine import require_ray, run_ray

        require_ray()
        return partial(run_ray, workers=workers)
    from dimec.scoring.local import run_local

    return partial(run_local, workers=workers or processors())


@contextmanager
def ended_in_order() -> Iterator[None]:
    """Within this, SIGTERM ends the work as Ctrl-C does: the workers first."""

    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
