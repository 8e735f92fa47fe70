"""The trace: one pass of a model over a split, recorded, so that every policy replays the same.

A trace holds what any policy may look at (embeddings, the probabilities at every exit) and the
labels that only the ledger and the oracle may. Replaying it needs no model and no torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from dimec.base.errors import ConfigError, CorruptArtefactError, DataError, MismatchError
from dimec.base.storage import load_arrays, save_arrays
from dimec.tiers.costs import check_tiers

_KIND = "trace"
_MADE_BY = "dimec train"


@dataclass(frozen=True, eq=False)
class Trace:
    """N samples as one model saw them.

    Attributes:
        embeddings: (N, D) float32, the embedding layer's output, pooled over the real tokens.
        probabilities: (N, X, C) float32, class probabilities at each of the X exits.
        labels: (N,) right labels, codes 0 … C-1.
        exits: the X layers with a classifier, ascending.
        tiers: (m, n, l), the exits of mobile, edge and cloud.
        guids: N identifiers.
        label_names: the names of the C classes.
        task, split: where the samples come from.
        metric: the task's own score: ``accuracy``, ``matthews`` or ``f1``.
        model: the fingerprint of the model that made the trace.
        lengths: (N,) number of tokens of each sample.
        extra: further columns of N numbers that the task's source carries.
    """

    embeddings: npt.NDArray[np.float32]
    probabilities: npt.NDArray[np.float32]
    labels: npt.NDArray[np.int64]
    exits: tuple[int, ...]
    tiers: tuple[int, ...]
    guids: tuple[str, ...]
    label_names: tuple[str, ...]
    task: str
    split: str
    metric: str
    model: str
    lengths: npt.NDArray[np.int64]
    extra: Mapping[str, npt.NDArray[np.float64]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        n = len(self.labels)
        shapes = {
            "labels": (self.labels.shape, (n,)),
            "embeddings": (self.embeddings.shape[:1], (n,)),
            "probabilities": (
                self.probabilities.shape,
                (n, len(self.exits), len(self.label_names)),
            ),
            "guids": ((len(self.guids),), (n,)),
            "lengths": (self.lengths.shape, (n,)),
            **{name: (column.shape, (n,)) for name, column in self.extra.items()},
        }
        if self.embeddings.ndim != 2:
            raise DataError(f"embeddings must have the shape (N, D), got {self.embeddings.shape}")
        if tuple(sorted(set(self.exits))) != tuple(self.exits):
            raise ConfigError(f"a trace's exits must ascend, each once, got {list(self.exits)}")
        for name, (got, expected) in shapes.items():
            if got != expected:
                raise DataError(f"a trace of {n} labels needs {name} of {expected}, got {got}")
        for name in ("embeddings", "probabilities"):
            if not np.isfinite(getattr(self, name)).all():
                raise DataError(
                    f"the trace's {name} hold values that are not finite; the model has diverged, "
                    "train again with a smaller learning rate"
                )
        if n and not (self.labels.min() >= 0 and self.labels.max() < len(self.label_names)):
            raise DataError(f"labels must be codes from 0 to {len(self.label_names) - 1}")
        check_tiers(self.tiers)
        self.columns(self.tiers)

    def __len__(self) -> int:
        return len(self.labels)

    def columns(self, exits: tuple[int, ...], sources: tuple[str, ...] | None = None) -> list[int]:
        """Where the classifiers of these layers stand on the second axis of ``probabilities``."""
        missing = [layer for layer in exits if layer not in self.exits]
        if missing:
            raise ConfigError(
                f"no exit at layer {missing[0]}; the model has exits {list(self.exits)}"
            )
        return [self.exits.index(layer) for layer in exits]

    @property
    def predictions(self) -> npt.NDArray[np.int64]:
        """(N, X) predicted class at every exit; the lower code where two are equal."""
        result: npt.NDArray[np.int64] = self.probabilities.argmax(axis=-1).astype(np.int64)
        return result

    @property
    def confidences(self) -> npt.NDArray[np.float64]:
        """(N, X) largest class probability at every exit, C_h in the paper."""
        result: npt.NDArray[np.float64] = self.probabilities.max(axis=-1).astype(np.float64)
        return result

    @property
    def correct(self) -> npt.NDArray[np.bool_]:
        """(N, X) whether each exit's prediction is right."""
        result: npt.NDArray[np.bool_] = self.predictions == self.labels[:, None]
        return result

    def require_model(self, model: str, what: str) -> None:
        """Raise MismatchError unless this trace was made by the model of that fingerprint."""
        if self.model != model:
            raise MismatchError(
                f"the {self.split} trace was made by the model {self.model[:12]}…, but {what} "
                f"belongs to the model {model[:12]}…; run dimec train and dimec fit again"
            )

    def save(self, path: Path) -> None:
        """Write the trace to one checksummed safetensors file."""
        arrays: dict[str, npt.NDArray[Any]] = {
            "embeddings": self.embeddings,
            "probabilities": self.probabilities,
            "labels": self.labels,
            "lengths": self.lengths,
        }
        arrays |= {f"extra.{name}": column for name, column in self.extra.items()}
        names = ("exits", "tiers", "guids", "label_names", "task", "split", "metric", "model")
        save_arrays(Path(path), _KIND, arrays, {name: getattr(self, name) for name in names})

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what :meth:`save` wrote.

        Raises:
            ArtefactError: missing, truncated, altered, or not a trace.
        """
        arrays, metadata = load_arrays(Path(path), _KIND, _MADE_BY)
        extra = {
            name.removeprefix("extra."): arrays.pop(name)
            for name in list(arrays)
            if name.startswith("extra.")
        }
        names = ("exits", "tiers", "guids", "label_names")
        try:
            tuples: dict[str, Any] = {name: tuple(metadata.pop(name)) for name in names}
            fields: dict[str, Any] = {**arrays, **tuples, **metadata}
            return cls(**fields, extra=extra)
        except (KeyError, TypeError) as error:
            raise CorruptArtefactError(
                f"{path} lacks a part of a trace ({error}); make it again with: {_MADE_BY}"
            ) from None
