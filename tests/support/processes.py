"""Tier servers as processes that can be killed, frozen and started again on the same port."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any, Self

from support.tiny import command, environment


class Server:
    """``dimec serve`` in a process of its own.

    Args:
        bundle: the tier's folder.
        log: file for its standard error; grows with every start.
        options: further words of the command line.
    """

    def __init__(self, bundle: Path, log: Path, *options: str) -> None:
        self.bundle, self.log, self.options = bundle, log, options
        self.port = 0
        self.process: subprocess.Popen[str] | None = None
        self.ready: dict[str, Any] = {}
        self.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def start(self) -> None:
        """Start it on the port that it had before, and wait until it answers."""
        words = ("serve", self.bundle, "--port", str(self.port), "--stop-with-stdin")
        with self.log.open("a") as errors:
            self.process = subprocess.Popen(
                command(*words, *self.options),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env=environment(OMP_NUM_THREADS="1"),
            )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, self.log.read_text()
        self.ready = json.loads(line)
        self.port = int(self.ready["url"].rpartition(":")[2])

    def signal(self, number: int) -> None:
        """Send a signal."""
        assert self.process is not None
        os.kill(self.process.pid, number)

    def kill(self) -> None:
        """End it as a power cut would."""
        if self.process is not None:
            end(self.process)
            self.process = None

    def freeze(self) -> None:
        """From now on the kernel takes its connections, and nobody answers them."""
        self.signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let a frozen server go on."""
        self.signal(signal.SIGCONT)

    def stop(self, *ways: str) -> int:
        """End it, by ``"stdin"`` (its end), by ``"signal"`` (SIGTERM) or both; its exit code."""
        process, self.process = self.process, None
        assert process is not None
        assert process.stdin is not None
        for way in ways:
            if way == "signal":
                process.terminate()
            else:
                process.stdin.close()
        try:
            return process.wait(60)
        finally:
            end(process)


def end(process: subprocess.Popen[str]) -> None:
    """Kill a process, if it still runs, and close its pipes."""
    process.kill()
    process.wait()
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            stream.close()
