"""Reading a user's labelled file: time for each 100 MB, and memory beside the file's size."""

from __future__ import annotations

import csv
import json
import random
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.harness import in_fresh_process
from benchmarks.results import PER_SECOND, RATIO, Figure, Result

SECONDS_GOAL, MEMORY_GOAL = 1.0, 3.0
_HUNDRED = 1e8
_WORDS = 3000
_COLUMNS = ("id", "text", "label")


@dataclass(frozen=True)
class Sizes:
    """``megabytes`` of each text file, read ``repeats`` times."""

    megabytes: int = 200
    repeats: int = 3


def run(sizes: Sizes, seed: int) -> Result:
    """Read the same rows from CSV, JSON lines and Parquet, each time in a process of its own."""
    figures: list[Figure] = []
    runs: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        for kind in _WRITERS:
            path = Path(folder) / f"rows.{kind}"
            bytes_wanted = int(sizes.megabytes * 1e6)
            in_fresh_process(write_rows, path=str(path), size=bytes_wanted, seed=seed)
            size = path.stat().st_size
            taken: dict[str, list[float]] = {"seconds": [], "peak": []}
            for _ in range(sizes.repeats):
                measured = in_fresh_process(read, task=f"{kind}:{path}")
                taken["seconds"].append(measured.value["seconds"] * _HUNDRED / size)
                taken["peak"].append(measured.peak_rss / size)
            path.unlink()
            each = [measured.value["rows"] * _HUNDRED / size / value for value in taken["seconds"]]
            figures += [
                Figure.of(f"{kind}, 100 MB", taken["seconds"], goal=SECONDS_GOAL),
                Figure.of(f"{kind}, rows", each, PER_SECOND),
                Figure.of(f"{kind}, peak memory / file", taken["peak"], RATIO, MEMORY_GOAL),
            ]
            runs[kind] = {**taken, "bytes": size, "rows": measured.value["rows"]}
    note = (
        "rows of an id, 5 to 120 words and one of two labels; the memory is the whole process's, "
        "interpreter and packages included"
    )
    return Result(tuple(figures), (note,), runs)


def write_rows(path: str, size: int, seed: int) -> None:
    """Write a file of the kind that its ending tells; in a process whose memory is not ours."""
    _WRITERS[Path(path).suffix[1:]](Path(path), _rows(size, seed))


def read(task: str) -> dict[str, Any]:
    """Read a task's rows; how many, and in how many seconds."""
    from dimec.data import load_task

    start = time.perf_counter()
    dataset = load_task(task)
    return {"rows": len(dataset), "seconds": time.perf_counter() - start}


def _rows(size: int, seed: int) -> Iterator[tuple[int, str, str]]:
    """Rows of about ``size`` bytes in all."""
    choose = random.Random(seed)
    words = [f"w{number}" for number in range(_WORDS)]
    number = total = 0
    while total < size:
        text = " ".join(choose.choices(words, k=choose.randint(5, 120)))
        if choose.random() < 0.2:
            text += ', he said "no", née'
        yield number, text, choose.choice(("good", "bad"))
        number += 1
        total += len(text) + 12


def _write_csv(path: Path, rows: Iterable[tuple[int, str, str]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(_COLUMNS)
        writer.writerows(rows)


def _write_jsonl(path: Path, rows: Iterable[tuple[int, str, str]]) -> None:
    with path.open("w", encoding="utf-8") as stream:
        for row in rows:
            stream.write(json.dumps(dict(zip(_COLUMNS, row, strict=True))) + "\n")


def _write_parquet(path: Path, rows: Iterable[tuple[int, str, str]]) -> None:
    """Uncompressed, so that its size is that of its texts."""
    import pyarrow
    from pyarrow import parquet

    columns = map(list, zip(*rows, strict=True))
    table = pyarrow.table(dict(zip(_COLUMNS, columns, strict=True)))
    parquet.write_table(table, path, compression="none", use_dictionary=["label"])


_WRITERS: dict[str, Callable[[Path, Iterable[tuple[int, str, str]]], None]] = {
    "csv": _write_csv,
    "jsonl": _write_jsonl,
    "parquet": _write_parquet,
}
