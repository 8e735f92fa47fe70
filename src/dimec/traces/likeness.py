"""Whether models of cross-fitting speak as the final model does, of the same samples."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from dimec.base.arrays import FloatArray
from dimec.base.errors import ConfigError, MismatchError
from dimec.traces.trace import Trace

MOST_CONFIDENCE = 0.03  # of the mean difference of confidence
MOST_VARIATION = 1.5  # of the total variation, as a multiple of that between two folds' models
_SLACK = 0.01  # of the total variation; models that hardly differ at all may do so by this much


@dataclass(frozen=True)
class Likeness:
    """How K models, each trained without a part of the rows, differ from the final one.

    All are asked about the same samples, which none was trained on. The numbers are means over
    samples and over the K models, one for each exit.

    Alike they are where two things hold at every exit:

    - Confidences differ by at most 0.03 in the mean. A policy sets thresholds on them, and a shift
      moves every threshold's meaning. Three points are about as far as fine-tuned encoders' own
      confidences are from their accuracy on their own task (2 to 3 points for BERT and RoBERTa:
      Desai & Durrett, EMNLP 2020, arXiv 2003.07892): a shift within that is no worse than what a
      threshold stands on already.
    - The total variation between final and other distributions is at most 1.5 times that between
      two of the K, and 0.01. Any two trainings differ from sample to sample; how much they do on
      this task is what the K show among themselves, for each is a training of its own, on other
      rows. The final one shares more rows with each of them than they do with each other, so if it
      is a training like theirs, it is no farther from them. The half is for chance: of two folds
      there is a single pair to measure by.

    Attributes:
        exits, sources: the X exits.
        agreement: (X) share of samples on which both predict the same class.
        confidence: (X) mean of the others' confidence less the final one's.
        variation: (X) mean total variation, half the sum over classes of |p - q|, between the final
            model's distribution and the others'.
        between: (X) the same between two of the K.
    """

    exits: tuple[int, ...]
    sources: tuple[str, ...]
    agreement: tuple[float, ...]
    confidence: tuple[float, ...]
    variation: tuple[float, ...]
    between: tuple[float, ...]

    @property
    def alike(self) -> bool:
        """The verdict."""
        pairs = zip(self.variation, self.between, strict=True)
        near = all(mine <= MOST_VARIATION * theirs + _SLACK for mine, theirs in pairs)
        return near and all(abs(shift) <= MOST_CONFIDENCE for shift in self.confidence)

    def to_json(self) -> dict[str, Any]:
        """Plain values, with the verdict."""
        return {**asdict(self), "alike": self.alike}

    def told(self) -> str:
        """A sentence for a reader, of the exits that differ most."""
        farthest = int(np.argmax(self.variation))
        return (
            f"out-of-fold and final probabilities are {'alike' if self.alike else 'not alike'}: "
            f"confidence differs by {100 * max(map(abs, self.confidence)):.1f} points at most, "
            f"distributions by {100 * self.variation[farthest]:.1f} % "
            f"({100 * self.between[farthest]:.1f} % between two of the folds), and "
            f"{100 * min(self.agreement):.1f} % of predictions agree at least"
        )


def likeness(final: Trace, folds: Sequence[Trace]) -> Likeness:
    """Compare what the models of cross-fitting say with what the final one says.

    Args:
        final: its trace of samples that no model was trained on, the validation split.
        folds: those of K ≥ 2 models, of the same samples.

    Raises:
        ConfigError: fewer than two.
        MismatchError: other samples or exits.
    """
    if len(folds) < 2:
        raise ConfigError(f"expected the traces of two folds or more, got {len(folds)}")
    for one in folds:
        if (one.exits, one.sources, one.guids) != (final.exits, final.sources, final.guids):
            raise MismatchError(
                "the traces of cross-fitting differ from the final model's in samples or exits; "
                "train again with: dimec train --overwrite"
            )
    mean = np.mean
    agreement = mean([(one.predictions == final.predictions).mean(axis=0) for one in folds], axis=0)
    confidence = mean([(one.confidences - final.confidences).mean(axis=0) for one in folds], axis=0)
    variation = mean([total_variation(one, final) for one in folds], axis=0)
    pairs = itertools.combinations(folds, 2)
    between = mean([total_variation(one, other) for one, other in pairs], axis=0)
    return Likeness(
        final.exits,
        final.sources,
        *(tuple(part.tolist()) for part in (agreement, confidence, variation, between)),
    )


def total_variation(one: Trace, other: Trace) -> FloatArray:
    """(X,) mean over the samples of the total variation between two models' distributions."""
    differences = np.abs(one.probabilities.astype(np.float64) - other.probabilities)
    result: FloatArray = 0.5 * differences.sum(axis=2).mean(axis=0)
    return result
