"""SIGTERM at any moment of a server's start ends it in order."""

from __future__ import annotations

import signal
import subprocess
import time
from pathlib import Path

import pytest

from support.tiny import command, environment


@pytest.mark.parametrize("delay", [0, 0.05, 0.1, 0.2, 0.3, 0.5, 0.8, 1.2])
def test_it_ends_in_order(tier: Path, delay: float) -> None:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    try:
        process = subprocess.Popen(
            command("serve", tier, "--port", "0"),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment(OMP_NUM_THREADS="1"),
        )
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    time.sleep(delay)
    process.terminate()
    _, said = process.communicate(timeout=60)
    assert process.returncode == 0, said
    assert b"Traceback" not in said


@pytest.mark.parametrize("delay", [0, 0.1, 0.3, 0.8])
def test_a_hangup_without_a_terminal_asks_for_the_bundle_that_is_read_anyway(
    tier: Path, delay: float
) -> None:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGHUP})
    try:
        process = subprocess.Popen(
            command("serve", tier, "--port", "0"),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment(OMP_NUM_THREADS="1"),
            start_new_session=True,
        )
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    time.sleep(delay)
    process.send_signal(signal.SIGHUP)
    assert process.stdout is not None
    ready = process.stdout.readline()
    process.terminate()
    _, said = process.communicate(timeout=60)
    assert b'"ready"' in ready, said
    assert process.returncode == 0, said
