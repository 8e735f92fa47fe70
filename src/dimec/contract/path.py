"""The path along which policies are tried, learnt on other rows than those that test them.

Pareto testing (Laufer-Goldshtein, Fisch, Barzilay and Jaakkola, arXiv 2210.07913): of all policies
those are kept that no other beats in both what is to be shown and what is wanted, as the rows that
they were fitted to tell; they are tried from the surest to the most wanted, each at the full level
(:mod:`dimec.contract.sequence`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np

from dimec.base.arrays import FloatArray
from dimec.contract.score import restricted


@dataclass(frozen=True)
class Prospect:
    """What is expected of a policy.

    Attributes:
        sure: how clearly it should keep the contract: standard errors between what is expected of
            it and what is allowed.
        wanted: what is to be made small among those that keep it, such as the cost.
    """

    sure: float
    wanted: float


def sure_of_drop(plus: float, minus: float, rows: int, delta: float) -> float:
    """How clearly a drop should be under ``delta``, on so many calibration rows.

    (Δ - d) √N / √v₀, where v₀ is the variance of a row under the nearest shares whose drop is Δ,
    as in the score test. Half a row of each kind is added: where none was seen, none is certain.

    A policy that is better than the reference on the rows of the fit is taken to be as good as it.
    Most of that is luck, and the more so the more policies there are to choose among: of dozens,
    the luckiest would begin the path, and end it. So among these the fewest discordant rows count,
    of which the rows of the fit do know.

    Args:
        plus: share of rows on which only the reference is right.
        minus: share on which only the policy is.
        rows: N, of the calibration.
        delta: Δ, a share.
    """
    lost, won = plus * rows + 0.5, minus * rows + 0.5
    if won > lost:
        lost = won = (lost + won) / 2
    q = float(restricted(lost, won, rows + 1, delta))
    spread = max(2 * q + delta - delta**2, 1e-12)
    return (delta - (lost - won) / (rows + 1)) * sqrt(rows) / sqrt(spread)


def sure_of_mean(values: FloatArray, rows: int, bound: float) -> float:
    """How clearly the mean of (N,) values should be under ``bound`` on so many rows."""
    spread = max(float(np.std(values)), 1e-9)
    return (bound - float(np.mean(values))) * sqrt(rows) / spread


def path(prospects: Sequence[Prospect], apart: float = 0.0) -> list[int]:
    """Positions of the policies to try, the surest first and the most wanted last.

    Args:
        prospects: of each policy; of equals the first is taken.
        apart: a policy is left out that is wanted by no more than this than the one before it:
            each that is tried may be the one that ends the path.
    """
    order = sorted(range(len(prospects)), key=lambda i: (-prospects[i].sure, prospects[i].wanted))
    kept: list[int] = []
    for position in order:
        if not kept or prospects[position].wanted < prospects[kept[-1]].wanted - apart:
            kept.append(position)
    return kept
