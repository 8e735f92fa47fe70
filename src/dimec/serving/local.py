"""The servers of a bundle's tiers as child processes on this machine."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Self
from urllib.parse import urlsplit

from dimec.base.errors import MissingArtefactError, ServerError
from dimec.base.storage import storage_errors
from dimec.bundle.folders import is_whole, read_manifest

_START_SECONDS = 120.0
_STOP_SECONDS = 15.0  # a server gives itself 10 to answer what it has accepted
_TAIL = 5  # lines of a failed server's log
_COMPLAINT = "dimec: "  # how the command line begins an error


class LocalTiers:
    """Serves every tier of a bundle but the first from this machine, each in a process of its own.

    The first is the device, which is no server: of a bundle of one tier nothing is started. The
    servers stop with the block. Should this process be killed, they stop by themselves, since
    each ends with its standard input.

    Args:
        bundle: the folder that ``dimec export`` made, with a folder for each tier.
        token: bearer token to ask for; handed over in the environment.
        log: file for the servers' logs; by default a temporary one.
        cors_origins: of the pages that may ask the servers from a browser.
        otel: have the servers make spans for OpenTelemetry, as the environment's variables say.

    Raises:
        MissingArtefactError: no whole bundle, or a tier's folder is not there.
        CorruptArtefactError: the manifest is not what it must be.
        ServerError: a server did not start.
        StorageError: the log cannot be written.

    Example (not run, needs a bundle):
        >>> with LocalTiers("bundles/mine") as tiers:  # doctest: +SKIP
        ...     edge, cloud = tiers.urls["edge"], tiers.urls["cloud"]
        ...     with dimec.Mobile.open("bundles/mine", edge=edge, cloud=cloud) as mobile:
        ...         print(mobile.predict("a moving film").answered_by)

    Attributes:
        urls: tier → address, such as ``http://127.0.0.1:41234``.
    """

    def __init__(
        self,
        bundle: Path | str,
        token: str | None = None,
        log: Path | None = None,
        cors_origins: Sequence[str] = (),
        otel: bool = False,
    ) -> None:
        self._bundle = Path(bundle)
        self._token = token
        self._log_path = log
        self._origins = tuple(cors_origins)
        self._otel = otel
        self._log: IO[bytes] | None = None
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self.urls: dict[str, str] = {}

    @property
    def pids(self) -> dict[str, int]:
        """Tier → number of its process."""
        return {tier: child.pid for tier, child in self._children.items()}

    def __enter__(self) -> Self:
        served = _served(self._bundle)
        for tier in served:
            if not (self._bundle / tier).is_dir():
                raise MissingArtefactError(
                    f"{self._bundle} has no folder {tier}/; give the folder that dimec export made"
                )
        try:
            self._open_log()
            # All are started before the first is waited for: loading a graph takes its time.
            for tier in served:
                self._start(tier, 0)
            for tier in served:
                self._await_ready(tier)
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def restart(self, tier: str) -> None:
        """Stop a server, if it runs, and start it again at the same address.

        Raises:
            ServerError: it did not start.
        """
        self.halt(tier)
        self._start(tier, urlsplit(self.urls[tier]).port or 0)
        self._await_ready(tier)

    def halt(self, tier: str) -> None:
        """Stop one server, once it has answered what it accepted; it keeps its address."""
        if (child := self._children.pop(tier, None)) is not None:
            _stop([child])

    def runs(self, tier: str) -> bool:
        """Whether the process of a server is there."""
        child = self._children.get(tier)
        return child is not None and child.poll() is None

    def stop(self) -> dict[str, int]:
        """Stop all servers; returns their exit codes, 0 where all that was accepted was answered.

        Calling it again does nothing.
        """
        children, self._children = self._children, {}
        try:
            _stop(list(children.values()))
        finally:
            if self._log is not None:
                self._log.close()
                self._log = None
        return {tier: child.returncode for tier, child in children.items()}

    def _open_log(self) -> None:
        if self._log_path is None:
            self._log = tempfile.TemporaryFile(prefix="dimec-servers-")  # noqa: SIM115
            return
        with storage_errors(self._log_path):
            self._log_path.parent.mkdir(parents=True, exist_ok=True)
            self._log = self._log_path.open("a+b")

    def _start(self, tier: str, port: int) -> None:
        words = ["serve", str(self._bundle / tier), "--port", str(port), "--stop-with-stdin"]
        # The tiers share this machine; a worker a core for each of them would only cost memory.
        words += ["--workers", "1"]
        words += [word for origin in self._origins for word in ("--cors-origin", origin)]
        words += ["--otel"] * self._otel
        environment = {name: os.environ[name] for name in os.environ if name != "DIMEC_TOKEN"}
        if self._token is not None:
            environment["DIMEC_TOKEN"] = self._token
        # In a group of its own: Ctrl-C at the terminal is for this process, which stops them then.
        with _sigterm_blocked():  # the server takes it once it can end in order
            self._children[tier] = subprocess.Popen(
                [sys.executable, "-m", "dimec", *words],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._log,
                env=environment,
                process_group=0 if os.name == "posix" else None,
            )

    def _await_ready(self, tier: str) -> None:
        line = _first_line(self._children[tier], time.monotonic() + _START_SECONDS)
        try:
            event = json.loads(line)
            if event["event"] != "ready":
                raise ValueError
            self.urls[tier] = str(event["url"])
        except (ValueError, LookupError, TypeError):
            child = self._children[tier]
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(1.0)
            ended = "is still starting" if child.poll() is None else f"ended with {child.poll()}"
            raise ServerError(
                f"the server of the {tier} did not get ready and {ended}: {self._last_lines()}"
            ) from None

    def _last_lines(self) -> str:
        if self._log is None:
            return "no log"
        with contextlib.suppress(OSError):
            self._log.seek(0)
            lines = self._log.read().decode("utf-8", "replace").splitlines()
            complaints = [line for line in lines if line.startswith(_COMPLAINT)]
            told = complaints[-1:] or lines[-_TAIL:]
            return " | ".join(told).removeprefix(_COMPLAINT) or "it said nothing"
        return "its log cannot be read"


def _served(bundle: Path) -> tuple[str, ...]:
    """The names of a whole bundle's tiers but the first.

    Raises:
        ArtefactError: it is no whole bundle, or its manifest is not what it must be.
    """
    if not is_whole(bundle):
        raise MissingArtefactError(
            f"{bundle} is no whole bundle; give the folder that dimec export made"
        )
    return read_manifest(bundle).names[1:]


@contextlib.contextmanager
def _sigterm_blocked() -> Iterator[None]:
    """Children that are started meanwhile have it blocked too."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _first_line(child: subprocess.Popen[bytes], deadline: float) -> bytes:
    """The first line of a child's output, or what there is of it until it ends or time is up."""
    assert child.stdout is not None
    descriptor, line = child.stdout.fileno(), b""
    while not line.endswith(b"\n") and (left := deadline - time.monotonic()) > 0:
        if os.name == "posix" and not select.select([descriptor], [], [], left)[0]:
            break
        if not (byte := os.read(descriptor, 1)):
            break
        line += byte
    return line


def _stop(children: list[subprocess.Popen[bytes]]) -> None:
    """Ask the children to end, wait, and end by force those that do not."""
    try:
        for child in children:
            child.terminate()
        deadline = time.monotonic() + _STOP_SECONDS
        for child in children:
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(max(0.0, deadline - time.monotonic()))
    finally:
        for child in children:
            if child.poll() is None:
                child.kill()
            child.wait()
            for stream in (child.stdin, child.stdout):
                if stream is not None:
                    stream.close()
