"""Hoeffding-Bentkus, as Learn then Test uses it for any bounded loss.

Bates et al. (2021), "Distribution-free, risk-controlling prediction sets", and Angelopoulos et al.
(2021), "Learn then test", arXiv 2110.01052. With the losses L = (D + 1)/2 in [0, 1], their mean R̂
and r = (1 + Δ)/2, under a true mean over r

    p = min( exp(-n h(min(R̂, r), r)), e · P(Bin(n, r) ≤ ⌈n R̂⌉) ),
    h(a, b) = a log(a/b) + (1 - a) log((1 - a)/(1 - b)).

It knows the mean only, not that nearly all rows lose nothing, and so takes their spread for the
largest possible: useless for small drops, and here for comparison. MAPIE's p-value is the same one.
"""

from __future__ import annotations

import math

from dimec.contract import binomial
from dimec.contract.losses import Losses


def p_value(losses: Losses, delta: float) -> float:
    """p-value of "the drop exceeds ``delta``".

    Args:
        losses: of N rows, with labels.
        delta: Δ, a share in (-1, 1).
    """
    return p_of_counts(len(losses), losses.plus, losses.minus, delta)


def p_of_counts(n: int, plus: int, minus: int, delta: float) -> float:
    """The p-value of counts: of n rows, ``plus`` with D = 1 and ``minus`` with D = -1."""
    twice = n + plus - minus  # 2 n R̂
    risk, limit = twice / (2 * n), (1 + delta) / 2
    hoeffding = math.exp(-n * _divergence(min(risk, limit), limit))
    bentkus = math.e * binomial.at_most((twice + 1) // 2, n)(limit)
    return min(1.0, hoeffding, bentkus)


def upper(losses: Losses, alpha: float) -> float:
    """Upper confidence bound of the drop, a share, by inversion; 1 where there is none.

    Args:
        losses: of N rows, with labels.
        alpha: one minus the confidence.
    """
    n, plus, minus = len(losses), losses.plus, losses.minus
    mean = (plus - minus) / n
    return binomial.bisect(
        lambda drop: drop >= 1 or p_of_counts(n, plus, minus, drop) <= alpha, mean, 1.0
    )[1]


def _divergence(a: float, b: float) -> float:
    first = a * math.log(a / b) if a > 0 else 0.0
    return first + ((1 - a) * math.log((1 - a) / (1 - b)) if a < 1 else 0.0)
