"""What the mobile takes of a device: memory, time to start, room on disk."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.bundles import PRECISIONS, read_texts, scene
from benchmarks.harness import in_fresh_process, say
from benchmarks.results import BYTES, RATIO, Figure, Result

BASE, WITH_TOKENIZER = "base", "base with the tokenizer"
GOAL = 1.3  # times the size of the graphs, above the runtime's own base


@dataclass(frozen=True)
class Sizes:
    """``run``: see :func:`benchmarks.bundles.scene`; ``texts`` answered in each of ``repeats``."""

    run: str = ""
    texts: int = 1000
    repeats: int = 3


def run(sizes: Sizes, seed: int) -> Result:
    """Every measurement in a process of its own, the two precisions and the base by turns."""
    found = scene(sizes.run, seed)
    runs: dict[str, list[dict[str, Any]]] = {
        name: [] for name in (BASE, WITH_TOKENIZER, *PRECISIONS)
    }
    with tempfile.TemporaryDirectory() as folder:
        trivial = str(Path(folder) / "trivial.onnx")
        in_fresh_process(write_trivial_graph, path=trivial)
        for repeat in range(sizes.repeats):
            say(f"memory: {repeat + 1} of {sizes.repeats}")
            tokenizer = str(Path(found.bundle("fp32")) / "mobile" / "tokenizer.json")
            for name, path in ((BASE, None), (WITH_TOKENIZER, tokenizer)):
                runtime = {"graph": trivial, "tokenizer": path}
                runs[name].append(in_fresh_process(measure_base, **runtime).value)
            for name in PRECISIONS:
                arguments = {
                    "bundle": found.bundle(name),
                    "texts_from": found.bundle("fp32"),
                    "texts": sizes.texts,
                }
                runs[name].append(in_fresh_process(measure_mobile, **arguments).value)
    bases = {name: [row["rss"] for row in runs[name]] for name in (BASE, WITH_TOKENIZER)}
    figures = [Figure.of(f"{name}: resident", values, BYTES) for name, values in bases.items()]
    for name in PRECISIONS:
        figures += _figures(name, runs[name], *(median(values) for values in bases.values()))
    notes = (
        found.note,
        "base: a process that has imported what the mobile imports and has run a graph of one "
        f"addition; the goal is {GOAL} times the size of the graphs above it",
        f"resident: all pages in memory (RSS); own: those that no other process shares (USS); "
        f"after {sizes.texts:,} answers, all by the mobile itself, with the state in a file",
        "start: from the start of the process, interpreter and imports included, until the mobile "
        "is ready to answer",
    )
    return Result(tuple(figures), notes, runs)


def _figures(
    name: str, rows: Sequence[dict[str, Any]], base: float, with_tokenizer: float
) -> list[Figure]:
    graphs = rows[0]["graphs"]

    def of(key: str) -> list[float]:
        return [row[key] for row in rows]

    return [
        Figure.of(f"{name}: graphs on disk", [graphs], BYTES),
        Figure.of(f"{name}: whole bundle on disk", of("disk"), BYTES),
        Figure.of(f"{name}: resident once ready", of("ready_rss"), BYTES),
        Figure.of(f"{name}: resident after answers", of("rss"), BYTES, base + GOAL * graphs),
        Figure.of(f"{name}: own after answers", of("uss"), BYTES),
        Figure.of(
            f"{name}: resident above the base / graphs",
            [(rss - base) / graphs for rss in of("rss")],
            RATIO,
            GOAL,
        ),
        Figure.of(
            f"{name}: resident above the base with the tokenizer / graphs",
            [(rss - with_tokenizer) / graphs for rss in of("rss")],
            RATIO,
        ),
        Figure.of(f"{name}: start", of("start")),
        Figure.of(f"{name}: of this, opening the bundle", of("open")),
    ]


def write_trivial_graph(path: str) -> None:
    """An ONNX graph of one addition."""
    import onnx
    from onnx import TensorProto, helper

    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in "xy")
    graph = helper.make_graph([helper.make_node("Add", ["x", "x"], ["y"])], "g", [x], [y])
    opset = helper.make_opsetid("", 20)
    onnx.save(helper.make_model(graph, opset_imports=[opset], ir_version=10), path)


def measure_base(graph: str, tokenizer: str | None) -> dict[str, float]:
    """Memory of the runtime itself, with a tokenizer's vocabulary where one is given."""
    import sqlite3

    import httpx2  # noqa: F401 (what is imported is what is measured)
    import numpy as np
    from tokenizers import Tokenizer

    import dimec.client.tier_client
    import dimec.mobile.runtime  # noqa: F401
    from dimec.bundle.graphs import Graph

    with sqlite3.connect(":memory:"):
        Graph(Path(graph))(x=np.ones(1, np.float32))
        kept = tokenizer and Tokenizer.from_file(tokenizer)
        found = _memory()
    del kept
    return found


def measure_mobile(bundle: str, texts_from: str, texts: int) -> dict[str, float]:
    """Memory of a mobile once it is ready and after its answers, and how long it took to start."""
    import psutil

    chosen = read_texts(texts_from, texts)
    begun = time.perf_counter()
    from dimec.mobile.runtime import Mobile

    with tempfile.TemporaryDirectory() as folder:
        opening = time.perf_counter()
        with Mobile.open(Path(bundle) / "mobile", state=Path(folder) / "state.sqlite") as mobile:
            ready = time.perf_counter()
            started = time.time() - psutil.Process().create_time()
            loaded = _memory()
            for text in chosen:
                mobile.predict(text)
            after = _memory()
    files = {path.name: path.stat().st_size for path in (Path(bundle) / "mobile").iterdir()}
    return {
        **after,
        "ready_rss": loaded["rss"],
        "start": started,
        "open": ready - opening,
        "import": opening - begun,
        "graphs": sum(size for name, size in files.items() if ".onnx" in name),
        "disk": sum(files.values()),
    }


def _memory() -> dict[str, float]:
    """Resident and own memory of this process in bytes."""
    import gc

    import psutil

    gc.collect()
    found = psutil.Process().memory_full_info()
    return {"rss": found.rss, "uss": found.uss, "pss": getattr(found, "pss", found.rss)}
