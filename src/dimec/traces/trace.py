"""The trace: one pass of a model over a split, recorded, so that every policy replays the same.

A trace holds what any policy may look at (embeddings, the probabilities at every exit) and the
labels that only the ledger and the oracle may. Replaying it needs no model and no torch.

The model behind an exit is its *source*. Most traces have one, without a name; those of several
models over the same samples are joined by :func:`dimec.traces.joining.join`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from dimec.base.errors import ConfigError, DataError, MismatchError, quoted, shown
from dimec.base.tables import as_pandas, read_table_file, write_table
from dimec.traces.file import ARRAYS, metadata_of, read_trace, write_trace
from dimec.traces.sources import joint_model, layers_of, listed, names_of
from dimec.traces.tables import KEY, MADE_BY, trace_fields, trace_table


@dataclass(frozen=True, eq=False)
class Trace:
    """N samples as one model saw them, or as several did.

    Attributes:
        embeddings: (N, D) float32, the embedding layer's output, pooled over the real tokens; of
            several sources the first one's, for its tier decides before any layer has run.
        probabilities: (N, X, C) float32, class probabilities at each of the X exits.
        labels: (N,) right labels, codes 0 … C-1.
        exits: the X layers with a classifier, ascending within each source; 0 is the embedding
            layer, before the first layer proper.
        tiers: the exits of the K ≥ 1 tiers, each the deepest layer that its tier runs, ascending
            within each source; (m, n, l) for mobile, edge and cloud.
        guids: N identifiers.
        label_names: the names of the C classes.
        task, split: where the samples come from.
        metric: the task's own score: ``accuracy``, ``matthews`` or ``f1``.
        model: the fingerprint of the model that made the trace; of several sources the digest of
            ``models`` that :func:`dimec.traces.sources.joint_model` gives.
        lengths: (N,) number of tokens of each sample; of several sources the first one's.
        extra: further columns of N numbers that the task's source carries.
        sources: the source of each exit, X names; one name is that of all. ``""`` by default.
        tier_sources: the source of each tier, K names; to be given where there are several.
        models: the fingerprint of each source's model, by the source's name; to be given where
            there are several, for of one it is ``model``.
        answers_only: whether nobody knows how sure an exit was, as in records of others; then the
            class that was answered has the probability 1.
        outcomes_only: whether nobody knows what an exit answered either, only whether it was right;
            then the classes say that, and a policy that looked at an answer would know the label.

    Raises:
        ConfigError: exits, tiers or sources that do not fit each other.
        DataError: arrays that do not fit, or values that are not finite.
        MismatchError: ``model`` is not the digest of ``models``.
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
    sources: tuple[str, ...] = ()
    tier_sources: tuple[str, ...] = ()
    models: Mapping[str, str] = field(default_factory=dict)
    answers_only: bool = False
    outcomes_only: bool = False

    def __post_init__(self) -> None:
        self._set_exits()
        self._check_arrays()
        self._set_models()
        self._set_tiers()

    def _set_exits(self) -> None:
        exits = layers_of(self.exits, "a trace's exits")
        object.__setattr__(self, "exits", exits)
        object.__setattr__(self, "sources", names_of(self.sources, len(exits), "exit"))
        for source in self.sources_in_order:
            layers = self.exits_of(source)
            if layers != tuple(sorted(set(layers))):
                raise ConfigError(
                    f"a trace's exits must ascend, each once, got {list(layers)}{self._of(source)}"
                )

    def _check_arrays(self) -> None:
        if self.labels.ndim != 1 or self.labels.dtype.kind not in "iu":
            raise DataError(
                f"labels must be whole numbers of the shape (N,), got {self.labels.dtype} of "
                f"the shape {self.labels.shape}"
            )
        n = len(self.labels)
        shapes = {
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

    def _set_models(self) -> None:
        sources = self.sources_in_order
        if len(sources) == 1:
            object.__setattr__(self, "models", {sources[0]: self.model})
            return
        if set(self.models) != set(sources):
            raise ConfigError(
                f"a trace of the sources {listed(sources)} needs the fingerprint of each one's "
                f"model, got those of {listed(self.models)}"
            )
        # In the order of the exits: where a mapping comes from must not change the digest.
        object.__setattr__(self, "models", {source: self.models[source] for source in sources})
        if self.model != joint_model(self.models):
            raise MismatchError(
                f"the model {shown(self.model, 12)} of a trace of the sources {listed(sources)} "
                "is not the digest of their models; join their traces again"
            )

    def _set_tiers(self) -> None:
        tiers = layers_of(self.tiers, "the exits of a trace's tiers")
        object.__setattr__(self, "tiers", tiers)
        given, sources = self.tier_sources, self.sources_in_order
        if len(sources) == 1 and set(given) <= {""}:
            given = sources
        if not given:
            raise ConfigError(
                f"a trace of the sources {listed(sources)} needs the source of each of its tiers"
            )
        object.__setattr__(self, "tier_sources", names_of(given, len(tiers), "tier"))
        self.columns(tiers, self.tier_sources)
        for source in sources:
            pairs = zip(tiers, self.tier_sources, strict=True)
            own = [layer for layer, of in pairs if of == source]
            if own != sorted(own):
                raise ConfigError(
                    f"the exits of a trace's tiers must ascend, got {own}{self._of(source)}; "
                    "give them from the shallowest to the deepest"
                )

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def sources_in_order(self) -> tuple[str, ...]:
        """Each source once, in the order of their first exits."""
        return tuple(dict.fromkeys(self.sources))

    def exits_of(self, source: str) -> tuple[int, ...]:
        """The layers of a source that have a classifier, ascending; none for an unknown one."""
        pairs = zip(self.exits, self.sources, strict=True)
        return tuple(layer for layer, of in pairs if of == source)

    def _of(self, source: str) -> str:
        """Whose exit it is, for a message: nothing where one source has no name."""
        return f" of {quoted(source)}" if source or len(set(self.sources)) > 1 else ""

    @cached_property
    def _columns(self) -> dict[tuple[str, int], int]:
        pairs = zip(self.sources, self.exits, strict=True)
        return {pair: column for column, pair in enumerate(pairs)}

    def column(self, layer: int, source: str = "") -> int:
        """Where the classifier of this layer stands on the second axis of ``probabilities``.

        Args:
            layer: of the exit; 0 is the embedding layer.
            source: its source; ``""`` is the only one where there is one, whatever its name.

        Raises:
            ConfigError: no such exit; says which there are.
        """
        if source == "" and len(self.models) == 1:
            source = self.sources[0]
        column = self._columns.get((source, layer))
        if column is None:
            raise ConfigError(
                f"no exit at layer {layer}{self._of(source)}; the trace has the exits "
                + "; ".join(f"{list(self.exits_of(one))}{self._of(one)}" for one in self.models)
            )
        return column

    def columns(self, exits: Sequence[int], sources: Sequence[str] | None = None) -> list[int]:
        """Where the classifiers of these layers stand on the second axis of ``probabilities``.

        Args:
            exits: their layers.
            sources: as many sources; ``""`` for each by default, as in :meth:`column`.

        Raises:
            ConfigError: no such exit, or not as many sources as layers.
        """
        if sources is None:
            sources = ("",) * len(exits)
        if len(sources) != len(exits):
            raise ConfigError(f"{len(exits)} exits need as many sources, got {len(sources)}")
        return [self.column(*pair) for pair in zip(exits, sources, strict=True)]

    def columns_after_layers(self, last: int) -> npt.NDArray[np.int64]:
        """(K,) the positions from the first exit to ``last`` of those that are not at layer 0."""
        return np.flatnonzero(np.asarray(self.exits[: last + 1]))

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

    def take(self, rows: npt.NDArray[np.integer]) -> Trace:
        """The given rows (positions, each once, in any order), in the given order."""
        return replace(
            self,
            embeddings=self.embeddings[rows],
            probabilities=self.probabilities[rows],
            labels=self.labels[rows],
            guids=tuple(self.guids[row] for row in rows),
            lengths=self.lengths[rows],
            extra={name: column[rows] for name, column in self.extra.items()},
        )

    def with_exit0(self, probabilities: npt.NDArray[np.float32]) -> Trace:
        """The same trace with an exit at layer 0: a classifier that reads the embedding layer.

        Args:
            probabilities: (N, C) of it.

        Raises:
            ConfigError: the first source has an exit at layer 0 already.
            DataError: probabilities of another shape, or that are not finite.
        """
        expected = (len(self), len(self.label_names))
        if probabilities.shape != expected:
            raise DataError(f"exit 0 of this trace needs {expected}, got {probabilities.shape}")
        first = probabilities.astype(np.float32)[:, None]
        return replace(
            self,
            probabilities=np.concatenate([first, self.probabilities], axis=1),
            exits=(0, *self.exits),
            sources=(self.sources[0], *self.sources),
        )

    def require_model(self, model: str, what: str) -> None:
        """Raise MismatchError unless this trace was made by the model of that fingerprint."""
        if self.model != model:
            raise MismatchError(
                f"the {self.split} trace was made by the model {self.model[:12]}…, but {what} "
                f"belongs to the model {model[:12]}…; run dimec train and dimec fit again"
            )

    def save(self, path: Path) -> None:
        """Write the trace to one checksummed safetensors file."""
        arrays = {name: getattr(self, name) for name in ARRAYS}
        metadata = metadata_of(self)
        write_trace(Path(path), arrays, self.extra, metadata)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what :meth:`save` wrote, or wrote before traces named their sources.

        Raises:
            ArtefactError: missing, truncated, altered, not a trace, or one of a later version.
        """
        return cls(**read_trace(Path(path)))

    def to_arrow(self, *, embeddings: bool = True) -> Any:
        """A ``pyarrow.Table``, a row a sample; its columns: :mod:`dimec.traces.tables`.

        Args:
            embeddings: whether they are among its columns.

        Raises:
            DataError: two classes have one name.
            MissingExtraError: pyarrow is not installed.
        """
        return trace_table(self, embeddings=embeddings)

    def to_pandas(self, *, embeddings: bool = True) -> Any:
        """The same as a ``pandas.DataFrame``, with categories for names; errors as there."""
        return as_pandas(self.to_arrow(embeddings=embeddings), KEY)

    def to_parquet(self, path: Path | str, *, embeddings: bool = True) -> None:
        """Write the same to a Parquet file, or to an Arrow one where it ends in ``.arrow``.

        Raises:
            ConfigError: another ending.
            StorageError: it cannot be written.
        """
        write_table(Path(path), self.to_arrow(embeddings=embeddings))

    @classmethod
    def from_arrow(cls, table: Any) -> Self:
        """The trace of what :meth:`to_arrow` or :meth:`to_pandas` made, or of some of its rows.

        Raises:
            DataError, ArtefactError: it is of something else, or lacks a column.
            MissingExtraError: pyarrow is not installed.
        """
        return cls(**trace_fields(table))

    @classmethod
    def from_parquet(cls, path: Path | str) -> Self:
        """Read what :meth:`to_parquet` wrote; errors as :meth:`from_arrow`."""
        return cls.from_arrow(read_table_file(Path(path), MADE_BY))
