"""Whether an exported tier answers as the trained model does, on real text of the run.

The graphs are run as a tier runs them, from the files, on rows of the run's data, on texts of all
added tokens, and on one text of the greatest length: each row by itself, and in mixed batches of
1 to 64 rows with padding. None of these shapes occurred when the graphs were made.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch

from dimec.base.arrays import Float32Array
from dimec.base.errors import ConfigError, quoted
from dimec.base.progress import Progress
from dimec.bundle.exit0 import EXIT0, Exit0
from dimec.bundle.graphs import MASK, Graph, run_segments
from dimec.bundle.manifest import Precision, graph_names
from dimec.cartography import softmax
from dimec.policies.step import Go, Signal, Steps
from dimec.training.batching import Encoded, encode
from dimec.training.export.parity_rows import ParityRows
from dimec.training.export.verdict import ExitParity, Parity
from dimec.training.inference import predict
from dimec.training.ready import RunModel

_ADDED = 32  # texts of added tokens, at most
_ALONE = 100  # rows that are run by themselves in fp32; in int8 all of them are
_BATCHES = (1, 2, 5, 16, 33, 64)  # rows; in turn
_TIE = 1e-5  # margin under which rounding may choose between two routes


@dataclass(frozen=True, eq=False)
class Reference:
    """N texts, and what the trained model makes of them.

    Attributes:
        texts: the N texts, or pairs of texts.
        encoded: the same as token ids.
        probabilities: exit → (N, C) there; 0 is exit 0, where the run has one.
        embeddings: (N, D) pooled.
        steps: of the run's policy, which learn nothing here.
        made_up: how many texts, at the end, are not of the run's data.
    """

    texts: Sequence[tuple[str, ...]]
    encoded: Encoded
    probabilities: Mapping[int, Float32Array]
    embeddings: Float32Array
    steps: Steps
    made_up: int = 1

    @property
    def lengths(self) -> npt.NDArray[np.integer]:
        """(N,) tokens of each text."""
        return np.diff(self.encoded.offsets)

    def batch(self, rows: npt.NDArray[np.int64]) -> dict[str, npt.NDArray[np.int64]]:
        """Model inputs (B, T) of some texts, as a tier gets them."""
        inputs = self.encoded.batch(rows, torch.device("cpu"))
        return {name: values.numpy() for name, values in inputs.items()}


def make_reference(
    model: RunModel,
    tokenizer: Any,
    rows: ParityRows,
    max_tokens: int,
    steps: Steps,
    progress: Progress,
    exit0: Exit0 | None = None,
) -> Reference:
    """Answers of the trained model to the rows, to all added tokens, and to one longest text."""
    texts = _with_made_up(rows, _added_tokens(tokenizer, max_tokens), max_tokens)
    encoded = encode(tokenizer, texts, max_tokens)
    logits, embeddings = predict(model, encoded, progress=progress, stage="answers of the model")
    probabilities = {
        layer: softmax(logits[:, column]).astype(np.float32)
        for column, layer in enumerate(model.exits)
    }
    if exit0 is not None:  # as it is recorded in a trace
        ids = encoded.columns["input_ids"]
        probabilities[0] = exit0.many(ids, encoded.offsets, embeddings)
    columns = [texts.texts] if texts.pairs is None else [texts.texts, texts.pairs]
    return Reference(
        list(zip(*columns, strict=True)),
        encoded,
        probabilities,
        embeddings,
        steps,
        len(texts) - len(rows),
    )


def check_tier(
    folder: Path,
    exit_: int,
    segments: Sequence[int],
    precision: Precision,
    reference: Reference,
    progress: Progress,
) -> Parity:
    """Compare a tier's graphs in ``folder`` with the trained model.

    Args:
        folder: of the tier's name.
        exit_: the tier's.
        segments: where its layers are cut, see :class:`dimec.bundle.manifest.TierManifest`.
        precision: of its weights.
        reference: what the model makes of some texts.
        progress: where to report to.
    """
    tier = _TierGraphs(
        [Graph(folder / name, threads=None) for name in graph_names(segments)],
        tuple(segments) or (exit_,),
        bool(segments),
        Exit0.load(folder / EXIT0) if segments and 0 in reference.probabilities else None,
    )
    size = len(reference.encoded)
    rng = np.random.default_rng(1)
    some = rng.permutation(size)[: size if precision == "int8" else _ALONE]
    alone = [rows[None] for rows in np.union1d(some, size - 1)]  # the last row is the longest text
    batches = _mixed_batches(rng.permutation(size))
    progress.start(f"parity of the {folder.name} tier", len(alone) + size)
    parts = [compare(tier, reference, some_rows, progress) for some_rows in (alone, batches)]
    progress.end()
    return parity_of(parts, reference)


def parity_of(parts: Sequence[Part], reference: Reference) -> Parity:
    """The worst of several measurements of one tier."""
    exits = [_worst(each) for each in zip(*(part.exits for part in parts), strict=True)]
    return Parity(
        len(reference.encoded),
        # numpy's, for which what is not a number is the largest.
        float(np.max([each.difference for each in exits])),
        min(each.agreement for each in exits),
        min((part.routes for part in parts if part.routes is not None), default=None),
        max((part.embedding for part in parts if part.embedding is not None), default=None),
        reference.made_up,
        tuple(exits),
    )


def check_tokenizer(path: Path, reference: Reference) -> None:
    """Whether ``tokenizer.json`` alone gives the token ids that the model was trained on.

    Raises:
        ConfigError: it does not.
    """
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(path))
    starts = reference.encoded.offsets
    for row, text in enumerate(reference.texts):
        part = slice(starts[row], starts[row + 1])
        encoding = tokenizer.encode(text[0], text[1] if len(text) == 2 else None)
        same = encoding.ids == reference.encoded.columns["input_ids"][part].tolist()
        if "token_type_ids" in reference.encoded.columns:
            same &= encoding.type_ids == reference.encoded.columns["token_type_ids"][part].tolist()
        if not same:
            raise ConfigError(
                "the tokenizer's file gives other token ids than transformers for the text "
                f"{quoted(text[0], 62)}; "
                "train with a tokenizer whose tokenizer.json is complete"
            )


class Answering(Protocol):
    """What answers as a tier: its graphs, or the programs made of them; see ``_TierGraphs``."""

    @property
    def exits(self) -> tuple[int, ...]: ...

    @property
    def in_segments(self) -> bool: ...

    @property
    def exit0(self) -> Exit0 | None: ...

    def __call__(
        self, inputs: dict[str, npt.NDArray[np.int64]]
    ) -> tuple[list[Float32Array], Float32Array | None]: ...


@dataclass(frozen=True, eq=False)
class _TierGraphs:
    """A tier's graphs, as they run one behind the other.

    Attributes:
        graphs: in that order.
        exits: at which they answer, ascending.
        in_segments: whether the first graph embeds, and each other runs up to the next exit.
        exit0: the classifier on the embedding layer alone, where there is one.
    """

    graphs: Sequence[Graph]
    exits: tuple[int, ...]
    in_segments: bool
    exit0: Exit0 | None = None

    def __call__(
        self, inputs: dict[str, npt.NDArray[np.int64]]
    ) -> tuple[list[Float32Array], Float32Array | None]:
        """Class probabilities (B, C) at each exit; of segments the pooled embeddings (B, D) too."""
        first, *segments = self.graphs
        if not self.in_segments:
            return [first(**inputs)[0]], None
        hidden, pooled = first(**inputs)
        return run_segments(segments, hidden, inputs[MASK]), pooled


@dataclass(frozen=True)
class Part:
    """As :class:`Parity`, of some batches."""

    exits: tuple[ExitParity, ...]
    routes: float | None = None
    embedding: float | None = None


def compare(
    tier: Answering,
    reference: Reference,
    batches: Sequence[npt.NDArray[np.int64]],
    progress: Progress,
) -> Part:
    """What a tier's graphs make of the batches, beside what the model made of the same rows."""
    answers = []
    for rows in batches:
        answers.append(tier(reference.batch(rows)))
        progress.advance(len(rows))
    order = np.concatenate(batches)
    exits = tuple(
        _compare_exit(exit_, np.concatenate(got), reference.probabilities[exit_][order])
        for exit_, *got in zip(tier.exits, *(answer[0] for answer in answers), strict=True)
    )
    if not tier.in_segments:
        return Part(exits)
    embeddings, wanted = np.concatenate([answer[1] for answer in answers]), reference.embeddings
    moved = float(np.abs(embeddings - wanted[order]).max())
    routes = (
        same_routes(reference.steps, embeddings, wanted[order], reference.lengths[order])
        if np.isfinite(moved)
        else 0.0
    )
    if tier.exit0 is not None:
        texts = reference.encoded.take(order)
        said = tier.exit0.many(texts.columns["input_ids"], texts.offsets, embeddings)
        exits = (_compare_exit(0, said, reference.probabilities[0][order]), *exits)
    return Part(exits, routes, moved)


