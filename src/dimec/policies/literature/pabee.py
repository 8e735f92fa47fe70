"""PABEE: leave once enough successive exits have said the same.

A counter starts at 0 with the first exit's prediction; each further exit that predicts the same
class as the one before it adds 1, and one that does not sets it back to 0. The sample leaves at
the exit at which the counter reaches the patience, and at the last exit at the latest; that exit's
prediction is the answer. With fewer exits than patience + 1 nothing leaves early.

Source: Zhou et al., BERT Loses Patience, NeurIPS 2020, arXiv 2006.04152, section 3.3; the counter
is that of their code (github.com/JetRunner/PABEE, pabee/modeling_bert.py), and the values 3 to 8
are those of its patience_infer_bert.sh. Their weighted loss is the training option ``depth``.

Cost of a sample: the paper names no place for it; like DeeBERT, with which its authors compare it,
it stands wholly in the cloud, o_c + γ·layer/l for the layer of the exit that it takes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from dimec.base.arrays import IntArray
from dimec.base.errors import ConfigError
from dimec.policies.base import Outcome
from dimec.policies.kinds import FromSettings, register_kind
from dimec.policies.literature.early_exit import (
    ExitSteps,
    cloud_exit_outcome,
    exits_in_use,
    first_exit,
)
from dimec.policies.registry import System, register
from dimec.policies.step import Look, Site, Steps
from dimec.tiers.deployment import Deployment
from dimec.traces.trace import Trace

PATIENCES = (3, 4, 5, 6, 7, 8)


def agreements(predictions: npt.NDArray[np.integer]) -> IntArray:
    """The counter at every exit: how many exits in a row up to it repeat the one before them.

    Args:
        predictions: (N, X) predicted class at each exit.

    Returns:
        (N, X), 0 in the first column.

    Example:
        >>> agreements(np.array([[1, 1, 1, 0, 0]])).tolist()
        [[0, 1, 2, 0, 1]]
    """
    counters = np.zeros(predictions.shape, np.int64)
    for exit_ in range(1, predictions.shape[1]):
        same = predictions[:, exit_] == predictions[:, exit_ - 1]
        counters[:, exit_] = np.where(same, counters[:, exit_ - 1] + 1, 0)
    return counters


class PabeePolicy(FromSettings):
    """Patience-based early exit in the cloud.

    Args:
        patience: how many agreements in a row let a sample leave; a whole number from 1.

    Raises:
        ConfigError: a patience that is not a whole number, or below 1.
    """

    name = "pabee"
    sees_labels = False
    learns_online = False
    replay_only = ""
    kind = "pabee"
    stored = ("patience",)

    def __init__(self, patience: int) -> None:
        if not isinstance(patience, int) or patience < 1:
            raise ConfigError(
                f"PABEE's patience must be a whole number of at least 1, got {patience!r}; "
                "its authors try 3 to 8"
            )
        self.patience = patience

    def steps(self, site: Site) -> Steps:
        """From exit to exit at the last tier until so many in a row agree."""
        return ExitSteps(site, site.deployment.last, self.name, self._satisfied)

    def _satisfied(self, looks: Sequence[Look]) -> bool:
        return bool(
            agreements(np.array([[look.prediction for look in looks]]))[0, -1] >= self.patience
        )

    def replay(self, trace: Trace, deployment: Deployment) -> Outcome:
        """The first exit at which the counter reaches the patience answers."""
        exits = exits_in_use(trace, deployment)
        counters = agreements(trace.predictions[:, exits])
        # The counter grows in steps of 1, so that it first reaches the patience by equalling it.
        ends = first_exit(counters >= self.patience)
        return cloud_exit_outcome(trace, deployment, exits[ends])


register_kind(PabeePolicy.kind, PabeePolicy.made_of)
register(
    System(
        "pabee",
        "Zhou et al., BERT Loses Patience, NeurIPS 2020, arXiv 2006.04152",
        PabeePolicy,
        grid={"patience": PATIENCES},
        reads=frozenset({"answers"}),  # whether exits agree
    ),
    title="PABEE",
    recipe="depth",
)
