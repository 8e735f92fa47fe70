"""Random: every input goes to a tier drawn by lot, whatever it is.

Source: the paper, section V-B 2, where the three tiers are equally likely. With a policy's own
tier shares it is what that policy's choice of *which* inputs go where is measured against.

Cost of a sample: the mean of the tiers' prices under the shares. So uniform Random costs the same
on every task.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dimec.policies.base import Outcome, no_steps, tier_outcome
from dimec.policies.registry import System, register
from dimec.policies.step import Site, Steps
from dimec.routing.reference import check_shares
from dimec.tiers.deployment import Deployment
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
    replay_only = "it states what is expected of all lots at once, and draws none"

    def __init__(self, name: str, shares: Sequence[float] | None = None) -> None:
        self.name = name
        self.shares = None if shares is None else list(shares)

    def steps(self, site: Site) -> Steps:
        """There are none."""
        raise no_steps(self)

    def replay(self, trace: Trace, deployment: Deployment) -> Outcome:
        """The same probabilities for every sample."""
        size = len(deployment)
        shares = np.full(size, 1 / size) if self.shares is None else check_shares(self.shares, size)
        return tier_outcome(trace, deployment, np.tile(shares, (len(trace), 1)))


register(
    System("random", "the paper, section V-B 2", lambda: RandomPolicy("random"), reads=frozenset()),
    title="Random",
)
