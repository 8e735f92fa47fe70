"""Texts to token ids, and token ids to batches of similar length."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from dimec.base.arrays import IntArray
from dimec.base.progress import NoProgress, Progress
from dimec.bundle.cutting import Cutter

_CHUNK = 1024  # texts that are tokenised together
_WINDOW = 50  # batches that are sorted by length together: little padding, still a random order


@dataclass(frozen=True, eq=False)
class Encoded:
    """N tokenised texts, laid end to end.

    Attributes:
        columns: name of a model input → (sum of lengths,) its values, for all texts in order, in
            the smallest unsigned type that holds them.
        offsets: (N + 1,) where each text begins; the last is the end.
        padding: name of a model input → what fills it up beyond a text's end.
    """

    columns: Mapping[str, npt.NDArray[np.integer]]
    offsets: IntArray
    padding: Mapping[str, int]

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> IntArray:
        """(N,) number of tokens, special ones included."""
        return np.diff(self.offsets)

    def take(self, rows: npt.NDArray[np.integer]) -> Encoded:
        """Some of the texts, in the order of ``rows``."""
        lengths = self.lengths[rows]
        offsets = np.cumsum([0, *lengths])
        index = np.arange(offsets[-1]) + np.repeat(self.offsets[rows] - offsets[:-1], lengths)
        columns = {name: values[index] for name, values in self.columns.items()}
        return Encoded(columns, offsets, self.padding)

    def followed_by(self, more: Encoded) -> Encoded:
        """These texts, and others behind them."""
        offsets = np.concatenate([self.offsets, self.offsets[-1] + more.offsets[1:]])
        columns = {
            name: np.concatenate([values, more.columns[name]])
            for name, values in self.columns.items()
        }
        return Encoded(columns, offsets, self.padding)

    def batch(self, rows: npt.NDArray[np.integer], device: torch.device) -> dict[str, Tensor]:
        """Model inputs (B, T) of the texts ``rows``, padded to the longest of them."""
        lengths = self.offsets[rows + 1] - self.offsets[rows]
        width = int(lengths.max())
        position = np.arange(width)
        real = position[None] < lengths[:, None]
        index = (self.offsets[rows][:, None] + position[None])[real]
        inputs = {}
        for name, values in self.columns.items():
            padded = np.full(real.shape, self.padding[name], np.int64)
            padded[real] = values[index]
            inputs[name] = torch.from_numpy(padded).to(device)
        inputs["attention_mask"] = torch.from_numpy(real.astype(np.int64)).to(device)
        return inputs


class Texts(Protocol):
    """What can be tokenised: a data set, or any other N texts or pairs of texts."""

    @property
    def texts(self) -> Sequence[str]: ...

    @property
    def pairs(self) -> Sequence[str] | None: ...


def encode(
    tokenizer: Any, dataset: Texts, max_tokens: int, progress: Progress | None = None
) -> Encoded:
    """Tokenise texts; texts (or pairs) longer than ``max_tokens`` are cut.

    A chunk at a time: what a tokenizer says of a text takes a hundred times the room of its ids.
    """
    progress = progress or NoProgress()
    size = len(dataset.texts)
    padding = {"input_ids": tokenizer.pad_token_id, "token_type_ids": 0}
    parts: dict[str, list[npt.NDArray[np.integer]]] = {}
    lengths = [np.zeros(1, np.int64)]
    cutter = None
    if tokenizer.is_fast and tokenizer.truncation_side == "right":
        cutter = Cutter(tokenizer.backend_tokenizer, max_tokens)
    progress.start("tokenising", size)
    for start in range(0, max(1, size), _CHUNK):  # no text at all is a chunk too
        rows = slice(start, start + _CHUNK)
        sides: tuple[list[str], ...] = (list(dataset.texts[rows]),)
        if dataset.pairs is not None:
            sides = (*sides, list(dataset.pairs[rows]))
        if cutter is not None:
            sides = _cut(cutter, sides)
        tokens = tokenizer(*sides, truncation=True, max_length=max_tokens)
        lengths.append(np.array([len(ids) for ids in tokens["input_ids"]], np.int64))
        for name in padding:
            if name in tokens:
                parts.setdefault(name, []).append(_laid_out(tokens[name]))
        progress.advance(len(tokens["input_ids"]))
    progress.end()
    laid = {name: np.concatenate(chunks) for name, chunks in parts.items()}
    return Encoded(laid, np.cumsum(np.concatenate(lengths)), padding)


def _laid_out(rows: Sequence[Sequence[int]]) -> npt.NDArray[np.integer]:
    """The values of all rows end to end, in the smallest unsigned type that holds them."""
    values = np.fromiter(itertools.chain.from_iterable(rows), np.int32)
    return values.astype(np.min_scalar_type(values.max(initial=0)))


def _cut(cutter: Cutter, sides: tuple[list[str], ...]) -> tuple[list[str], ...]:
    if len(sides) == 1:
        return ([cutter.text(text) for text in sides[0]],)
    cut = [cutter.pair(text, other) for text, other in zip(*sides, strict=True)]
    return [text for text, _ in cut], [other for _, other in cut]


def training_batches(
    lengths: IntArray, batch_size: int, rng: np.random.Generator
) -> list[IntArray]:
    """One epoch's batches, in random order, each of texts of similar length.

    Every row occurs once. Sorting by length within windows of 50 batches halves the time of an
    epoch, since a batch is padded to its longest text.
    """
    order = rng.permutation(len(lengths))
    window = batch_size * _WINDOW
    batches = []
    for start in range(0, len(order), window):
        rows = order[start : start + window]
        rows = rows[np.argsort(lengths[rows], kind="stable")]
        batches += [rows[i : i + batch_size] for i in range(0, len(rows), batch_size)]
    return [batches[i] for i in rng.permutation(len(batches))]


def inference_batches(lengths: IntArray, max_tokens: int = 4096) -> list[IntArray]:
    """Batches by length for a pass without gradients, each of at most ``max_tokens`` with padding.

    Longest first, so that a run out of memory shows at once.
    """
    order = np.argsort(-lengths, kind="stable")
    batches, start = [], 0
    while start < len(order):
        size = max(1, max_tokens // int(lengths[order[start]]))
        batches.append(order[start : start + size])
        start += size
    return batches
