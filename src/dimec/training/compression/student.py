"""The distilled student: the first tier of a run of own tiers, on the same rows as another run.

Sources: Hinton et al. (arXiv 1503.02531), Sanh et al., DistilBERT (arXiv 1910.01108) and Jiao et
al., TinyBERT (arXiv 1909.10351) distil a small model from a large one; what this student learnt,
and how, its own run says (``dimec train --recipe own``).

Its traces are there already. They are matched with the run's by guid, sample by sample. It is worth
its layers' operations over those of one layer of the run's model, at 128 tokens: with equal widths,
the number of its layers.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dimec.base.arrays import Float32Array
from dimec.base.errors import ConfigError, MismatchError
from dimec.runs.workspace import RunDirectory
from dimec.tiers.latency import RATE_TOKENS
from dimec.traces.trace import Trace

_SAME = "train both runs on the same data, with the same seed"


@dataclass(frozen=True)
class Student:
    """The first tier of a run of own tiers.

    Attributes:
        name: of the tier.
        run: the tier's own run directory.
        layer: its last, at which it answers.
    """

    name: str
    run: RunDirectory
    layer: int

    def worth(self, run: RunDirectory) -> float:
        """How many layers of a run's model take as many operations as all of the student's."""
        ours, theirs = (one.shape().layer_flops(RATE_TOKENS) for one in (self.run, run))
        return self.layer * float(ours) / float(theirs)

    def probabilities(self, whole: Trace) -> Float32Array:
        """(N, C) what the student says of the samples of a run's trace, classes in its order.

        Raises:
            ArtefactError: the student has no trace of that split.
            MismatchError: other samples, labels or classes.
        """
        own = self.run.trace(whole.split)
        if set(own.label_names) != set(whole.label_names):
            raise MismatchError(
                f"the student has the classes {', '.join(own.label_names)}, the run "
                f"{', '.join(whole.label_names)}; {_SAME}"
            )
        rows = _rows_of(own, whole)
        classes = [own.label_names.index(name) for name in whole.label_names]
        names = np.array(own.label_names)[own.labels[rows]]
        if not np.array_equal(names, np.array(whole.label_names)[whole.labels]):
            raise MismatchError(
                f"the student's {whole.split} trace has other labels than the run's; {_SAME}"
            )
        said: Float32Array = own.probabilities[rows, own.column(self.layer)][:, classes]
        return said


def first_tier(path: Path | str) -> Student:
    """The student in a run of own tiers.

    Raises:
        ConfigError: a run of one model.
        ArtefactError: it is not trained.
    """
    tiers = RunDirectory(path).tier_runs()
    if not tiers:
        raise ConfigError(
            f"{path} has one model for all tiers, and no student; expected a run of own tiers, "
            "made by: dimec train --recipe own"
        )
    name, run = next(iter(tiers.items()))
    return Student(name, run, int(run.training()["exits"][-1]))


def _rows_of(own: Trace, whole: Trace) -> npt.NDArray[np.int64]:
    """Where the samples of a trace stand in the student's."""
    places = {guid: place for place, guid in enumerate(own.guids)}
    missing = [guid for guid in whole.guids if guid not in places]
    if missing:
        raise MismatchError(
            f"the student's {whole.split} trace lacks {len(missing):,} of the run's "
            f"{len(whole):,} samples, such as {missing[0]}; {_SAME}"
        )
    return np.array([places[guid] for guid in whole.guids], np.int64)
