"""The far end of :func:`benchmarks.harness.in_fresh_process`."""

from __future__ import annotations

import json
import os
import sys
from importlib import import_module
from pathlib import Path

from benchmarks.harness import peak_rss


def main(module: str, function: str, arguments: str, answer: str) -> None:
    """Call the function with the arguments, and write its result and the peak memory."""
    value = getattr(import_module(module), function)(**json.loads(arguments))
    record = json.dumps({"value": value, "peak_rss": peak_rss()})
    Path(answer).write_text(record, "utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
    sys.stdout.flush()
    os._exit(0)  # what a library's threads do while the interpreter ends is not measured