def _compare_exit(exit_: int, got: Float32Array, expected: Float32Array) -> ExitParity:
    same = got.argmax(axis=1) == expected.argmax(axis=1)
    return ExitParity(exit_, float(np.abs(got - expected).max()), float(same.mean()))


def _worst(parts: Sequence[ExitParity]) -> ExitParity:
    """Of several measurements at one exit."""
    # numpy's, for which what is not a number is the largest.
    difference = float(np.max([part.difference for part in parts]))
    return ExitParity(parts[0].exit, difference, min(part.agreement for part in parts))


def same_routes(
    steps: Steps, got: Float32Array, expected: Float32Array, lengths: npt.NDArray[np.integer]
) -> float:
    """Share of rows on the same route; where two routes tie but for rounding, either is right.

    Args:
        steps: of a policy; asked for the first step only.
        got, expected: (N, D) embeddings.
        lengths: (N,) in tokens.
    """
    same = 0
    for ours, theirs, tokens in zip(got, expected, lengths.tolist(), strict=True):
        wanted = steps.begin(Signal(theirs, tokens))
        same += steps.begin(Signal(ours, tokens)) == wanted or (
            # A policy that measures nothing has no scores, and a margin that says nothing.
            isinstance(wanted, Go) and bool(wanted.scores) and wanted.margin < _TIE
        )
    return same / len(got)


