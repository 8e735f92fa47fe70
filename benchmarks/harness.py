"""Measuring: in processes of their own, with their peak memory; and what machine this is."""

from __future__ import annotations

import datetime
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

from dimec.__about__ import __version__

ROOT = Path(__file__).resolve().parents[1]
_PACKAGES = ("numpy", "torch", "transformers", "accelerate", "onnxruntime", "tokenizers")


class Measured(NamedTuple):
    """What a function gave in a process of its own, and the most memory that process held."""

    value: Any
    peak_rss: int  # bytes


class WorkerError(RuntimeError):
    """A measuring process failed; the message is the end of what it wrote."""


def seconds(function: Callable[[], object]) -> float:
    """Wall time of one call."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def in_fresh_process(function: Callable[..., Any], **arguments: Any) -> Measured:
    """Call a module's function in a new interpreter; arguments and result are JSON values.

    A process of its own keeps one measurement's memory and caches out of the next one's.

    Raises:
        WorkerError: the process failed.
    """
    with tempfile.TemporaryDirectory() as folder:
        answer = Path(folder) / "answer.json"
        command = [sys.executable, "-m", "benchmarks.worker", function.__module__]
        command += [function.__qualname__, json.dumps(arguments), str(answer)]
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            env=_environment(),
        )
        if done.returncode != 0:
            end = "\n".join((done.stdout + done.stderr).strip().splitlines()[-15:])
            raise WorkerError(f"{function.__module__}.{function.__qualname__} failed:\n{end}")
        record = json.loads(answer.read_text("utf-8"))
    return Measured(record["value"], record["peak_rss"])


def _environment() -> dict[str, str]:
    """Ours, with this repository on the import path, and no look at a model hub."""
    paths = [str(ROOT), str(ROOT / "tools"), *filter(None, [os.environ.get("PYTHONPATH")])]
    fixed = {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), **fixed}


def peak_rss() -> int:
    """The most memory, in bytes, that this process has held so far (Unix).

    Linux hands the figure of the starting process on to the started one, so the starting process
    has to stay small: nothing is measured in it.
    """
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(peak if sys.platform == "darwin" else peak * 1024)


def say(text: str) -> None:
    """A line of progress, on standard error."""
    print(text, file=sys.stderr, flush=True)


def circumstances(seed: int) -> dict[str, Any]:
    """Date, processor, versions and seed: what the figures of one run depend on."""
    return {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "seed": seed,
        "machine": {
            "processor": processor_name(),
            "cores": available_cores(),
            "system": platform.system(),
            "architecture": platform.machine(),
        },
        "versions": {"python": platform.python_version()} | _versions(),
    }


def available_cores() -> int:
    """Processor cores that this process may use.

    As dimec.base.machine has it; older trees, which ``against`` measures by this module, have not.
    """
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def processor_name() -> str:
    """The processor's name, from /proc/cpuinfo where it is there."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text("utf-8", errors="replace").splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                return value.strip()
    return platform.processor() or platform.machine()


def _versions() -> dict[str, str]:
    found = {"dimec": __version__}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found
