"""The bare graph on all cores: what no server on this machine can give more of.

A process a core runs the graph on its share of the inputs, one text at a time, one after the other,
by onnxruntime on one thread. Nothing is parsed, sent or queued.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any


class Bare:
    """Processes that hold the graph and the inputs, and run when they are told to."""

    def __init__(self, processes: Sequence[subprocess.Popen[str]], texts: int) -> None:
        self._processes = processes
        self._texts = texts

    def rate(self, count: int) -> float:
        """Texts a second of so many processes at a time, each with its share of the texts."""
        used = self._processes[:count]
        begun = time.perf_counter()
        for number, process in enumerate(used):
            _say(process, f"{number} {len(used)}")
        for process in used:
            _hear(process)
        return self._texts / (time.perf_counter() - begun)


@contextlib.contextmanager
def bare_graph(model: Path, ids: Sequence[Sequence[int]], processes: int) -> Iterator[Bare]:
    """The graph of a tier, ready in so many processes, with the token ids of each text."""
    command = [sys.executable, "-m", "benchmarks.bare", str(model)]
    started = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(processes)
    ]
    try:
        for process in started:
            _say(process, json.dumps(ids))
        for process in started:
            _hear(process)
        yield Bare(started, len(ids))
    finally:
        for process in started:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.close()  # which ends it
            process.wait(30)
            process.stdout.close()


def _say(process: subprocess.Popen[str], line: str) -> None:
    assert process.stdin is not None
    process.stdin.write(line + "\n")
    process.stdin.flush()


def _hear(process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    if not process.stdout.readline():
        raise RuntimeError(f"a process of the bare graph ended with {process.wait(30)}")


def main(model: str) -> None:
    """Read the inputs from the first line, then run the share that each further line names."""
    import numpy as np

    from dimec.bundle.graphs import Graph

    graph = Graph(Path(model), threads=1)
    inputs: list[dict[str, Any]] = []
    for ids in json.loads(sys.stdin.readline()):
        row = np.array([ids], np.int64)
        every = {"input_ids": row, "attention_mask": np.ones_like(row)}
        every["token_type_ids"] = np.zeros_like(row)
        inputs.append({name: every[name] for name in graph.inputs})
    for one in inputs[:40]:
        graph(**one)
    print("ready", flush=True)
    for line in sys.stdin:
        number, count = map(int, line.split())
        for one in inputs[number::count]:
            graph(**one)
        print("done", flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
