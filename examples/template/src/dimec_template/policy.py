"""A policy: look at the first tier's exit, and go to the last tier unless it is sure enough.

The steps are the policy: the same class decides in a replay, on the device, and in a fleet.
"""

from dimec.policies import Outcome, System, register
from dimec.policies.drive import drive, site_of
from dimec.policies.kinds import FromSettings, register_kind
from dimec.policies.step import Answer, FixedSteps, Go, Signal, Site, Step, Walk
from dimec.tiers.deployment import Deployment
from dimec.traces.trace import Trace


class SureEnough(FromSettings):
    """Made of one setting; ``stored`` is what its file keeps and the constructor takes."""

    name = kind = "sure-enough"
    stored = ("threshold",)
    sees_labels = learns_online = False
    replay_only = ""  # it can be served

    def __init__(self, threshold: float) -> None:
        self.threshold = threshold

    def steps(self, site: Site) -> "Steps":
        """At work on a site's tiers."""
        return Steps(site.deployment, self.threshold)

    def replay(self, trace: Trace, deployment: Deployment) -> Outcome:
        """Its steps, sample by sample."""
        return drive(self.steps(site_of(trace, deployment)), trace, deployment)


class Steps(FixedSteps):
    """The policy itself, in ten lines."""

    def __init__(self, deployment: Deployment, threshold: float) -> None:
        self.first = Go(0, deployment.exits[0])
        self.last = Go(deployment.last, deployment.layers)
        self.reach = (self.first, self.last)  # every step that it may ever take
        self.threshold = threshold

    def begin(self, signal: Signal) -> Go:
        """Where to go before any layer has run."""
        return self.first

    def after(self, walk: Walk) -> Step:
        """Where to go now that exits have spoken, or the answer."""
        sure = walk.last.confidence >= self.threshold or len(walk.looks) > 1
        return Answer() if sure else self.last


# The kind lets it be stored and served; the system says which settings a fit tries.
register_kind("sure-enough", SureEnough.made_of)
register(System("sure-enough", "dimec-template", SureEnough, {"threshold": (0.6, 0.8, 0.9)}))
