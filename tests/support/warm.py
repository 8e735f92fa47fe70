"""Processes that start warm: forks of one that has imported all that training needs.

A training process takes most of its first seconds to import torch and transformers, and tests that
kill, interrupt and resume start dozens. Each of these is a process of its own with its own
arguments, environment, folder and streams, forked where everything is imported and nothing has
begun; it can be killed like any other. What is tried of a start itself (its imports, the encoding
of its streams) needs a process of the usual kind: :func:`support.tiny.dimec`.
"""

from __future__ import annotations

import atexit
import contextlib
import importlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NoReturn

from filelock import FileLock

from support.tiny import Said, environment

_IMPORTED = (
    "torch",
    "accelerate",
    "transformers.models.bert.modeling_bert",
    "transformers.models.auto.modeling_auto",
    "pyarrow",
    "safetensors.torch",
    "dimec.cli.train",
    "dimec.runs.run",
    "dimec.training.prepare",
    "dimec.training.loop",
    "dimec.training.finish",
    "dimec.training.stages",
    "dimec.training.grid",
    "dimec.report",
    "matplotlib.backends.backend_svg",
    "openTSNE",
    "rich.table",
)
_TESTS = Path(__file__).resolve().parents[1]


class WarmProcess:
    """``python -m dimec …`` as a warm process; the part of ``Popen`` that tests need.

    Attributes:
        pid: of the process.
        returncode: None while it runs; as ``Popen`` has it, negative where a signal ended it.
    """

    def __init__(
        self,
        arguments: Sequence[str | Path],
        *,
        env: Mapping[str, str],
        stdout: int,
        stderr: int,
        limits: Mapping[int, int] | None = None,
    ) -> None:
        self._line = socket.socket(socket.AF_UNIX)
        self._line.connect(_keeper())
        request = {
            "arguments": [str(argument) for argument in arguments],
            "env": dict(env),
            "cwd": str(Path.cwd()),
            "limits": {str(resource): value for resource, value in (limits or {}).items()},
        }
        body = json.dumps(request).encode()
        with open(os.devnull, "rb") as nothing:  # noqa: PTH123
            socket.send_fds(self._line, [b"%8d" % len(body)], [nothing.fileno(), stdout, stderr])
        self._line.sendall(body)
        self._answers = self._line.makefile("rb")
        self.pid = int(self._answers.readline())
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """The exit code, or None while it runs."""
        if self.returncode is None and select.select([self._line], [], [], 0)[0]:
            self.wait()
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end.

        Raises:
            subprocess.TimeoutExpired: it has not ended by then.
        """
        if self.returncode is None:
            if not select.select([self._line], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired("dimec", timeout or 0.0)
            self.returncode = int(self._answers.readline())
            self._answers.close()
            self._line.close()
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send it a signal, unless it has ended."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        """SIGKILL."""
        self.send_signal(signal.SIGKILL)


@cache
def _keeper() -> str:
    """Address of the process that forks, one for all workers of a run of the suite.

    The first that needs it starts it, and it ends when all who asked for it have.
    """
    name = f"dimec-warm-{os.environ.get('PYTEST_XDIST_TESTRUNUID', os.getpid())}"
    folder = Path(tempfile.gettempdir()) / name
    folder.mkdir(mode=0o700, exist_ok=True)
    user = socket.socket(socket.AF_UNIX)
    with FileLock(folder / "lock"):
        try:
            user.connect(str(folder / _USERS))
        except OSError:  # nobody has started it, or it has ended
            _KEPT.append(_started(folder))
            user.connect(str(folder / _USERS))
    _KEPT.append(user)  # open until this process ends
    return str(folder / _REQUESTS)


_USERS, _REQUESTS = "users", "requests"
_KEPT: list[socket.socket | subprocess.Popen[bytes]] = []


def _started(folder: Path) -> subprocess.Popen[bytes]:
    """A keeper that listens in a folder."""
    for name in (_USERS, _REQUESTS):
        (folder / name).unlink(missing_ok=True)
    code = f"import sys; sys.path.insert(0, {str(_TESTS)!r}); from support import warm; warm.keep()"
    process = subprocess.Popen(
        [sys.executable, "-c", code, folder],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        start_new_session=True,  # it may serve others than the worker that starts it
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    process.stdout.close()
    return process


def keep() -> None:
    """Fork a process for each request, until all who asked for this one are gone."""
    for module in _IMPORTED:
        importlib.import_module(module)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # whoever waits is a fork of this one
    listeners = []
    for name in (_USERS, _REQUESTS):
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(f"{sys.argv[1]}/{name}")
        listener.listen()
        listeners.append(listener)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    arrivals, requests = listeners
    users = [arrivals.accept()[0]]
    while users:
        ready, _, _ = select.select([arrivals, requests, *users], [], [])
        users = [user for user in users if user not in ready]  # they say nothing, and are closed
        if arrivals in ready:
            users.append(arrivals.accept()[0])
        if requests in ready:
            line, _ = requests.accept()
            if os.fork() == 0:
                for other in (*listeners, *users):
                    other.close()
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                _wait_for_one(line)
            line.close()


def _wait_for_one(line: socket.socket) -> NoReturn:
    """Start what was asked for, say its number, and its exit code in the end."""
    size, streams, _, _ = socket.recv_fds(line, 8, 3)
    body = b""
    while len(body) < int(size):
        body += line.recv(int(size) - len(body))
    child = os.fork()
    if child == 0:
        line.close()
        _become(json.loads(body), streams)
    for stream in streams:
        os.close(stream)
    line.sendall(b"%d\n" % child)
    while True:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            with contextlib.suppress(OSError):
                line.sendall(b"%d\n" % os.waitstatus_to_exitcode(status))
            os._exit(0)
        if select.select([line], [], [], 0.005)[0]:  # whoever asked is gone
            os.kill(child, signal.SIGKILL)


def _become(request: dict[str, Any], streams: Sequence[int]) -> NoReturn:
    """Be ``python -m dimec`` with these arguments, as far as anyone can tell."""
    import resource

    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.clear()
    os.environ.update(request["env"])
    os.chdir(request["cwd"])
    for number, value in request["limits"].items():
        resource.setrlimit(int(number), (value, value))
    sys.stdin = os.fdopen(0, "r", encoding="utf-8")
    sys.stdout = os.fdopen(1, "w", encoding="utf-8")
    sys.stderr = os.fdopen(2, "w", encoding="utf-8", errors="backslashreplace")
    sys.argv = ["dimec", *request["arguments"]]
    code = 1
    try:
        from dimec.cli import main

        main()
        code = 0
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        atexit._run_exitfuncs()
        for said in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                said.flush()
        os._exit(code)


def warm_dimec(
    *arguments: str | Path, limits: Mapping[int, int] | None = None, timeout: float = 240
) -> Said:
    """Run the command line in a warm process, and what it said."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        process = WarmProcess(
            arguments, env=environment(), stdout=out.fileno(), stderr=err.fileno(), limits=limits
        )
        try:
            code = process.wait(timeout)
        finally:
            process.kill()
        said = []
        for stream in (out, err):
            stream.seek(0)
            said.append(stream.read().decode())
    return Said(code, *said)
