"""The mobile's own share of the work: tokenise, embed, and the layers up to its exit."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from dimec.base.arrays import Float32Array, IntArray
from dimec.base.errors import ConfigError, CorruptArtefactError, DataError, shown
from dimec.bundle.cutting import Cutter
from dimec.bundle.exit0 import EXIT0, Exit0
from dimec.bundle.folders import TierBundle
from dimec.bundle.graphs import (
    HIDDEN,
    HIDDEN_OUT,
    MASK,
    PROBABILITIES,
    Graph,
    run_segment,
    segment_name,
)
from dimec.bundle.tokens import encode, load_tokenizer
from dimec.policies.step import Signal

Text = str | tuple[str, str]


@dataclass(slots=True, eq=False)
class Embedded:
    """An input behind the embedding layer, and how far it came from there.

    One thread at a time may run it on.

    Attributes:
        inputs: name → (1, T) int64, as every tier's graph takes them.
        pooled: (D,) float32 mean of the embeddings: what the router sees.
        hidden: (1, T, D) float32 behind the layer ``layer``; None once they were let go to save
            memory, or are of no more use.
        layer: how many layers ``hidden`` has run through; 0 for the embeddings.
        probabilities: exit → (C,) probabilities there, of all exits passed.
    """

    inputs: dict[str, IntArray]
    pooled: Float32Array
    hidden: Float32Array | None
    layer: int = 0
    probabilities: dict[int, Float32Array] = field(default_factory=dict)

    @property
    def signal(self) -> Signal:
        """What a policy is told of the input before any layer has run."""
        return Signal(self.pooled, self.inputs["input_ids"].shape[1])


class Core:
    """Tokenizer and graphs of the mobile tier. Safe to call from several threads.

    Every text runs through the graphs on its own: with int8 weights, a batch would change the
    values, because the scale of the activations is taken over all of it.

    Args:
        bundle: the mobile tier's.
        threads: processor threads of one run of a graph; None leaves it to onnxruntime.

    Raises:
        ArtefactError: the tokenizer or a graph cannot be used.

    Attributes:
        exits: the layers at which it can stop, ascending; the last is the mobile's exit.
        exit0: the classifier that reads the embedding layer alone; None where there is none.
        labels: names of the C classes.
        pairs: whether an input is a pair of texts.
        width: D.
    """

    def __init__(self, bundle: TierBundle, threads: int | None = 1) -> None:
        manifest = bundle.manifest
        self.exits = manifest.segments
        self.labels = manifest.labels
        self.pairs = manifest.pairs
        self.width = manifest.width
        self.exit0 = _exit0_of(bundle)
        self._inputs = manifest.inputs
        self._tokenizer = load_tokenizer(bundle)
        self._cutter = Cutter(self._tokenizer, manifest.max_tokens)
        paths = [bundle.file(name) for name in manifest.graphs]
        with bundle.hold() as held:
            self._embed, *segments = (
                Graph(
                    held.folder / path.name,
                    threads=threads,
                    known_as=path,
                    memory=held.memory,
                    shared=True,
                )
                for path in paths
            )
        self._segments = dict(zip(self.exits, segments, strict=True))
        self._ones = np.ones((1, manifest.max_tokens), np.int64)
        self._ones.flags.writeable = False
        self._try_out(bundle)

    def check(self, text: Text) -> None:
        """Whether this is a text, or a pair of texts for a task on pairs.

        Raises:
            DataError: it is not, or holds half a surrogate pair.
        """
        parts = text if isinstance(text, tuple) else (text,)
        wanted = 2 if self.pairs else 1
        if len(parts) != wanted or not all(isinstance(part, str) for part in parts):
            expected = "a pair (text, text)" if self.pairs else "one text"
            raise DataError(f"expected {expected}, got {_shown(text)}")
        for part in parts:
            if not part.isascii():
                try:
                    part.encode("utf-8")
                except UnicodeEncodeError as error:
                    raise DataError(
                        f"character {error.start} of the text is none (half a surrogate pair, or "
                        "a byte that is not UTF-8); remove it"
                    ) from None

    def tokenise(self, text: Text) -> dict[str, IntArray]:
        """Model inputs (1, T) of a text that was checked; longer ones are cut."""
        encoding = encode(self._tokenizer, text, self._cutter)
        ids = np.array([encoding.ids], np.int64)
        inputs = {"input_ids": ids, "attention_mask": self._ones[:, : ids.shape[1]]}
        if "token_type_ids" in self._inputs:
            inputs["token_type_ids"] = np.array([encoding.type_ids], np.int64)
        return inputs

    def embed(self, inputs: dict[str, IntArray]) -> Embedded:
        """Run the embedding layer."""
        hidden, pooled = self._embed(**inputs)
        return Embedded(inputs, pooled[0], hidden)

    def run(self, embedded: Embedded, exit_: int) -> Float32Array:
        """(C,) probabilities at an exit, running only the layers that were not run yet.

        Where the hidden states were let go, it starts again from the token ids.

        Args:
            embedded: is changed: it stands behind the exit afterwards.
            exit_: one of ``exits``, or 0 where there is an exit 0.

        Raises:
            ConfigError: the layers are not cut there.
        """
        if exit_ in embedded.probabilities:
            return embedded.probabilities[exit_]
        if exit_ == 0 and self.exit0 is not None:
            said = self.exit0.one(embedded.inputs["input_ids"][0], embedded.pooled)
            embedded.probabilities[0] = said
            return said
        if exit_ not in self._segments:
            raise ConfigError(
                f"the mobile's bundle can stop at the layers {', '.join(map(str, self.exits))}, "
                f"not at {exit_}; export it with a look at that exit"
            )
        hidden, layer = embedded.hidden, embedded.layer
        if hidden is None:
            hidden, layer = self._embed(**embedded.inputs)[0], 0
        for end, segment in self._segments.items():
            if layer < end <= exit_:
                assert hidden is not None
                row, hidden = run_segment(segment, hidden, embedded.inputs[MASK])
                embedded.probabilities[end] = row[0]
                layer = end
        embedded.hidden, embedded.layer = hidden, layer
        return embedded.probabilities[exit_]

    def classify(self, embedded: Embedded) -> Float32Array:
        """(C,) probabilities at the mobile's own exit, the last."""
        return self.run(embedded, self.exits[-1])

    def _try_out(self, bundle: TierBundle) -> None:
        """Run the extremes: the first run is the slowest, and wrong graphs are found out.

        An empty text, and the longest one of the largest id: no text can hold what the graph lacks.
        """
        try:
            self._check_segments()
            empty = self.tokenise(("", "") if self.pairs else "")
            self._require(empty.keys() == set(self._inputs), "inputs")
            most, highest = self._ones.shape[1], bundle.manifest.vocabulary - 1
            longest = {
                name: np.full((1, most), highest if name == "input_ids" else 1, np.int64)
                for name in empty
            }
            if "token_type_ids" in longest and not self.pairs:
                longest["token_type_ids"][:] = empty["token_type_ids"].max(initial=0)
            for inputs in (empty, longest):
                self._try(inputs)
        except Exception as error:
            problem = shown(f"{type(error).__name__}: {error}".splitlines()[0], 120)
            raise _unusable(bundle, problem) from None

    def _check_segments(self) -> None:
        """Whether each segment runs the layers that its place among the others says."""
        for before, (end, segment) in zip((0, *self.exits), self._segments.items(), strict=False):
            last = end == self.exits[-1]
            outputs = (PROBABILITIES,) if last else (PROBABILITIES, HIDDEN_OUT)
            got = f"{segment.segment} from {segment.inputs} to {segment.outputs}"
            expected = f"{segment_name(before, end)} from {(HIDDEN, MASK)} to {outputs}"
            self._require(got == expected, f"layers {got}, expected {expected}")

    def _try(self, inputs: dict[str, IntArray]) -> None:
        embedded = self.embed(inputs)
        for exit_ in (*self.exits, *([] if self.exit0 is None else [0])):
            probabilities = self.run(embedded, exit_)
            got = f"embedding {embedded.pooled.shape}, probabilities {probabilities.shape}"
            expected = f"embedding ({self.width},), probabilities ({len(self.labels)},)"
            self._require(got == expected, f"{got}, expected {expected}")
            finite = np.isfinite(embedded.pooled).all() and np.isfinite(probabilities).all()
            self._require(bool(finite), "values that are not finite")

    @staticmethod
    def _require(fits: bool, problem: str) -> None:
        if not fits:
            raise ValueError(problem)


