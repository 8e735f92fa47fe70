"""What every exit says of texts: the arrays of a trace."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

from dimec.base.arrays import Float32Array, IntArray
from dimec.base.storage import load_arrays, save_arrays
from dimec.bundle.exit0 import Exit0
from dimec.scoring.batches import windows
from dimec.scoring.part import Models, Part, States, Text, Tokens
from dimec.scoring.scorer import ScorerManifest, open_manifest

_KIND = "recorded part"
_MADE_BY = "dimec trace record"


@dataclass(frozen=True, eq=False)
class Records:
    """What the models say of N texts.

    Attributes:
        embeddings: (N, D) pooled, of the first model.
        lengths: (N,) in tokens, of the first model.
        probabilities: (N, X, C) at each exit, in the order of the manifest's ``exits``: exit 0 of
            the first model where there is one, then the exits of each model.
    """

    embeddings: Float32Array
    lengths: IntArray
    probabilities: Float32Array

    def __len__(self) -> int:
        return len(self.lengths)

    def save(self, path: Path) -> None:
        """Write one checksummed safetensors file.

        Raises:
            StorageError: the disk is full or refuses to write.
        """
        save_arrays(path, _KIND, vars(self), {})

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what :meth:`save` wrote.

        Raises:
            ArtefactError: missing or damaged.
        """
        return cls(**load_arrays(path, _KIND, _MADE_BY)[0])


def joined(parts: Sequence[Records]) -> Records:
    """The records of one or more parts behind each other."""
    return Records(
        np.concatenate([part.embeddings for part in parts]),
        np.concatenate([part.lengths for part in parts]),
        np.concatenate([part.probabilities for part in parts]),
    )


def read_records(paths: Sequence[Path], rows: int) -> Records:
    """The records of all parts of a file, part by part, so that none is held twice.

    Args:
        paths: of one or more parts, in order.
        rows: of all of them.

    Raises:
        ArtefactError: a part is missing or damaged.
    """
    found: Records | None = None
    start = 0
    for path in paths:
        part = Records.load(path)
        if found is None:
            found = Records(*(np.empty((rows, *a.shape[1:]), a.dtype) for a in vars(part).values()))
        for name, values in vars(part).items():
            getattr(found, name)[start : start + len(part)] = values
        start += len(part)
    assert found is not None
    assert start == rows
    return found


class Recorder:
    """A scorer's models in memory, all of whose exits are asked. One thread at a time may use it.

    Attributes:
        manifest: what the scorer holds.
        pairs: whether an input is a pair of texts.
    """

    def __init__(self, manifest: ScorerManifest, models: Models) -> None:
        self.manifest, self.pairs = manifest, manifest.pairs
        self._models = models

    @classmethod
    def open(cls, path: Path) -> Self:
        """Load a scorer.

        Raises:
            ArtefactError: it is missing or damaged.
        """
        manifest = open_manifest(path)
        return cls(manifest, Models.load(path, manifest))

    def record(self, texts: Sequence[Text]) -> Records:
        """Run texts, or pairs, through all layers; as many in memory at once as a window has.

        Raises:
            DataError: the tokenizer fails on one.
        """
        first = self._models.parts[0]
        tokens = first.tokenise(texts)
        classes = len(self.manifest.labels)
        embeddings, answers = _run(first, tokens, classes)
        found = [answers]
        if self._models.exit0 is not None:
            found.insert(0, _exit0(self._models.exit0, tokens, embeddings)[:, None])
        for part in self._models.parts[1:]:
            own = tokens if part.words == first.words else part.tokenise(texts)
            found.append(_run(part, own, classes)[1])
        return Records(embeddings, tokens.lengths, np.concatenate(found, axis=1))


def _run(part: Part, tokens: Tokens, classes: int) -> tuple[Float32Array, Float32Array]:
    """Pooled embeddings (N, D), which a model that runs as a whole does not tell, and
    probabilities (N, X, C) at every exit of a model."""
    size = len(tokens.lengths)
    embeddings = np.zeros((size, part.record.width), np.float32)
    answers = np.empty((size, len(part.stops), classes), np.float32)
    for rows in windows(tokens.lengths):
        some = tokens.part(rows)
        all_, states = np.arange(len(some.lengths)), States(len(some.lengths))
        pooled = part.embed(some, all_, states)
        if pooled is not None:
            embeddings[rows] = pooled
        for place, stop in enumerate(part.stops):
            answers[rows, place] = part.run(stop, some, all_, states)
    return embeddings, answers


def _exit0(exit0: Exit0, tokens: Tokens, embeddings: Float32Array) -> Float32Array:
    """(N, C) probabilities there."""
    ids = np.concatenate([np.zeros(0, np.int64), *tokens.ids])
    return exit0.many(ids, np.cumsum([0, *tokens.lengths]), embeddings)
