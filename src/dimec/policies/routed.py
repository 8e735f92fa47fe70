"""Policies made of routers: the router chooses a tier, and that tier answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dimec.policies.base import Outcome, no_steps, one_hot, tier_outcome
from dimec.policies.kinds import Arrays, register_kind
from dimec.policies.step import Answer, Go, Learns, Signal, Site, State, Steps, Walk
from dimec.routing import CentroidRouter, OracleRouter, Router, SingleTierRouter
from dimec.tiers.deployment import Deployment
from dimec.traces.trace import Trace

_ANSWER = Answer()
_ROUTERS: dict[str, type] = {"centroid": CentroidRouter, "tier": SingleTierRouter}


def name_router(router: type, kind: str) -> None:
    """Let policies with routers of another class be stored, as a kind that is registered."""
    _ROUTERS[kind] = router


class RouterPolicy:
    """A router's decisions on the trace's embeddings, in order of arrival.

    Cost of a sample: the price of the tier it was sent to (equation 5). The router is copied
    before the replay, so an adaptive one starts every replay from its fitted state.
    """

    sees_labels = False
    replay_only = ""

    def __init__(self, name: str, router: Router) -> None:
        self.name = name
        self.router = router

    @property
    def kind(self) -> str:
        """What it is stored as; empty for routers that only serve to compare with."""
        return next((kind for kind, made in _ROUTERS.items() if type(self.router) is made), "")

    def settings(self) -> dict[str, Any]:
        """Whether it learns, or its one tier."""
        if isinstance(self.router, SingleTierRouter):
            return {"tier": self.router.tier}
        return {"adaptive": self.learns_online}

    def arrays(self) -> Arrays:
        """The pools of its router."""
        return self.router.state()

    def steps(self, site: Site) -> RouterSteps:
        """One step to the router's choice."""
        return RouterSteps(self.router, site.deployment)

    @property
    def learns_online(self) -> bool:
        """Whether the router moves its centres as inputs arrive."""
        return bool(getattr(self.router, "adaptive", False))

    def adapted(self, learns: bool) -> RouterPolicy:
        """With a router that learns, or one that stays; others than by centroids know one way."""
        if not isinstance(self.router, CentroidRouter):
            return self
        return RouterPolicy(self.name, self.router.copy(learns))

    def replay(self, trace: Trace, deployment: Deployment) -> Outcome:
        """Route the whole trace."""
        chosen = self.router.copy().route(trace.embeddings)
        return tier_outcome(trace, deployment, one_hot(chosen, len(deployment)))


class RouterSteps:
    """A router's steps: one to the tier that it chooses, and then the answer."""

    def __init__(self, router: Router, deployment: Deployment) -> None:
        self._router = router.copy()
        self._layers = deployment.exits
        self.learns: Learns = "deciding" if getattr(router, "adaptive", False) else "never"

    @property
    def reach(self) -> Sequence[Go]:
        """To any tier's own exit."""
        return [Go(tier, layer) for tier, layer in enumerate(self._layers)]

    def begin(self, signal: Signal) -> Go:
        """To the router's choice."""
        route = self._router.route_one(signal.embedding)
        tier = route.tier
        return Go(tier, self._layers[tier], scores=route.distances, margin=route.margin)

    def after(self, walk: Walk) -> Answer:
        """The tier's own exit answers."""
        return _ANSWER

    def learn(self, walk: Walk, first: Go) -> None:
        """Tell the router where the input went."""
        self._router.learn_one(walk.signal.embedding, first.tier)

    def state(self) -> State:
        """What the router has learnt."""
        return self._router.state() if self.learns != "never" else {}

    def restore(self, state: State) -> None:
        """Take up what it had learnt."""
        if self.learns != "never":
            self._router.restore(state)


def _centroid(name: str, settings: Mapping[str, Any], arrays: Arrays) -> RouterPolicy:
    adaptive = settings["adaptive"]
    if not isinstance(adaptive, bool) or arrays.keys() != {"sums", "counts"}:
        raise ValueError("expected adaptive true or false, and the arrays sums and counts")
    if not arrays["counts"].any():
        raise ValueError("there is nothing in its pools")
    router = CentroidRouter.from_state(arrays["sums"], arrays["counts"], adaptive)
    router.restore(arrays)  # numbers of a file are looked at more closely
    return RouterPolicy(name, router)


def _tier(name: str, settings: Mapping[str, Any], arrays: Arrays) -> RouterPolicy:
    return RouterPolicy(name, SingleTierRouter(settings["tier"]))


register_kind("centroid", _centroid)
register_kind("tier", _tier)


class OraclePolicy:
    """The cheapest tier that is right, see :class:`dimec.routing.OracleRouter`. Sees the labels."""

    sees_labels = True
    learns_online = False
    replay_only = "it looks at the right answers, which nobody knows when a text arrives"
    name = "oracle"

    def steps(self, site: Site) -> Steps:
        """There are none."""
        raise no_steps(self)

    def replay(self, trace: Trace, deployment: Deployment) -> Outcome:
        """The best that any choice among these tiers could do."""
        columns = trace.columns(deployment.exits, deployment.sources)
        router = OracleRouter(deployment.prices)
        chosen = router.route(trace.correct[:, columns])
        return tier_outcome(trace, deployment, one_hot(chosen, len(deployment)))
