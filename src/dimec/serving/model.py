"""A tier's graph, run by one thread or by all of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import inf
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from dimec.base.errors import ConfigError, CorruptArtefactError, shown
from dimec.base.held import Held
from dimec.base.machine import processors
from dimec.bundle.folders import TierBundle
from dimec.bundle.graphs import Graph
from dimec.serving.checks import OUTPUT

# Bounds of the measurement, in tokens: a busy machine measures anything.
_OVERHEADS = (8.0, 64.0)
_SIZES = range(8, 1025, 8)


@dataclass(frozen=True)
class _Line:
    """Seconds of a run by its tokens: ``start + each · tokens``."""

    start: float
    each: float

    def __call__(self, tokens: int) -> float:
        return self.start + self.each * tokens

    @classmethod
    def through(cls, short: int, long: int, seconds: Callable[[int], float]) -> _Line:
        """The line through what two lengths take."""
        first, second = seconds(short), seconds(long)
        each = max(second - first, 0.0) / max(long - short, 1)
        return cls(first - each * short, each)

    @property
    def overhead(self) -> float:
        """What a run costs before its first token, in tokens."""
        least, most = _OVERHEADS
        return min(max(self.start / self.each, least), most) if self.each > 0 else most


@dataclass(frozen=True)
class Pace:
    """How fast a graph is here, measured once: a machine that is busy measures anything.

    Attributes:
        overhead: what a run costs before its first token, in tokens.
        worth: the fewest tokens that all threads are quicker with than one; inf: none are.
    """

    overhead: float
    worth: float = inf

    def to_json(self) -> dict[str, float | None]:
        """JSON values, which have no infinity."""
        return {"overhead": self.overhead, "worth": None if self.worth == inf else self.worth}

    @classmethod
    def of_json(cls, value: Mapping[str, float | None]) -> Self:
        """What :meth:`to_json` gave."""
        overhead, worth = value["overhead"], value["worth"]
        assert overhead is not None
        return cls(overhead, inf if worth is None else worth)


class TierModel:
    """What a tier computes: token ids in, probabilities out.

    Runs side by side, each on a thread of its own, give more answers a second than runs one after
    the other on all threads, since these wait for each other at every layer. A long request that
    is alone is answered sooner by all threads. So with more than one thread there are two
    sessions, and at the start both are measured.

    Attributes:
        manifest: of the bundle.
        threads: processor threads.
        pace: as measured at the start, or as given.

    Args:
        bundle: of any tier but the first.
        threads: processor threads; None takes as many as this process may use.
        pace: as another process that serves the same bundle here has measured it.

    Raises:
        ConfigError: the bundle is the first tier's.
        ArtefactError: the graph cannot be loaded, or is not the one that the manifest describes.
    """

    def __init__(self, bundle: TierBundle, threads: int | None, pace: Pace | None = None) -> None:
        if bundle.manifest.is_first:
            first, *others = bundle.manifest.names
            beside = " or ".join(f"{name}/" for name in others)
            instead = f"serve the folder {beside} beside it" if others else "there is no other"
            raise ConfigError(
                f"{bundle.path} is the bundle of the {first} tier, which answers through dimec "
                f"predict; {instead}"
            )
        self.manifest = bundle.manifest
        self.threads = threads or processors()
        self.path = bundle.file("model.onnx")
        with bundle.hold() as held:
            self.pace = self._load(held, pace)

    def _load(self, held: Held, pace: Pace | None) -> Pace:
        def graph(threads: int) -> Graph:
            path = held.folder / self.path.name
            return Graph(path, threads=threads, known_as=self.path, memory=held.memory)

        self._single = graph(1)
        self._check(self._single)
        several = self.threads > 1 and (pace is None or pace.worth < inf)
        self._all = graph(self.threads) if several else self._single
        found = pace or self._measured()
        if found.worth == inf:
            self._all = self._single
        return found

    def _measured(self) -> Pace:
        short, long = (min(n, self.manifest.max_tokens) for n in (8, 64))
        single = _Line.through(short, long, lambda n: self._seconds(self._single, n))
        if self._all is self._single:
            return Pace(single.overhead)
        line = _Line.through(short, long, lambda n: self._seconds(self._all, n))
        worth = next((n for n in _SIZES if line(n) < 0.9 * single(n)), inf)
        return Pace(single.overhead, worth)

    def __call__(
        self, inputs: Mapping[str, npt.NDArray[np.int64]], alone: bool
    ) -> npt.NDArray[np.float32]:
        """Probabilities (B, C) of model inputs (B, T).

        Args:
            inputs: name → (B, T) int64, sound.
            alone: whether no other run is going on, so that this one may use all threads where
                that is quicker.

        Raises:
            ArithmeticError: the graph's answer is not finite.
            Exception: whatever the runtime raises.
        """
        worth = alone and inputs["input_ids"].size >= self.pace.worth
        graph = self._all if worth else self._single
        probabilities: npt.NDArray[Any] = graph(**inputs)[0]
        if not np.isfinite(probabilities).all():
            raise ArithmeticError(f"{OUTPUT} are not finite")
        return probabilities

    def _check(self, graph: Graph) -> None:
        """Run the extremes that the manifest allows: what is wrong with a graph shows now.

        These are the highest token id and the longest text, and two rows of which one is padded.

        Raises:
            CorruptArtefactError: the graph cannot run them, or gives something else.
        """
        most = self.manifest.max_tokens
        for rows, tokens in ((1, most), (2, min(8, most))):
            try:
                self._check_answer(graph, self._extreme(rows, tokens))
            except Exception as error:
                problem = shown(f"{type(error).__name__}: {error}".splitlines()[0], 100)
                raise CorruptArtefactError(
                    f"{self.path}: expected a graph of {', '.join(self.manifest.inputs)} with "
                    f"{len(self.manifest.labels)} probabilities a row, for {most} tokens up to id "
                    f"{self.manifest.vocabulary - 1}, got another ({problem}); make the bundle "
                    "again with: dimec export"
                ) from None

    def _check_answer(self, graph: Graph, inputs: dict[str, npt.NDArray[np.int64]]) -> None:
        if set(graph.inputs) != set(inputs):
            raise ValueError(f"it takes {', '.join(graph.inputs)}")
        answer, expected = graph(**inputs), (len(inputs["input_ids"]), len(self.manifest.labels))
        if len(answer) != 1 or answer[0].shape != expected:
            raise ValueError(f"{len(answer)} outputs, the first {answer[0].shape}, not {expected}")
        if answer[0].dtype != np.float32 or not np.isfinite(answer[0]).all():
            raise ValueError("answers that are no probabilities")

    def _extreme(self, rows: int, tokens: int) -> dict[str, npt.NDArray[np.int64]]:
        """The highest values that :func:`dimec.serving.checks.check_request` lets through."""
        inputs: dict[str, npt.NDArray[np.int64]] = {}
        for name in self.manifest.inputs:
            ids = name == "input_ids"
            highest = self.manifest.vocabulary - 1 if ids else 1
            inputs[name] = np.full((rows, tokens), highest, np.int64)
            inputs[name][1:, 1:] = self.manifest.padding if ids else 0
        return inputs

    def _seconds(self, graph: Graph, tokens: int) -> float:
        """The quickest of a few runs: whatever else the machine does can only slow one down."""
        inputs = self._example(tokens)
        found = []
        for _ in range(5):
            begun = time.perf_counter()
            graph(**inputs)
            found.append(time.perf_counter() - begun)
        return min(found)

    def _example(self, tokens: int) -> dict[str, npt.NDArray[np.int64]]:
        shape = (1, tokens)
        return {
            name: np.full(shape, name == "attention_mask", np.int64)
            for name in self.manifest.inputs
        }
