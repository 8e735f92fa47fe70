"""Policies made of routers: the router chooses a tier, and that tier answers."""

from __future__ import annotations

from dimec.policies.base import Outcome, one_hot, tier_outcome
from dimec.routing import OracleRouter, Router
from dimec.tiers.deployment import Deployment
from dimec.traces.trace import Trace


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
        return tier_outcome(trace, deployment, one_hot(chosen, len(deployment)))


class OraclePolicy:
    """The cheapest tier that is right, see :class:`dimec.routing.OracleRouter`. Sees the labels."""

    sees_labels = True
    learns_online = False
    name = "oracle"

    def replay(self, trace: Trace, deployment: Deployment) -> Outcome:
        """The best that any choice among these tiers could do."""
        columns = trace.columns(deployment.exits, deployment.sources)
        router = OracleRouter(deployment.prices)
        chosen = router.route(trace.correct[:, columns])
        return tier_outcome(trace, deployment, one_hot(chosen, len(deployment)))
