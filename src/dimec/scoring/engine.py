"""What a policy answers to texts: its labels, paths and costs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt

from dimec.base.arrays import Float32Array, FloatArray
from dimec.policies.drive import legs_of
from dimec.policies.step import Visit
from dimec.scoring.batches import windows
from dimec.scoring.part import Models, Text
from dimec.scoring.scorer import Scorer
from dimec.scoring.walking import Window
from dimec.tiers.paths import usage_of


@dataclass(frozen=True, eq=False)
class Answers:
    """The answers to N texts.

    Attributes:
        codes: (N,) of the classes, the most probable at the exit that answered.
        probabilities: (N, C) there.
        paths: of each, such as ``mobile:2 > cloud:6``: the tiers, each with the layer that it was
            run up to.
        tiers: of each, position of the tier that answered.
        costs: (N,) in λ.
        sent: (N,) bytes that were sent between tiers for it.
    """

    codes: npt.NDArray[np.int64]
    probabilities: Float32Array
    paths: tuple[str, ...]
    tiers: npt.NDArray[np.int64]
    costs: FloatArray
    sent: FloatArray

    def __len__(self) -> int:
        return len(self.codes)


class Engine:
    """A scorer in memory. One thread at a time may use it.

    Attributes:
        scorer: what it runs.
        labels: names of the classes.
        names: of the tiers.
        pairs: whether an input is a pair of texts.
    """

    def __init__(self, scorer: Scorer) -> None:
        manifest = scorer.manifest
        self.scorer, self.labels, self.pairs = scorer, manifest.labels, manifest.pairs
        self._deployment = scorer.deployment
        self.names = self._deployment.names
        models = Models.load(scorer.path, manifest)
        self._parts, self._exit0 = models.parts, models.exit0

    @classmethod
    def open(cls, path: Path) -> Self:
        """Load a scorer.

        Raises:
            ArtefactError: it is missing or damaged.
        """
        return cls(Scorer.open(path))

    def answer(self, texts: Sequence[Text]) -> Answers:
        """Answer texts, or pairs; as many in memory at once as :data:`WINDOW` has room for.

        Raises:
            DataError: the tokenizer fails on one.
        """
        first = self._parts[0]
        tokens = first.tokenise(texts)
        done = []
        for rows in windows(tokens.lengths):
            window = Window(
                texts[rows],
                tokens.part(rows),
                self._parts,
                self._exit0,
                self.scorer.steps,
                self._deployment,
            )
            window.run()
            done.append(self._told(window, tokens.lengths[rows]))
        return _joined(done, len(self.labels))

    def _told(self, window: Window, lengths: npt.NDArray[np.int64]) -> Answers:
        looks = [look for look in window.looks if look is not None]
        visits = [walk.visits for walk in window.walks]
        width = self._parts[0].record.width
        usage = usage_of(legs_of(visits, lengths, width, len(self.names)), self._deployment)
        probabilities = np.array([look.probabilities for look in looks], np.float32)
        return Answers(
            probabilities.argmax(axis=1).astype(np.int64),
            probabilities,
            tuple(self._path(path) for path in visits),
            np.array([look.tier for look in looks], np.int64),
            self._deployment.price(usage),
            usage.bytes.sum(axis=1),
        )

    def _path(self, visits: Sequence[Visit]) -> str:
        return " > ".join(f"{self.names[visit.tier]}:{visit.stop}" for visit in visits)


def _joined(parts: Sequence[Answers], classes: int) -> Answers:
    if not parts:
        none = np.zeros(0)
        codes = none.astype(np.int64)
        return Answers(codes, np.zeros((0, classes), np.float32), (), codes, none, none)
    return Answers(
        np.concatenate([one.codes for one in parts]),
        np.concatenate([one.probabilities for one in parts]),
        tuple(path for one in parts for path in one.paths),
        np.concatenate([one.tiers for one in parts]),
        np.concatenate([one.costs for one in parts]),
        np.concatenate([one.sent for one in parts]),
    )
