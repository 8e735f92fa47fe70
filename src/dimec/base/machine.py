"""What this process may use of the machine."""

from __future__ import annotations

import os


def processors() -> int:
    """Processor cores that this process may use.

    Not the machine's, where a container or taskset gives this process fewer.
    """
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