def _mixed_batches(order: npt.NDArray[np.int64]) -> list[npt.NDArray[np.int64]]:
    """Batches of several sizes in turn, of texts as they come, so that most rows have padding."""
    batches: list[npt.NDArray[np.int64]] = []
    start = 0
    while start < len(order):
        size = _BATCHES[len(batches) % len(_BATCHES)]
        batches.append(order[start : start + size])
        start += size
    return batches


def _with_made_up(rows: ParityRows, added: Sequence[str], max_tokens: int) -> ParityRows:
    """Texts of added tokens, and one row of which what is beyond ``max_tokens`` is cut off."""
    # A word has a token or more.
    long = " ".join(rows.texts)[: 10 * max_tokens] + " more" * max_tokens
    more = (*added, long)
    return ParityRows((*rows.texts, *more), None if rows.pairs is None else (*rows.pairs, *more))


def _added_tokens(tokenizer: Any, max_tokens: int) -> list[str]:
    """Texts of the tokens that were added to the tokenizer, which real rows may never hold."""
    tokens = sorted(tokenizer.get_added_vocab())
    size = max(1, max_tokens // 4)  # room for both texts of a pair
    texts = [" ".join(tokens[start : start + size]) for start in range(0, len(tokens), size)]
    return texts[:_ADDED]
