"""What this process may use of the machine."""

from __future__ import annotations

import os
import sys


def processors() -> int:
    """Processor cores that this process may use.

    Not the machine's, where a container or taskset gives this process fewer.
    """
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


# How often a thread of GNU's OpenMP, which torch has on Linux, looks whether the others are done
# before it sleeps. By itself it looks 300,000 times. Where another program has a core for a while,
# all of torch's threads then wait in that loop for the one that has none, at every step of a model:
# benchmarks/busy.py measures what that costs.
_LOOKS = "1000"


def wait_asleep() -> None:
    """Have torch's threads wait for each other asleep, so that they get on beside other programs.

    To be called before torch is imported, since it reads the environment once. What the user has
    set of it, ``GOMP_SPINCOUNT`` or ``OMP_WAIT_POLICY``, holds. OpenMP elsewhere reads
    neither.
    """
    if "torch" not in sys.modules and "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", _LOOKS)
