"""A real Triton server as a process of its own, from the environment that triton_setup builds."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import IO, Self

from triton_setup import python_library, set_up, site_packages

_START = 90.0  # seconds until a server must be ready
_STOP = 15.0


class TritonError(RuntimeError):
    """The server did not start, or went away; the message is the end of its log."""


class TritonServer:
    """Serves a model repository over HTTP on the loopback; gRPC and metrics are off.

    Args:
        repository: folder of models, as ``dimec export --triton`` writes it.
        port: of HTTP; 0 takes any free one, and keeps it over restarts.

    Raises:
        TritonError: it could not be started.
        setup_env.SetupError: there is no Triton server for this machine.

    Example:
        >>> with TritonServer(Path("models")) as triton:  # doctest: +SKIP
        ...     print(triton.url)
    """

    def __init__(self, repository: Path, port: int = 0) -> None:
        self._environment = set_up()
        self.repository = Path(repository).resolve()
        self.port = port or _free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None
        self._log: IO[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start the server and wait until all its models are ready."""
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 (closed by stop)
        self._process = subprocess.Popen(
            self._command(),
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            env=self._variables(),
            # A group of its own, so that its helpers, one a model instance, can be killed with it.
            start_new_session=True,
        )
        deadline = time.monotonic() + _START
        try:
            while not self.ready():
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise TritonError(f"Triton did not become ready:\n{self._last_words()}")
                time.sleep(0.1)
        except BaseException:
            self.kill()
            raise

    @property
    def pid(self) -> int:
        """Number of the server's process; its helpers are children of it.

        Raises:
            TritonError: it does not run.
        """
        if self._process is None:
            raise TritonError("the server does not run")
        return self._process.pid

    def ready(self) -> bool:
        """Whether the server and all its models are."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", "/v2/health/ready")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def stop(self) -> None:
        """Let it finish what it works on, and end it."""
        if self._process is not None:
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_STOP)
        self.kill()

    def kill(self) -> None:
        """End it at once, with all its helpers."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None
        if self._log is not None:
            self._log.close()
            self._log = None
        for left in Path("/dev/shm").glob(f"{self._prefix}*"):
            left.unlink(missing_ok=True)

    @property
    def _prefix(self) -> str:
        """Of the shared memory between the server and its helpers."""
        return f"dimec-triton-{os.getpid()}-{self.port}"

    def _command(self) -> list[str]:
        wheel = site_packages(self._environment) / "pytriton" / "tritonserver"
        options = {
            "model-repository": self.repository,
            "backend-directory": self._environment / "backends",
            "backend-config": f"python,shm-region-prefix-name={self._prefix}",
            "http-address": "127.0.0.1",
            "http-port": self.port,
            "allow-grpc": "false",
            "allow-metrics": "false",
            "log-info": "false",
            "exit-timeout-secs": 10,
        }
        return [str(wheel / "bin" / "tritonserver"), *(f"--{k}={v}" for k, v in options.items())]

    def _variables(self) -> dict[str, str]:
        """The server's environment: its own packages and libraries, nothing of ours."""
        packages = site_packages(self._environment)
        libraries = [str(packages / "nvidia_pytriton.libs"), str(python_library())]
        return {
            "PATH": os.pathsep.join([str(self._environment / "bin"), os.defpath]),
            "PYTHONPATH": str(packages),
            "LD_LIBRARY_PATH": os.pathsep.join(libraries),
            "HOME": str(Path.home()),
        }

    def _last_words(self) -> str:
        assert self._log is not None
        self._log.seek(0)
        said = self._log.read().decode("utf-8", "replace").strip().splitlines()
        return "\n".join(said[-15:]) or "it said nothing"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
