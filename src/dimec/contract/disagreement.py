"""The bound without labels: a policy loses at most on the rows where its answer differs.

D ≤ 1 where the answers differ, and 0 where they agree, so the drop is at most the share of
different answers, which no label is needed to count. That share has its upper Clopper-Pearson
bound; as a bound of the drop it is the looser, the more often the policy is right where they
differ.
"""

from __future__ import annotations

from dimec.contract import binomial
from dimec.contract.losses import Losses


def p_value(losses: Losses, delta: float) -> float:
    """p-value of "the share of different answers exceeds ``delta``", and so of a drop over it.

    Args:
        losses: of N rows, with their answers; labels are not looked at.
        delta: Δ, a share in (0, 1).
    """
    return binomial.at_most(losses.differing, len(losses))(delta)


def upper(losses: Losses, alpha: float) -> float:
    """Upper confidence bound of the share of different answers, and so of the drop.

    Args:
        losses: of N rows, with their answers.
        alpha: one minus the confidence.
    """
    return binomial.upper(losses.differing, len(losses), alpha)
