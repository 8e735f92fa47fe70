"""Random: every input goes to a tier drawn by lot, whatever it is.

Source: the paper, section V-B 2, where the three tiers are equally likely. With a policy's own
tier shares it is what that policy's choice of *which* inputs go where is measured against.

Cost of a sample: the mean of the tiers' prices under the shares. So uniform Random costs the same
on every task.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dimec.policies.base import Outcome, tier_outcome
from dimec.policies.registry import System, register
from dimec.routing.reference import check_shares
from dimec.tiers.costs import TIER_NAMES
from dimec.tiers.usage import Deployment
from dimec.traces.trace import Trace


class RandomPolicy:
    """The expected value of random routing with given shares.

    Nothing is drawn, so the row is exact and needs no seed.

    Args:
        name: of its row.
        shares: probability of each tier; None for uniform.
    """

    sees_labels = False
    learns_online = False

    def __init__(self, name: str, shares: Sequence[float] | None = None) -> None:
        self.name = name
        self.shares = None if shares is None else list(shares)

    def replay(self, trace: Trace, deployment: Deployment) -> Outcome:
        """The same probabilities for every sample."""
        size = len(TIER_NAMES)
        shares = np.full(size, 1 / size) if self.shares is None else check_shares(self.shares, size)
        return tier_outcome(trace, deployment, np.tile(shares, (len(trace), 1)))


register(
    System("random", "the paper, section V-B 2", lambda: RandomPolicy("random")), title="Random"
)
