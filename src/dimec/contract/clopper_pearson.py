"""A pair of Clopper-Pearson bounds: on each kind of discordant row one, and their difference.

p₊ is at most its upper bound at α/2 and p₋ at least its lower bound at α/2, both with confidence
1 - α (Bonferroni), and so the drop p₊ - p₋ at most the difference. Simple, and safe to a fault: it
pays twice for two counts that are bounded apart. Clopper and Pearson (1934), Biometrika 26.
"""

from __future__ import annotations

from dimec.contract import binomial
from dimec.contract.losses import Losses


def p_value(losses: Losses, delta: float) -> float:
    """p-value of "the drop exceeds ``delta``": the least α at which the bound is ``delta``.

    There the upper bound of p₊ is some u and the lower bound of p₋ is u - Δ, each at α/2: so twice
    the tail in which both meet.

    Args:
        losses: of N rows, with labels.
        delta: Δ, a share in (0, 1).
    """
    n = len(losses)
    return p_of_counts(n, losses.plus, losses.minus, delta)


def p_of_counts(n: int, plus: int, minus: int, delta: float) -> float:
    """The p-value of counts: of n rows, ``plus`` with D = 1 and ``minus`` with D = -1."""
    high = binomial.at_most(plus, n)
    if minus == 0:  # the lower bound is 0 at every level
        return min(1.0, 2 * high(delta))
    low = binomial.at_most(n - minus, n)  # P(X ≥ minus; p) = P(n - X ≤ n - minus; 1 - p)
    _, u = binomial.bisect(lambda u: high(u) <= low(1 - (u - delta)), delta, 1.0)
    return min(1.0, 2 * max(high(u), low(1 - (u - delta))))


def upper(losses: Losses, alpha: float) -> float:
    """Upper confidence bound of the drop, a share; it may lie below 0.

    Args:
        losses: of N rows, with labels.
        alpha: one minus the confidence.
    """
    n = len(losses)
    return binomial.upper(losses.plus, n, alpha / 2) - binomial.lower(losses.minus, n, alpha / 2)
