"""What others recorded of their models, as traces: probabilities from answers and confidences.

Records say less than a model does. Of an exit they may have all probabilities, or the answer and
how sure it was, or the answer alone, or only whether it was right.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from dimec.base.arrays import Float32Array, FloatArray, IntArray
from dimec.base.errors import DataError, quoted
from dimec.traces.sources import joint_model, listed
from dimec.traces.trace import Trace


@dataclass(frozen=True, eq=False)
class Records:
    """N samples as X exits answered them.

    Attributes:
        guids: N names, each once.
        labels: (N,) right codes.
        label_names: of the C classes.
        exits: the layer of each exit, ascending where they are of one model.
        sources: the model of each exit; ``""`` where all are of one.
        probabilities: (N, X, C).
        lengths: (N,) tokens, 0 where nobody counted them.
        costs: (N, X) of an answer from each exit, NaN where nobody says.
        embeddings: (N, D) of the samples; None where there are none.
        splits: of each sample, such as ``"test"``; none where nobody parted them.
        answers_only, outcomes_only: what is not known, see :class:`dimec.traces.trace.Trace`.
    """

    guids: tuple[str, ...]
    labels: IntArray
    label_names: tuple[str, ...]
    exits: tuple[int, ...]
    sources: tuple[str, ...]
    probabilities: Float32Array
    lengths: IntArray
    costs: FloatArray
    embeddings: Float32Array | None = None
    splits: tuple[str, ...] = ()
    answers_only: bool = False
    outcomes_only: bool = False

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def mean_costs(self) -> FloatArray:
        """(X,) the mean cost of an answer; NaN where a sample has none."""
        mean: FloatArray = self.costs.mean(axis=0)
        return mean

    @property
    def _embedded(self) -> Float32Array:
        return np.zeros((len(self), 0), np.float32) if self.embeddings is None else self.embeddings

    def trace(
        self,
        rows: npt.NDArray[np.integer],
        split: str,
        tiers: Sequence[tuple[str, int]],
        models: Mapping[str, str],
        *,
        task: str,
        metric: str,
    ) -> Trace:
        """The trace of some samples.

        Args:
            rows: their positions.
            split: what they are.
            tiers: (source, layer) of each.
            models: what stands for the model of each source.
            task, metric: see :class:`dimec.traces.trace.Trace`.
        """
        several = len(models) > 1
        return Trace(
            embeddings=self._embedded[rows],
            probabilities=self.probabilities[rows],
            labels=self.labels[rows],
            exits=self.exits,
            tiers=tuple(layer for _, layer in tiers),
            guids=tuple(self.guids[row] for row in rows.tolist()),
            label_names=self.label_names,
            task=task,
            split=split,
            metric=metric,
            model=joint_model(models) if several else next(iter(models.values())),
            lengths=self.lengths[rows],
            sources=self.sources,
            tier_sources=tuple(source for source, _ in tiers),
            models=models if several else {},
            answers_only=self.answers_only,
            outcomes_only=self.outcomes_only,
        )


def together(parts: Mapping[str, Records]) -> Records:
    """Records of the same exits, each of one split.

    Args:
        parts: split → its records, of the same classes.

    Raises:
        DataError: the exits differ, or only one has confidences.
    """
    (name, first), *others = parts.items()
    for other, part in others:
        for what in ("exits", "sources", "answers_only"):
            one, two = getattr(first, what), getattr(part, what)
            if one != two:
                told = "only one has confidences" if what == "answers_only" else _told(one, two)
                raise DataError(
                    f"the {name} and the {other} table differ in their {what}: {told}; give "
                    "tables of the same models"
                )
    all_ = tuple(parts.values())
    return replace(
        first,
        guids=tuple(guid for part in all_ for guid in part.guids),
        splits=tuple(split for split, part in parts.items() for _ in part.guids),
        labels=np.concatenate([part.labels for part in all_]),
        probabilities=np.concatenate([part.probabilities for part in all_]),
        lengths=np.concatenate([part.lengths for part in all_]),
        costs=np.concatenate([part.costs for part in all_]),
    )


def _told(one: Sequence[object], two: Sequence[object]) -> str:
    return f"{quoted(list(one), 60)} and {quoted(list(two), 60)}"


def spread(answers: npt.NDArray[np.integer], confidences: FloatArray, classes: int) -> FloatArray:
    """Probabilities of which only the largest is known; the others share the rest evenly.

    Args:
        answers: (...) codes of the classes.
        confidences: (...) the probability of each; 1/C at least.
        classes: C, 2 or more.

    Returns:
        (..., C).

    Example:
        >>> spread(np.array([2]), np.array([0.8]), 3).round(3)
        array([[0.1, 0.1, 0.8]])
    """
    rest = (1 - confidences) / (classes - 1)
    found: FloatArray = np.repeat(rest[..., None], classes, axis=-1)
    np.put_along_axis(found, answers[..., None], confidences[..., None], axis=-1)
    return found


def kept(probabilities: FloatArray, answers: npt.NDArray[np.integer]) -> Float32Array:
    """The same, but for what it takes that each answer is the largest as a 16-bit float too.

    Compact files have 16-bit floats. What was just ahead may be no longer, and of classes that are
    level the first would be the answer. Such a probability goes up by the least that there is.

    Args:
        probabilities: (N, …, C).
        answers: (N, …) codes.

    Example:
        >>> kept(np.array([[0.5, 0.5]]), np.array([1]))
        array([[0.5      , 0.5004883]], dtype=float32)
    """
    stored = probabilities.astype(np.float16)
    lost = stored.argmax(axis=-1) != answers
    found = probabilities.astype(np.float32)
    ahead = np.nextafter(stored.max(axis=-1), np.float16(np.inf)).astype(np.float32)
    at = np.nonzero(lost)
    found[(*at, answers[at])] = ahead[at]
    return found


def check_answers(records: Records) -> None:
    """Refuse records in which no answer is ever right, as where names of classes differ.

    Raises:
        DataError: says which names there are.
    """
    if len(records) and not (records.probabilities.argmax(-1) == records.labels[:, None]).any():
        right = sorted({records.label_names[code] for code in set(records.labels.tolist())})
        raise DataError(
            f"no answer is right in any row: the classes are {listed(records.label_names[:6])}, "
            f"the labels {listed(right[:6])}; write labels and predictions alike"
        )