def _exit0_of(bundle: TierBundle) -> Exit0 | None:
    """The bundle's exit 0, held against its manifest.

    Raises:
        CorruptArtefactError: it is none, or of another model, vocabulary, width or task.
    """
    manifest = bundle.manifest
    if not manifest.exit0:
        return None
    path = bundle.file(EXIT0)
    exit0 = Exit0.load(path, "dimec export")
    bundle.read(EXIT0)  # it is still the file that was checked
    got = (exit0.vocabulary, exit0.width, exit0.classes, exit0.pairs)
    expected = (manifest.vocabulary, manifest.width, len(manifest.labels), manifest.pairs)
    model = manifest.model_of(manifest.tier)
    if got != expected or model not in (None, exit0.model):
        raise CorruptArtefactError(
            f"{path} does not go with this bundle (vocabulary, width, classes and pairs {got}, "
            f"expected {expected}, of the same model); make the bundle again with: dimec export"
        )
    return exit0


def _unusable(bundle: TierBundle, problem: str) -> CorruptArtefactError:
    return CorruptArtefactError(
        f"the graphs in {bundle.path} do not do what its manifest says ({problem}); make the "
        "bundle again with: dimec export"
    )


def _shown(value: object) -> str:
    if isinstance(value, tuple):
        return f"({', '.join(type(part).__name__ for part in value)})"
    return "one text" if isinstance(value, str) else type(value).__name__
