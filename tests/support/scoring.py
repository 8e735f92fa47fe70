"""Scorers of tiny runs, texts in files, and answers read back."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dimec.base.progress import NoProgress
from dimec.runs.workspace import RunDirectory
from support.tiny import reviews

if TYPE_CHECKING:
    from dimec.bundle.manifest import Precision
    from dimec.scoring.events import Event
    from dimec.scoring.pieces import Task
    from dimec.traces.trace import Trace

OFF = 1e-5  # of a probability, or a component of an embedding, from torch in other batches


def make_scorer_of(
    run: Path,
    policy: str | None,
    folder: Path,
    precision: Precision = "fp32",
    force: bool = False,
) -> None:
    """The scorer of a run and a policy, as dimec score makes it."""
    from dimec.runs.scoring import policy_to_score
    from dimec.scoring.scorer import settled
    from dimec.training.scorer import make_scorer

    opened = RunDirectory(run)
    stored = policy_to_score(opened, policy)
    stored = replace(stored, policy=settled(stored.policy))
    make_scorer(opened, stored, folder, NoProgress(), precision, force)


def here(folder: Path, tasks: Sequence[Task], wanted: Callable[[Task], bool]) -> Iterator[Event]:
    """Tasks done in this process, one after the other, where no process of its own is tried."""
    from dimec.base.errors import DimecError
    from dimec.scoring.events import Done, Failed, Read
    from dimec.scoring.work import open_work

    work = open_work(folder)
    for task in tasks:
        if wanted(task):
            try:
                tally = work(task, lambda rows: None)
            except DimecError as error:
                yield Failed(task, str(error), type(error).__name__)
            else:
                yield Read(task.piece.rows)
                yield Done(task, tally)


def assert_same_trace(found: Trace, expected: Trace) -> None:
    """The same but for the last digits of what the models say."""
    for name in ("embeddings", "probabilities"):
        ours, theirs = getattr(found, name), getattr(expected, name)
        assert ours.dtype == theirs.dtype
        assert np.abs(ours - theirs).max() < OFF
    for name in ("labels", "lengths"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
    assert found.extra.keys() == expected.extra.keys()
    for name, column in expected.extra.items():
        np.testing.assert_array_equal(found.extra[name], column)
    arrays = ("embeddings", "probabilities", "labels", "lengths", "extra")
    ours, theirs = (
        {name: value for name, value in vars(trace).items() if name not in arrays}
        for trace in (found, expected)
    )
    assert ours == theirs


@cache
def some_texts(size: int, seed: int = 5) -> tuple[str, ...]:
    """Different short texts."""
    return tuple(text for text, _ in reviews(size, seed))


def write_texts(folder: Path, size: int) -> Path:
    """Texts as Parquet, JSON lines and lines, each ``size`` of them, in a folder that is made."""
    import pyarrow
    from pyarrow import parquet

    texts = some_texts(size)
    (folder / "deep").mkdir(parents=True)
    table = pyarrow.table({"text": texts, "label": ["x"] * size, "number": list(range(size))})
    parquet.write_table(table, folder / "a.parquet", row_group_size=300)
    lines = [json.dumps({"id": f"id-{n}", "text": text}) for n, text in enumerate(texts)]
    (folder / "deep" / "b.jsonl").write_text("\n".join(lines), "utf-8")  # no newline at the end
    (folder / "c.txt").write_text("".join(f"{text}\n" for text in texts), "utf-8")
    return folder


def read_answers(path: Path) -> list[dict[str, Any]]:
    """The rows of a file of answers."""
    if path.suffix == ".parquet":
        from pyarrow import parquet

        rows: list[dict[str, Any]] = parquet.read_table(path).to_pylist()
        return rows
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def answers_in(out: Path, names: Sequence[str]) -> dict[str, bytes]:
    """The bytes of files of answers."""
    return {name: (out / name).read_bytes() for name in names}


OUTPUTS = ("a.parquet", "c.jsonl", "deep/b.jsonl", "score.json")
