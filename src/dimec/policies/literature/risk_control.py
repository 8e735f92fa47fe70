"""Early exit by one threshold that a test on the validation split has proved, for CALM and others.

The thresholds are tried from one that no exit reaches, where nothing is risked, downwards, each at
the full level, until the first that is refused: fixed-sequence testing as Learn then Test has it
(Angelopoulos et al., arXiv 2110.01052). The path is fixed before any sample is seen.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from dimec.base.arrays import IntArray
from dimec.policies.literature.cats import TOLERANCES, check_tolerance
from dimec.policies.literature.exit_thresholds import NEVER, ThresholdsPolicy, one_threshold
from dimec.policies.literature.exit_walk import Seen, best_along, seen_along
from dimec.policies.registry import FitInputs, Fitted

ALPHA = 0.05  # of the test: the probability of a threshold that risks more than it may
# From the safest on; finer near 1, where the confidences of fine-tuned models lie.
PATH = (NEVER, *(1 - np.geomspace(1e-4, 0.9, 80)).tolist())

# Of a split and the (N,) positions of the exits that answer, whether more than the tolerance may be
# at risk: the p-value of it.
RiskTest = Callable[[Seen, IntArray, float], float]


def ends_at(seen: Seen, threshold: float) -> IntArray:
    """(N,) position of the first exit whose confidence is at least the threshold, or the last."""
    reached = seen.confidences >= threshold
    reached[:, -1] = True
    ends: IntArray = reached.argmax(axis=1).astype(np.int64)
    return ends


def lowest_proved(
    seen: Seen, test: RiskTest, tolerance: float, path: Sequence[float] = PATH
) -> float:
    """The last threshold of the path before the first that is refused.

    Args:
        seen: the split.
        test: p-value of "the risk exceeds the tolerance".
        tolerance: of risk, a share.
        path: from the safest on; the first is taken for safe.
    """
    proved = path[0]
    for threshold in path[1:]:
        if test(seen, ends_at(seen, threshold), tolerance) > ALPHA:
            break
        proved = threshold
    return proved


def fit_along(
    name: str, test: RiskTest, inputs: FitInputs, lambdas: Sequence[float]
) -> list[Fitted]:
    """For each λ the proved policy of the tolerance of the highest reward."""
    seen = seen_along(inputs.validation, inputs.deployment)
    made: list[tuple[ThresholdsPolicy, dict[str, float]]] = []
    for tolerance in inputs.tried("tolerance", TOLERANCES):
        threshold = lowest_proved(seen, test, check_tolerance(tolerance))
        made.append((one_threshold(name, seen, threshold), {"tolerance": tolerance}))
    return best_along(made, inputs, lambdas)
