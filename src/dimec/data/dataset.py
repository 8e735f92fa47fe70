"""Labelled texts in memory: :class:`Dataset`, and the three :class:`Splits` made of one."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from dimec.base.errors import DataError
from dimec.base.metrics import METRICS
from dimec.data.columns import first_repeated, take_rows

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True, eq=False)
class Dataset:
    """N labelled texts or pairs of texts; immutable, row order is part of it.

    Attributes:
        task: where the rows come from: ``"glue/sst2"``, ``"vader/movies"``, ``"csv:reviews.csv"``.
        texts: N texts; an empty one is valid. A tuple, or a
            :class:`~dimec.data.columns.TextColumn` where they are many.
        pairs: the N second texts of a task on pairs, or None.
        labels: (N,) int64, codes into ``label_names``.
        label_names: one name per class; the code is its position.
        guids: N unique identifiers, the same each time the source is read.
        metric: the task's score beside accuracy: ``"accuracy"``, ``"matthews"`` or ``"f1"`` (with
            two classes: of the one with code 1).
        predefined: per row the split that the source puts it in (``"train"``, ``"validation"``,
            ``"test"``), or None where the source has no splits.
        extra: further (N,) float64 columns by name, such as the raters' disagreement.
        source_rows: what part of the source this is, to be quoted with every result ("a sample:
            2,000 of 104,743 training rows"); empty when it is all of it.

    Raises:
        DataError: the parts do not have the same length, a label has no name, an identifier comes
            twice, or the metric is unknown.
    """

    task: str
    texts: Sequence[str]
    pairs: Sequence[str] | None
    labels: NDArray[np.int64]
    label_names: tuple[str, ...]
    guids: Sequence[str]
    metric: str = "accuracy"
    predefined: Sequence[str] | None = None
    extra: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    source_rows: str = ""

    def __post_init__(self) -> None:
        rows = len(self.texts)
        lengths = {"pairs": self.pairs, "guids": self.guids, "predefined": self.predefined}
        for name, values in (lengths | dict(self.extra)).items():
            if values is not None and len(values) != rows:
                raise DataError(
                    f"{self.task}: {rows} texts but {len(values)} {name}; give one each"
                )
        if self.labels.shape != (rows,) or self.labels.dtype != np.int64:
            raise DataError(
                f"{self.task}: expected {rows} int64 labels, got shape {self.labels.shape} of "
                f"{self.labels.dtype}; give one code per text"
            )
        if rows and not 0 <= self.labels.min() <= self.labels.max() < len(self.label_names):
            raise DataError(
                f"{self.task}: label codes run from {self.labels.min()} to {self.labels.max()} but "
                f"there are {len(self.label_names)} label names; name every class"
            )
        if (guid := first_repeated(self.guids)) is not None:
            raise DataError(f"{self.task}: the guid {guid!r} comes twice; every row needs its own")
        if unknown := set(self.predefined or ()) - set(SPLITS):
            raise DataError(f"{self.task}: unknown splits {sorted(unknown)}; use {list(SPLITS)}")
        if self.metric not in METRICS:
            raise DataError(
                f"{self.task}: unknown metric {self.metric!r}; use one of {tuple(METRICS)}"
            )

    def __len__(self) -> int:
        return len(self.texts)

    def take(self, rows: NDArray[np.int64]) -> Dataset:
        """The given rows (distinct positions, any order), in the given order."""
        return replace(
            self,
            texts=take_rows(self.texts, rows),
            pairs=None if self.pairs is None else take_rows(self.pairs, rows),
            labels=self.labels[rows],
            guids=take_rows(self.guids, rows),
            predefined=None if self.predefined is None else take_rows(self.predefined, rows),
            extra={name: column[rows] for name, column in self.extra.items()},
        )

    def fingerprint(self) -> str:
        """SHA-256 (hexadecimal) over the label names and, in order, texts, pairs and labels.

        Two datasets with the same fingerprint train the same model; where the rows came from, their
        identifiers and the metric do not enter.
        """
        digest = hashlib.sha256(json.dumps(self.label_names).encode())
        pairs = self.pairs if self.pairs is not None else (None,) * len(self)
        for text, pair, label in zip(self.texts, pairs, self.labels.tolist(), strict=True):
            digest.update(json.dumps([text, pair, label]).encode())
        return digest.hexdigest()


@dataclass(frozen=True, eq=False)
class Splits:
    """The three disjoint parts of a dataset."""

    train: Dataset
    validation: Dataset
    test: Dataset
