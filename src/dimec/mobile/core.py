"""The mobile's own share of the work: tokenise, embed, and the layers up to its exit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dimec.base.errors import CorruptArtefactError, DataError, shown
from dimec.bundle.cutting import Cutter
from dimec.bundle.graphs import Graph
from dimec.bundle.manifest import TierBundle
from dimec.bundle.tokens import encode, load_tokenizer

Text = str | tuple[str, str]
IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float32]


@dataclass(slots=True, eq=False)
class Embedded:
    """An input behind the embedding layer.

    Attributes:
        inputs: name → (1, T) int64, as every tier's graph takes them.
        pooled: (D,) float32 mean of the embeddings: what the router sees.
        hidden: (1, T, D) float32 embeddings; None once they were let go to save memory.
    """

    inputs: dict[str, IntArray]
    pooled: FloatArray
    hidden: FloatArray | None


class Core:
    """Tokenizer and graphs of the mobile tier. Safe to call from several threads.

    Every text runs through the graphs on its own: with int8 weights, a batch would change the
    values, because the scale of the activations is taken over all of it.

    Args:
        bundle: the mobile tier's.
        threads: processor threads of one run of a graph; None leaves it to onnxruntime.

    Raises:
        ArtefactError: the tokenizer or a graph cannot be used.
    """

    def __init__(self, bundle: TierBundle, threads: int | None = 1) -> None:
        manifest = bundle.manifest
        self.labels = manifest.labels
        self.pairs = manifest.pairs
        self.width = manifest.width
        self._inputs = manifest.inputs
        self._tokenizer = load_tokenizer(bundle)
        self._cutter = Cutter(self._tokenizer, manifest.max_tokens)
        embed, layers = bundle.file("embed.onnx"), bundle.file("layers.onnx")
        with bundle.hold() as held:
            self._embed, self._layers = (
                Graph(held.folder / path.name, threads=threads, known_as=path, memory=held.memory)
                for path in (embed, layers)
            )
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

    def classify(self, embedded: Embedded) -> FloatArray:
        """(C,) probabilities at the mobile's exit."""
        hidden = embedded.hidden
        if hidden is None:
            hidden, _ = self._embed(**embedded.inputs)
        (probabilities,) = self._layers(
            hidden=hidden, attention_mask=embedded.inputs["attention_mask"]
        )
        row: FloatArray = probabilities[0]
        return row

    def _try_out(self, bundle: TierBundle) -> None:
        """Run the extremes: the first run is the slowest, and wrong graphs are found out.

        An empty text, and the longest one of the largest id: no text can hold what the graph lacks.
        """
        try:
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

    def _try(self, inputs: dict[str, IntArray]) -> None:
        embedded = self.embed(inputs)
        probabilities = self.classify(embedded)
        got = f"embedding {embedded.pooled.shape}, probabilities {probabilities.shape}"
        expected = f"embedding ({self.width},), probabilities ({len(self.labels)},)"
        self._require(got == expected, f"{got}, expected {expected}")
        finite = np.isfinite(embedded.pooled).all() and np.isfinite(probabilities).all()
        self._require(bool(finite), "values that are not finite")

    @staticmethod
    def _require(fits: bool, problem: str) -> None:
        if not fits:
            raise ValueError(problem)


def _unusable(bundle: TierBundle, problem: str) -> CorruptArtefactError:
    return CorruptArtefactError(
        f"the graphs in {bundle.path} do not do what its manifest says ({problem}); make the "
        "bundle again with: dimec export"
    )


def _shown(value: object) -> str:
    if isinstance(value, tuple):
        return f"({', '.join(type(part).__name__ for part in value)})"
    return "one text" if isinstance(value, str) else type(value).__name__
