"""The chaos proxy as a process of its own, driven from Python."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, Self

_PROXY = Path(__file__).resolve().with_name("chaos_proxy.py")


class ChaosProxy:
    """The proxy as a process of its own, driven from Python.

    Args:
        to: ``HOST:PORT`` or ``http://HOST:PORT`` of the server.
        seed: of the faults.
        settings: see :class:`Settings`.

    Example:
        >>> with ChaosProxy("http://127.0.0.1:8001", corrupt=0.01) as proxy:  # doctest: +SKIP
        ...     use(proxy.url)
        ...     proxy.change(corrupt=0, blackhole=1)
        ...     print(proxy.stats()["corrupted"])
    """

    def __init__(self, to: str, *, seed: int = 0, **settings: Any) -> None:
        command = [sys.executable, str(_PROXY), "--seed", str(seed)]
        for name, value in {"to": address_of(to), **settings}.items():
            text = value if isinstance(value, str) else json.dumps(value)
            command += [f"--{name.replace('_', '-')}", text]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._lock = threading.Lock()
        try:
            self.url: str = self._read()["url"]
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def change(self, **settings: Any) -> dict[str, Any]:
        """Change settings; they are in force when this returns. Returns all settings."""
        return self._ask(settings)

    def stats(self) -> dict[str, Any]:
        """What it did so far, the fields of :class:`Counts`."""
        return self._ask({"stats": True})

    def cut(self) -> None:
        """Reset every open connection."""
        self._ask({"cut": True})

    def close(self) -> None:
        """Stop the process; it ends all connections."""
        try:
            self._process.communicate(timeout=10)  # ends its standard input
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()
        except (BrokenPipeError, ValueError):
            self._process.wait(10)  # closed or ended before

    def _ask(self, question: dict[str, Any]) -> dict[str, Any]:
        with self._lock:
            assert self._process.stdin is not None
            self._process.stdin.write(json.dumps(question) + "\n")
            self._process.stdin.flush()
            answer = self._read()
        if answer["event"] == "error":
            raise ValueError(answer["error"])
        return answer

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the proxy has ended with exit code {self._process.wait(10)}")
        answer: dict[str, Any] = json.loads(line)
        return answer


def address_of(url: str) -> str:
    """``HOST:PORT`` of an URL, or what was given where it is none."""
    return url.partition("://")[2].rstrip("/") or url
