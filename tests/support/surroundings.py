"""What the process of the tests is given, and with it every process that a test starts."""

from __future__ import annotations

import os
import signal


def settle() -> None:
    """Set variables and signals; a ``conftest.py`` does it first of all."""
    # No test may reach for a model hub, and a tokenizer that forks threads of its own only prints
    # warnings.
    os.environ["HF_HUB_OFFLINE"] = "1"
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    # Threads that wait for each other at every step of a tiny model only get in each other's way.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    # A script's background job, or nohup, ignores these, and so would every process that is tried.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
