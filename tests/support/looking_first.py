"""A policy that looks at exit 0, answers where it is sure, and else goes on; to be stored too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dimec.base.errors import ConfigError
from dimec.policies.base import Outcome
from dimec.policies.drive import drive, site_of
from dimec.policies.kinds import Arrays, is_kind, register_kind
from dimec.policies.step import Answer, FixedSteps, Go, Signal, Site, Step, Walk
from dimec.tiers.deployment import Deployment
from dimec.traces.trace import Trace

KIND = "looking-first"


class LookingFirst(FixedSteps):
    """Go(0, 0), then on to ``tier`` at ``layer`` unless exit 0 is sure; its own steps."""

    name, kind, replay_only = KIND, KIND, ""
    sees_labels = learns_online = False

    def __init__(self, threshold: float, tier: int, layer: int) -> None:
        self.threshold, self.tier, self.layer = threshold, tier, layer

    @property
    def reach(self) -> Sequence[Go]:
        return [Go(0, 0), Go(self.tier, self.layer)]

    def steps(self, site: Site) -> LookingFirst:
        if not site.exit0:
            raise ConfigError(f"{self.name} needs an exit 0")
        return self

    def begin(self, signal: Signal) -> Step:
        return Go(0, 0)

    def after(self, walk: Walk) -> Step:
        if len(walk.looks) > 1 or walk.last.confidence >= self.threshold:
            return Answer()
        return Go(self.tier, self.layer)

    def replay(self, trace: Trace, deployment: Deployment) -> Outcome:
        return drive(self.steps(site_of(trace, deployment)), trace, deployment)

    def settings(self) -> Mapping[str, Any]:
        return {"threshold": self.threshold, "tier": self.tier, "layer": self.layer}

    def arrays(self) -> Arrays:
        return {}


def _make(name: str, settings: Mapping[str, Any], arrays: Arrays) -> LookingFirst:
    return LookingFirst(**settings)


if not is_kind(KIND):
    register_kind(KIND, _make)
