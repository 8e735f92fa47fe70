"""A part of a file as a task, in words that another process understands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from dimec.scoring.shards import Shard
from dimec.scoring.survey import Piece


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
