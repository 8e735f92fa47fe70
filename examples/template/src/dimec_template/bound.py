r"""A bound for the accuracy contract: Hoeffding's inequality.

Source: Hoeffding (1963), theorem 2. The loss D of a row is from -1 to 1, and so, with its mean d
over n rows, P(drop ≥ d + t) ≤ exp(-n t² / 2). It is valid for any losses in that range, and asks
for many more rows than dimec's own tests do.
"""

import math

import numpy as np

from dimec.contract.losses import Losses
from dimec.contract.registry import ContractTest


def _mean(losses: Losses) -> float:
    return (losses.plus - losses.minus) / len(losses)


def p_value(losses: Losses, delta: float) -> float:
    """p-value of "the drop exceeds ``delta``", a share."""
    room = delta - _mean(losses)
    return math.exp(-len(losses) * room**2 / 2) if room > 0 else 1.0


def upper(losses: Losses, alpha: float) -> float:
    """The upper confidence bound of the drop at level ``alpha``: where the p-value is ``alpha``."""
    return float(np.clip(_mean(losses) + math.sqrt(-2 * math.log(alpha) / len(losses)), -1, 1))


HOEFFDING = ContractTest("hoeffding", "Hoeffding", p_value, upper)
