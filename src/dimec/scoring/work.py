"""One part of a file, answered or recorded: what a worker of any kind does."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dimec.base.storage import write_json
from dimec.scoring.engine import Engine
from dimec.scoring.job import INNER, SCORER_FOLDER, read_layout
from dimec.scoring.layout import Layout
from dimec.scoring.pieces import Task
from dimec.scoring.reading import read_chunks
from dimec.scoring.recorder import Recorder, joined
from dimec.scoring.writing import part_writer

Told = Callable[[int], None]
# Does a task, and tells of the rows that it has read; its tally.
Work = Callable[[Task, Told], dict[str, Any]]


def open_work(folder: Path) -> Work:
    """What a worker does with the tasks of a job, its models in memory.

    Args:
        folder: of the job.

    Raises:
        ArtefactError: there is no job, or its scorer is missing or damaged.
    """
    layout, scorer = read_layout(folder), folder / INNER / SCORER_FOLDER
    if layout.records:
        recorder = Recorder.open(scorer)
        return lambda task, told: record_piece(recorder, task, layout, told)
    engine = Engine.open(scorer)
    return lambda task, told: answer_piece(engine, task, layout, told)


def record_piece(recorder: Recorder, task: Task, layout: Layout, told: Told) -> dict[str, Any]:
    """Record what every exit says of a part of a file, and then write its tally.

    The same part gives the same bytes whoever records it, and however often.

    Args:
        recorder: of the job.
        task: the part.
        layout: how the rows are written.
        told: called with the rows read, chunk by chunk.

    Returns:
        The tally: rows.

    Raises:
        DataError: a row that the models cannot take; names it.
        StorageError: the disk is full or refuses to write.
    """
    parts = []
    for chunk in read_chunks(task.shard, task.piece, layout, recorder.pairs):
        parts.append(recorder.record(chunk.texts))
        told(chunk.read)
    records = joined(parts)
    records.save(task.target)
    return _tallied(task, {"rows": len(records)})


def answer_piece(engine: Engine, task: Task, layout: Layout, told: Told) -> dict[str, Any]:
    """Answer a part of a file and write it, and then its tally.

    The same part gives the same bytes whoever answers it, and however often.

    Args:
        engine: of the job.
        task: the part.
        layout: what is read and written.
        told: called with the rows read, chunk by chunk.

    Returns:
        The tally: rows, answers by label, tier and path, and their cost in λ.

    Raises:
        DataError: a row that cannot be answered; names it.
        StorageError: the disk is full or refuses to write.
    """
    labels: Counter[str] = Counter()
    tiers: Counter[str] = Counter()
    paths: Counter[str] = Counter()
    rows, cost, sent = 0, 0.0, 0
    writer = part_writer(task.target, task.shard.kind, layout, engine.labels, engine.names)
    with writer as add:
        for chunk in read_chunks(task.shard, task.piece, layout, engine.pairs):
            answers = engine.answer(chunk.texts)
            add(chunk, answers)
            labels.update(engine.labels[code] for code in answers.codes.tolist())
            tiers.update(engine.names[tier] for tier in answers.tiers.tolist())
            paths.update(answers.paths)
            rows += len(answers)
            cost += float(answers.costs.sum())
            sent += int(answers.sent.sum())
            told(chunk.read)
    counted = {
        "rows": rows,
        "cost": cost,
        "sent_bytes": sent,
        "labels": dict(sorted(labels.items())),
        "tiers": dict(sorted(tiers.items())),
        "paths": dict(sorted(paths.items())),
    }
    return _tallied(task, counted)


def _tallied(task: Task, counted: dict[str, Any]) -> dict[str, Any]:
    """Write the tally of a part that is written: it says that the part is whole."""
    tally = {"sha256": task.sha256, "bytes": task.target.stat().st_size, **counted}
    write_json(task.record, tally)
    return tally
