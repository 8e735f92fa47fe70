"""Policies made of routers: the router chooses a tier, and that tier answers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dimec.costs import TIER_NAMES
from dimec.policies.base import Outcome, one_hot, tier_outcome
from dimec.routing import OracleRouter, Router
from dimec.routing.reference import check_shares
from dimec.trace import Trace
from dimec.usage import Deployment


class RouterPolicy:
    """A router's decisions on the trace's embeddings, in order of arrival.

    Cost of a sample: the price of the tier it was sent to (equation 5). The router is copied
    before the replay, so an adaptive one starts every replay from its fitted state.
    """

    sees_labels = False

    def __init__(self, name: str, router: Router) -> None:
        self.name = name
        self.router = router

    @property
    def learns_online(self) -> bool:
        """Whether the router moves its centres as inputs arrive."""
        return bool(getattr(self.router, "adaptive", False))

    def replay(self, trace: Trace, deployment: Deployment) -> Outcome:
        """Route the whole trace."""
        chosen = self.router.copy().route(trace.embeddings)
        return tier_outcome(trace, deployment, one_hot(chosen, len(TIER_NAMES)))


class RandomPolicy:
    """The expected value of random routing with given shares.

    Cost of a sample: the mean of the tiers' prices under the shares. Nothing is drawn, so the
    row is exact and needs no seed.

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


class OraclePolicy:
    """The cheapest tier that is right, see :class:`dimec.routing.OracleRouter`. Sees the labels."""

    sees_labels = True
    learns_online = False
    name = "oracle"

    def replay(self, trace: Trace, deployment: Deployment) -> Outcome:
        """The best that any choice among these tiers could do."""
        columns = trace.columns(deployment.exits)
        router = OracleRouter([tier.price for tier in deployment.tiers])
        chosen = router.route(trace.correct[:, columns])
        return tier_outcome(trace, deployment, one_hot(chosen, len(TIER_NAMES)))
