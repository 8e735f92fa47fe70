"""One model of a scorer: its tokenizer, and its layers, run for those texts that go on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from dimec.base.arrays import Float32Array, IntArray
from dimec.base.errors import DataError
from dimec.bundle.cutting import Cutter
from dimec.bundle.exit0 import EXIT0, Exit0
from dimec.bundle.graphs import Graph, run_segment
from dimec.bundle.tokens import encode
from dimec.scoring.batches import batches, mask_of, padded_hidden, padded_ids
from dimec.scoring.scorer import PartRecord, ScorerManifest

Text = str | tuple[str, str]
_TOGETHER = 1024  # texts that are tokenised together


@dataclass(frozen=True, eq=False)
class Tokens:
    """N texts as token ids.

    Attributes:
        ids: of each, (t,).
        types: of each, (t,); empty where the model takes none.
        lengths: (N,).
    """

    ids: Sequence[npt.NDArray[np.int32]]
    types: Sequence[npt.NDArray[np.int32]]
    lengths: IntArray

    def part(self, rows: slice) -> Tokens:
        """Those of some texts."""
        return Tokens(self.ids[rows], self.types[rows], self.lengths[rows])


class Part:
    """A model, ready to run on one thread.

    Args:
        folder: of the model in the scorer's.
        record: what it takes.

    Attributes:
        stops: the layers that it can be run up to, ascending.
        words: what its token ids follow from; parts of the same words take the same ids.
    """

    def __init__(self, folder: Path, record: PartRecord) -> None:
        from tokenizers import Tokenizer

        self.record, self.stops = record, record.stops
        content = (folder / "tokenizer.json").read_bytes()
        self.words = (content, record.max_tokens, record.padding, record.inputs)
        self._tokenizer: Any = Tokenizer.from_buffer(content)
        self._cutter = Cutter(self._tokenizer, record.max_tokens)
        graphs = [Graph(folder / name, shared=True) for name in record.graphs]
        self._embed = None if record.whole else graphs.pop(0)
        self._segments = dict(zip(self.stops, graphs, strict=True))

    def tokenise(self, texts: Sequence[Text]) -> Tokens:
        """Token ids of texts; longer ones are cut.

        Raises:
            DataError: the tokenizer fails on one; its place among the texts stands in the message.
        """
        typed = "token_type_ids" in self.record.inputs
        ids: list[npt.NDArray[np.int32]] = []
        types: list[npt.NDArray[np.int32]] = []
        for start in range(0, len(texts), _TOGETHER):
            for encoding in self._encoded(texts[start : start + _TOGETHER], start):
                ids.append(np.array(encoding.ids, np.int32))
                if typed:
                    types.append(np.array(encoding.type_ids, np.int32))
        return Tokens(ids, types, np.array([len(row) for row in ids], np.int64))

    def _encoded(self, texts: Sequence[Text], start: int) -> Sequence[Any]:
        cut = [
            self._cutter.pair(*text) if isinstance(text, tuple) else self._cutter.text(text)
            for text in texts
        ]
        try:
            return list(self._tokenizer.encode_batch_fast(cut))
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException:  # a panic of the tokenizer's derives from it
            return [self._one(text, start + place) for place, text in enumerate(cut)]

    def _one(self, text: Text, place: int) -> Any:
        try:
            return encode(self._tokenizer, text)
        except DataError as error:
            raise DataError(f"text {place + 1} of its chunk: {error}") from None

    def _inputs(self, tokens: Tokens, rows: IntArray) -> dict[str, IntArray]:
        inputs = {
            "input_ids": padded_ids([tokens.ids[row] for row in rows], self.record.padding),
            "attention_mask": mask_of(tokens.lengths[rows]),
        }
        if tokens.types:
            inputs["token_type_ids"] = padded_ids([tokens.types[row] for row in rows], 0)
        return inputs

    def embed(self, tokens: Tokens, rows: IntArray, states: States) -> Float32Array | None:
        """Run the embedding layer for some texts; None where the model runs as a whole.

        Returns:
            (len(rows), D) their pooled embeddings, in the order of ``rows``.
        """
        if self._embed is None:
            return None
        pooled = np.empty((len(tokens.lengths), self.record.width), np.float32)
        for some in batches(tokens.lengths, rows):
            hidden, means = self._embed(**self._inputs(tokens, some))
            pooled[some] = means
            states.keep(some, hidden, tokens.lengths)
        return pooled[rows]

    def run(self, stop: int, tokens: Tokens, rows: IntArray, states: States) -> Float32Array:
        """Run some texts on to the next stop, from wherever they stand: the stop before it.

        Returns:
            (len(rows), C) probabilities there, in the order of ``rows``.
        """
        segment = self._segments[stop]
        said: Float32Array | None = None
        for some in batches(tokens.lengths, rows):
            if self._embed is None:
                (answers, *_), hidden = segment(**self._inputs(tokens, some)), None
            else:
                mask = mask_of(tokens.lengths[some])
                answers, hidden = run_segment(segment, states.take(some), mask)
            if said is None:
                said = np.empty((len(tokens.lengths), answers.shape[1]), np.float32)
            said[some] = answers
            states.keep(some, hidden, tokens.lengths)
        assert said is not None  # there is at least one row
        return said[rows]


class States:
    """The hidden states of a window's texts, as far as they came and are still wanted."""

    def __init__(self, size: int) -> None:
        self._rows: list[Float32Array | None] = [None] * size

    def take(self, rows: IntArray) -> Float32Array:
        """(B, T, D) of some texts, filled up with zeros."""
        found = [self._rows[row] for row in rows]
        return padded_hidden([one for one in found if one is not None])

    def keep(self, rows: IntArray, hidden: Float32Array | None, lengths: IntArray) -> None:
        """Take up what (B, T, D) a batch came to; None: nothing of use comes behind it."""
        for place, row in enumerate(rows.tolist()):
            self._rows[row] = None if hidden is None else hidden[place, : lengths[row]]

    def drop(self, row: int) -> None:
        """Let go of a text that has its answer."""
        self._rows[row] = None


@dataclass(frozen=True, eq=False)
class Models:
    """What a scorer runs, in memory.

    Attributes:
        parts: the models, the first tier's first.
        exit0: of the first, where there is one and it is looked at.
    """

    parts: Sequence[Part]
    exit0: Exit0 | None

    @classmethod
    def load(cls, path: Path, manifest: ScorerManifest) -> Self:
        """Those of a scorer's folder, which was checked."""
        records = enumerate(manifest.parts)
        parts = [Part(path / f"model-{number}", record) for number, record in records]
        return cls(parts, Exit0.load(path / EXIT0) if manifest.exit0 else None)
