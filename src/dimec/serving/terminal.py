"""Whether a process belongs to a terminal: what SIGHUP means depends on it."""

from __future__ import annotations

import os


def has_terminal() -> bool:
    """Whether this process belongs to a terminal that is there."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except (OSError, AttributeError):  # Windows has no such flag
        return False
    return True
