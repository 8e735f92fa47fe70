"""A policy of another package: look at the first tier's exit, go to the last tier if unsure."""

from dimec.policies import Outcome, System, register
from dimec.policies.drive import drive, site_of
from dimec.policies.kinds import FromSettings, register_kind
from dimec.policies.step import Answer, FixedSteps, Go, Signal, Site, Step, Steps, Walk
from dimec.tiers.deployment import Deployment
from dimec.traces.trace import Trace


class Escalating(FromSettings):
    """Answers on the first tier where its exit is sure enough, else on the last."""

    name = kind = "escalating"
    stored = ("threshold",)
    sees_labels = learns_online = False
    replay_only = ""

    def __init__(self, threshold: float) -> None:
        self.threshold = threshold

    def steps(self, site: Site) -> Steps:
        """At work on a site."""
        return EscalatingSteps(site.deployment, self.threshold)

    def replay(self, trace: Trace, deployment: Deployment) -> Outcome:
        """Its steps, sample by sample."""
        return drive(self.steps(site_of(trace, deployment)), trace, deployment)


class EscalatingSteps(FixedSteps):
    """First tier, then the last one or the answer."""

    def __init__(self, deployment: Deployment, threshold: float) -> None:
        self._first = Go(0, deployment.exits[0])
        self._last = Go(deployment.last, deployment.layers)
        self.reach = (self._first, self._last)  # every step that it may take
        self._threshold = threshold

    def begin(self, signal: Signal) -> Go:
        """To the first tier."""
        return self._first

    def after(self, walk: Walk) -> Step:
        """The answer, unless only one exit has spoken, and without being sure."""
        unsure = walk.last.confidence < self._threshold
        return self._last if unsure and len(walk.looks) == 1 else Answer()


register_kind("escalating", Escalating.made_of)
register(System("escalating", "this package", Escalating, grid={"threshold": (0.6, 0.8, 0.9)}))
