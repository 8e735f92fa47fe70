"""What a student is taught: a teacher's words on the training rows, and texts without labels."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from dimec.base.arrays import Float32Array, IntArray
from dimec.base.errors import ConfigError, option
from dimec.data import Dataset
from dimec.data.backbones import short
from dimec.training.model import MultiExitClassifier
from dimec.training.objective import Taught
from dimec.training.ready import load_model


@dataclass(frozen=True, eq=False)
class UnlabelledTexts:
    """U texts, or pairs of texts, without labels."""

    texts: Sequence[str]
    pairs: Sequence[str] | None = None

    def __len__(self) -> int:
        return len(self.texts)

    @property
    def digest(self) -> str:
        """SHA-256 of the texts, in order."""
        sides = [list(self.texts), list(self.pairs or ())]
        return hashlib.sha256(json.dumps(sides).encode()).hexdigest()


@dataclass(frozen=True, eq=False)
class Lesson:
    """What a teacher says of R texts: the N training rows, and behind them U without labels.

    Attributes:
        teacher: fingerprint of the teacher's model.
        logits: (R, C) of its last exit.
        hidden: (R, L, D) its pooled hidden states behind each of its L layers; None where nothing
            is learnt from them.
        unlabelled: the U texts.
        weights: (R,) of the rows; None: 1 each.
        start: folder of the teacher's model, whose lower layers the student begins as; None: its
            encoder's.
    """

    teacher: str
    logits: Float32Array
    hidden: Float32Array | None = None
    unlabelled: UnlabelledTexts | None = None
    weights: Float32Array | None = None
    start: Path | None = None

    @property
    def digest(self) -> str:
        """SHA-256 of all that is taught: another lesson makes another student."""
        digest = hashlib.sha256(json.dumps([self.teacher, self.start is not None]).encode())
        for part in (self.logits, self.hidden, self.weights):
            digest.update(b"-" if part is None else np.ascontiguousarray(part).tobytes())
        if self.unlabelled is not None:
            for side in (self.unlabelled.texts, self.unlabelled.pairs or ()):
                digest.update(json.dumps(list(side)).encode())
        return digest.hexdigest()

    def labelled_only(self, rows: int) -> Lesson:
        """The same without texts that have no labels.

        Args:
            rows: N, the number of training rows.
        """
        return replace(
            self,
            logits=self.logits[:rows],
            hidden=None if self.hidden is None else self.hidden[:rows],
            weights=None if self.weights is None else self.weights[:rows],
            unlabelled=None,
        )

    def labels(self, rows: Dataset) -> IntArray:
        """(R,) codes of the training rows' labels, -1 for texts that have none."""
        without = 0 if self.unlabelled is None else len(self.unlabelled)
        return np.concatenate([rows.labels, np.full(without, -1, np.int64)])

    def layers_for(self, exits: Sequence[int], depth: int) -> list[int]:
        """Positions of the teacher's layers at the depth of a student's exits.

        Layer i of S goes with layer round(i·L / S) of L, as in PKD's and TinyBERT's even mappings.

        Args:
            exits: layers of the student with an exit.
            depth: S, its number of layers.
        """
        assert self.hidden is not None
        most = self.hidden.shape[1]
        return [max(1, round(layer * most / depth)) - 1 for layer in exits]

    def of(self, rows: IntArray, layers: Sequence[int], device: torch.device) -> Taught:
        """What is taught of some rows.

        Args:
            rows: (B,) among the R.
            layers: see :meth:`layers_for`; none where hidden states are not learnt from.
            device: where to have it.
        """
        hidden = None
        if self.hidden is not None:
            chosen = self.hidden[rows[:, None], np.asarray(layers)[None]]
            hidden = torch.from_numpy(chosen).to(device)
        weights = None if self.weights is None else torch.from_numpy(self.weights[rows]).to(device)
        return Taught(torch.from_numpy(self.logits[rows]).to(device), hidden, weights)


def begin_as(model: MultiExitClassifier, folder: Path) -> None:
    """Give a student the lower layers of a model of the same kind, and its embeddings.

    Exits at the same layers are taken over too.

    Raises:
        ConfigError: they are not of one kind.
    """
    teacher = load_model(folder)
    theirs = dict(teacher.state_dict())
    # Of a classifier that was taken as it is, the encoder has another name.
    theirs |= {f"encoder.{name}": own for name, own in teacher.encoder.state_dict().items()}
    wanted = model.state_dict()
    if missing := [name for name in sorted(wanted) if _of_encoder(name) and name not in theirs]:
        raise ConfigError(
            f"the teacher's encoder has no {missing[0]}; use {option('start', 'encoder')}"
        )
    try:
        model.load_state_dict({name: theirs.get(name, own) for name, own in wanted.items()})
    except RuntimeError as error:
        raise ConfigError(
            f"the teacher's encoder is of another shape: {short(error)}; use "
            f"{option('start', 'encoder')}"
        ) from None


def _of_encoder(name: str) -> bool:
    return name.startswith("encoder.")
