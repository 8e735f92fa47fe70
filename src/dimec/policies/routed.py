"""Policies made of routers: the router chooses a tier, and that tier answers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dimec.costs import Tier
from dimec.policies.base import Outcome, one_hot, tier_outcome
from dimec.routing import OracleRouter, Router
from dimec.routing.reference import check_shares
from dimec.trace import Trace


class RouterPolicy:
    """A router's decisions on the trace's embeddings, in order of arrival.

    Cost of a sample: the price of the tier it was sent to (equation 5). The router is copied
    before the replay, so an adaptive one starts every replay from its fitted state.
    """

    sees_labels = False

    def __init__(self, name: str, router: Router) -> None:
        self.name = name
        self.router = router

    def replay(self, trace: Trace, tiers: Sequence[Tier]) -> Outcome:
        """Route the whole trace."""
        chosen = self.router.copy().route(trace.embeddings)
        return tier_outcome(trace, tiers, one_hot(chosen, len(tiers)))


class RandomPolicy:
    """The expected value of random routing with given shares.

    Cost of a sample: the mean of the tiers' prices under the shares. Nothing is drawn, so the
    row is exact and needs no seed.

    Args:
        name: of its row.
        shares: probability of each tier; None for uniform.
    """

    sees_labels = False

    def __init__(self, name: str, shares: Sequence[float] | None = None) -> None:
        self.name = name
        self.shares = None if shares is None else list(shares)

    def replay(self, trace: Trace, tiers: Sequence[Tier]) -> Outcome:
        """The same probabilities for every sample."""
        uniform = np.full(len(tiers), 1 / len(tiers))
        shares = uniform if self.shares is None else check_shares(self.shares, len(tiers))
        return tier_outcome(trace, tiers, np.tile(shares, (len(trace), 1)))


class OraclePolicy:
    """The cheapest tier that is right, see :class:`dimec.routing.OracleRouter`. Sees the labels."""

    sees_labels = True
    name = "oracle"

    def replay(self, trace: Trace, tiers: Sequence[Tier]) -> Outcome:
        """The best that any choice among these tiers could do."""
        columns = trace.columns(tuple(tier.exit for tier in tiers))
        router = OracleRouter([tier.price for tier in tiers])
        chosen = router.route(trace.correct[:, columns])
        return tier_outcome(trace, tiers, one_hot(chosen, len(tiers)))
