"""One part of a file, answered: what a worker of any kind does."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from dimec.base.storage import write_json
from dimec.scoring.engine import Engine
from dimec.scoring.layout import Layout
from dimec.scoring.reading import read_chunks
from dimec.scoring.shards import Shard
from dimec.scoring.survey import Piece
from dimec.scoring.writing import part_writer

Told = Callable[[int], None]


@dataclass(frozen=True)
class Task:
    """A part of a file, and where its answers go.

    Attributes:
        shard: the file.
        piece: the part.
        sha256: of the file.
        target: of the answers; their tally lies beside it.
    """

    shard: Shard
    piece: Piece
    sha256: str
    target: Path

    @property
    def record(self) -> Path:
        """The tally, which is written behind the answers: where it is, they are whole."""
        return self.target.with_name(f"{self.target.name}.json")

    def to_json(self) -> dict[str, Any]:
        """JSON values."""
        shard = {**asdict(self.shard), "path": str(self.shard.path)}
        piece, target = self.piece.to_json(), str(self.target)
        return {"shard": shard, "piece": piece, "sha256": self.sha256, "target": target}

    @classmethod
    def of_json(cls, value: Mapping[str, Any]) -> Self:
        """What :meth:`to_json` gave."""
        shard = Shard(**{**value["shard"], "path": Path(value["shard"]["path"])})
        return cls(shard, Piece(**value["piece"]), value["sha256"], Path(value["target"]))


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
    tally = {
        "sha256": task.sha256,
        "bytes": task.target.stat().st_size,
        "rows": rows,
        "cost": cost,
        "sent_bytes": sent,
        "labels": dict(sorted(labels.items())),
        "tiers": dict(sorted(tiers.items())),
        "paths": dict(sorted(paths.items())),
    }
    write_json(task.record, tally)
    return tally
