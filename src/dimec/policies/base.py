"""What a policy is, and what its replay leaves behind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from dimec.costs import Tier
from dimec.errors import DataError
from dimec.trace import Trace

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Outcome:
    """What a policy did with the N samples of a trace.

    A policy that draws lots is stored as its probabilities, so that the ledger can give expected
    values in place of one draw; a deterministic one has zeros and ones.

    Attributes:
        answers: (N, X) probability that the exit x gave the answer to sample i; rows sum to 1.
        tiers: (N, K) probability that the tier k gave it; rows sum to 1.
        cost: (N,) expected cost of the answer in units of λ.
    """

    answers: FloatArray
    tiers: FloatArray
    cost: FloatArray


class Policy(Protocol):
    """Replays a trace.

    Attributes:
        name: of its row in the ledger.
        sees_labels: whether it looks at the trace's labels; true for references only.
    """

    name: str
    sees_labels: bool

    def replay(self, trace: Trace, tiers: Sequence[Tier]) -> Outcome:
        """Decide on every sample in order of arrival; must change neither the trace nor itself."""
        ...


def tier_outcome(trace: Trace, tiers: Sequence[Tier], weights: npt.NDArray[np.floating]) -> Outcome:
    """The outcome of sending sample i to tier k with probability ``weights[i, k]``.

    The answer is the tier's exit's, and it costs the tier's price: nothing ran before it.

    Args:
        trace: of N samples.
        tiers: the K tiers.
        weights: (N, K), rows summing to 1.
    """
    w = np.asarray(weights, np.float64)
    if w.shape != (len(trace), len(tiers)):
        raise DataError(f"weights must have the shape ({len(trace)}, {len(tiers)}), got {w.shape}")
    answers = np.zeros((len(trace), len(trace.exits)))
    columns = trace.columns(tuple(tier.exit for tier in tiers))
    for k, column in enumerate(columns):
        answers[:, column] += w[:, k]  # two tiers may share an exit
    return Outcome(answers, w, w @ np.array([tier.price for tier in tiers]))


def one_hot(tiers: npt.NDArray[np.integer], size: int) -> FloatArray:
    """(N, size) zeros with a one at each of the N tiers."""
    return np.eye(size)[np.asarray(tiers)]
