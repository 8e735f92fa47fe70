"""The answers to a part of a file, written chunk by chunk, and parts put together."""

from __future__ import annotations

import importlib
import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from dimec.base.errors import MissingExtraError
from dimec.base.storage import atomic_path
from dimec.scoring.engine import Answers
from dimec.scoring.layout import Kind, Layout, Write, written_names
from dimec.scoring.reading import Chunk

Add = Callable[[Chunk, Answers], None]
_LABELS = b"dimec.labels"  # in a Parquet schema: the classes, in the order of the probabilities


@contextmanager
def part_writer(
    path: Path, kind: Kind, layout: Layout, labels: Sequence[str], tiers: Sequence[str]
) -> Iterator[Add]:
    """A file of answers, which is there once the block ends well.

    Args:
        path: of the file.
        kind: of the texts' file.
        layout: what is written.
        labels: names of the classes.
        tiers: names of the tiers.

    Raises:
        StorageError: the disk is full or refuses to write.
        MissingExtraError: Parquet without pyarrow.
    """
    with atomic_path(path) as temporary:
        if layout.written_as(kind) == "parquet":
            writer = _Parquet(temporary, kind, layout, labels, tiers)
            try:
                yield writer.add
            finally:
                writer.close()
        else:
            with temporary.open("w", encoding="utf-8", newline="\n") as stream:
                yield lambda chunk, answers: stream.writelines(
                    _json_lines(chunk, answers, layout, labels, tiers)
                )


def put_together(parts: Sequence[Path], target: Path, write: Write) -> None:
    """One file of the answers of all parts, in order; the parts stay.

    Raises:
        StorageError: the disk is full or refuses to write.
    """
    with atomic_path(target) as temporary:
        if write == "jsonl" or len(parts) == 1:
            with temporary.open("wb") as stream:
                for part in parts:
                    with part.open("rb") as source:
                        shutil.copyfileobj(source, stream)
            return
        _join_parquet(parts, temporary)


def _join_parquet(parts: Sequence[Path], target: Path) -> None:
    """Row group by row group, so that no more than one is held."""
    parquet = importlib.import_module("pyarrow.parquet")
    with parquet.ParquetFile(parts[0], pre_buffer=False) as first:
        schema = first.schema_arrow
    with parquet.ParquetWriter(target, schema) as writer:
        for part in parts:
            with parquet.ParquetFile(part, pre_buffer=False) as file:
                for group in range(file.num_row_groups):
                    writer.write_table(file.read_row_group(group, use_threads=False))


class _Parquet:
    """Tables of answers, one a row group."""

    def __init__(
        self, path: Path, kind: Kind, layout: Layout, labels: Sequence[str], tiers: Sequence[str]
    ) -> None:
        try:
            self._arrow = importlib.import_module("pyarrow")
            self._parquet = importlib.import_module("pyarrow.parquet")
        except ImportError:
            raise MissingExtraError("pyarrow", "train", "writing Parquet files") from None
        self._path, self._kind, self._layout = path, kind, layout
        self._labels, self._tiers = list(labels), list(tiers)
        self._writer: Any = None

    def add(self, chunk: Chunk, answers: Answers) -> None:
        """Write a chunk; the first one, of whatever size, tells the columns."""
        table = self._table(chunk, answers)
        if self._writer is None:
            self._writer = self._parquet.ParquetWriter(self._path, table.schema)
        if len(table):
            self._writer.write_table(table)

    def close(self) -> None:
        """Write what stands at a Parquet file's end."""
        if self._writer is not None:
            self._writer.close()

    def _table(self, chunk: Chunk, answers: Answers) -> Any:
        arrow = self._arrow
        columns: dict[str, Any] = {"row": arrow.array(chunk.rows, arrow.int64())}
        kept = self._kept(chunk)
        columns |= {written: kept[name] for name, written in written_names(list(kept)).items()}
        columns |= {
            "label": self._named(answers.codes, self._labels),
            "probability": arrow.array(answers.probabilities.max(axis=1, initial=0.0)),
        }
        if self._layout.probabilities:
            flat = arrow.array(answers.probabilities.reshape(-1))
            columns["probabilities"] = arrow.FixedSizeListArray.from_arrays(flat, len(self._labels))
        columns |= {
            "path": arrow.array(answers.paths, arrow.string()),
            "tier": self._named(answers.tiers, self._tiers),
            "cost": arrow.array(answers.costs),
            "sent_bytes": arrow.array(answers.sent.astype(np.int64)),
        }
        return arrow.table(columns).replace_schema_metadata({_LABELS: json.dumps(self._labels)})

    def _kept(self, chunk: Chunk) -> dict[str, Any]:
        if self._kind == "parquet":
            return dict(chunk.kept)
        # JSON lines: text as it is, any other value as JSON, since lines need not agree.
        arrow, size = self._arrow, len(chunk.rows)
        names = dict.fromkeys(["id", *self._layout.keep]) if self._kind == "jsonl" else {}
        return {
            name: arrow.array(map(_as_text, chunk.kept.get(name, [None] * size)), arrow.string())
            for name in names
        }

    def _named(self, codes: Any, names: Sequence[str]) -> Any:
        return self._arrow.array([names[code] for code in codes.tolist()], self._arrow.string())


def _as_text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False)


def _json_lines(
    chunk: Chunk, answers: Answers, layout: Layout, labels: Sequence[str], tiers: Sequence[str]
) -> Iterator[str]:
    names = written_names(list(chunk.kept))
    kept = {
        names[name]: values if isinstance(values, list) else values.to_pylist()
        for name, values in chunk.kept.items()
    }
    codes, answered = answers.codes.tolist(), answers.tiers.tolist()
    costs, sent = answers.costs.tolist(), answers.sent.tolist()
    for place, row in enumerate(chunk.rows):
        own = answers.probabilities[place]
        record: dict[str, Any] = {"row": row}
        record |= {name: values[place] for name, values in kept.items()}
        record |= {"label": labels[codes[place]], "probability": _short(own[codes[place]])}
        if layout.probabilities:
            record["probabilities"] = dict(zip(labels, map(_short, own), strict=True))
        record |= {"path": answers.paths[place], "tier": tiers[answered[place]]}
        record |= {"cost": costs[place], "sent_bytes": int(sent[place])}
        # Values of Parquet that JSON has no form for, such as times, as Python writes them.
        yield json.dumps(record, ensure_ascii=False, default=str) + "\n"


def _short(value: np.float32) -> float:
    """The shortest decimal that is the same float32."""
    return float(str(value))
