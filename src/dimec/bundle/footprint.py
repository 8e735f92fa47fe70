"""What a tier takes of the machine that it runs on, in a new process: start, memory, an answer."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from dimec.base.errors import CorruptArtefactError
from dimec.bundle.folders import TierBundle
from dimec.bundle.graphs import Graph, run_segments
from dimec.bundle.manifest import TierManifest

_TOKENS = 128  # of the text whose answer is timed, or as many as the tier takes
_ANSWERS = 5  # of which the median is told
_PATIENCE = 300.0  # seconds; a graph that takes longer to load is not one to serve


@dataclass(frozen=True)
class Footprint:
    """What loading a tier's graphs takes.

    Attributes:
        start_seconds: to check the files, load the graphs and answer once.
        base_bytes: resident memory of the runtime alone, before the graphs.
        memory_bytes: resident memory with the graphs, after one answer.
        answer_seconds: of one text of 128 tokens on one thread, the median of a few; with every
            layer of the tier and without tokenising.
    """

    start_seconds: float
    base_bytes: int
    memory_bytes: int
    answer_seconds: float


def measure_footprint(folder: Path | str) -> Footprint:
    """Load a tier's graphs in a new process, and see what that takes.

    Raises:
        CorruptArtefactError: they cannot be loaded.
    """
    command = [sys.executable, "-m", "dimec.bundle.footprint", str(folder)]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=_PATIENCE, cwd=None
    )
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["it ended without a word"])[-1]
        raise CorruptArtefactError(f"the graphs in {folder} cannot be loaded: {last}")
    return Footprint(**json.loads(done.stdout))


def resident_bytes() -> int:
    """Resident memory of this process; where the system does not tell, the most it ever was."""
    try:
        pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        try:
            import resource
        except ImportError:
            return 0
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most if sys.platform == "darwin" else most * 1024


def _load(folder: str) -> Footprint:
    import onnxruntime  # noqa: F401  (the base that is not the graphs' own)

    base, start = resident_bytes(), time.perf_counter()
    bundle = TierBundle.open(folder)
    with bundle.hold() as held:
        graphs = [
            Graph(
                held.folder / name,
                known_as=bundle.file(name),
                memory=held.memory,
                shared=bool(bundle.manifest.segments),
            )
            for name in bundle.manifest.graphs
        ]
    _answer(graphs, bundle.manifest, 8)
    started, memory = time.perf_counter() - start, resident_bytes()
    seconds = []
    for _ in range(_ANSWERS):
        start = time.perf_counter()
        _answer(graphs, bundle.manifest, _TOKENS)
        seconds.append(time.perf_counter() - start)
    return Footprint(started, base, memory, statistics.median(seconds))


def _answer(graphs: Sequence[Graph], manifest: TierManifest, tokens: int) -> None:
    """Run the tier's graphs once on a text of so many tokens, or as many as it takes."""
    ones = np.ones((1, min(tokens, manifest.max_tokens)), np.int64)
    first, *segments = graphs
    hidden, *_ = first(**dict.fromkeys(manifest.inputs, ones))
    run_segments(segments, hidden, ones)


if __name__ == "__main__":
    print(json.dumps(asdict(_load(sys.argv[1]))))
