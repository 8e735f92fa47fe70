"""BERT, the paper's reference: the whole model for every input, in the cloud or on the mobile.

Source: Devlin et al., BERT (arXiv 1810.04805), as the baseline of the paper, section V-B 1, where
it is deployed on the mobile, and Table I, where it is deployed in the cloud.
"""

from __future__ import annotations

from dimec.base.errors import ConfigError
from dimec.policies.base import Outcome, outcome_of, require_one_model
from dimec.policies.kinds import FromSettings, register_kind
from dimec.policies.literature.early_exit import OneStep
from dimec.policies.registry import System, register
from dimec.policies.step import Go, Site, Steps
from dimec.tiers.deployment import Deployment
from dimec.tiers.paths import leg
from dimec.tiers.usage import text_bytes
from dimec.traces.trace import Trace

_SOURCE = "Devlin et al. 2019, arXiv 1810.04805; the paper, section V-B 1"


class BertPolicy(FromSettings):
    """The last exit answers everything.

    Cost of a sample: in the cloud o_c + γ; on the mobile λ_m·l. With the default γ = λ_m·l - o_c
    the two are the same.

    Args:
        place: ``"cloud"`` or ``"mobile"``.
    """

    sees_labels = False
    learns_online = False
    replay_only = ""
    kind = "bert"
    stored = ("place",)

    def __init__(self, place: str = "cloud") -> None:
        if place not in ("cloud", "mobile"):
            raise ConfigError(f"the whole model runs in the cloud or on the mobile, got {place!r}")
        self.place = place
        self.name = f"bert-{place}"

    def steps(self, site: Site) -> Steps:
        """To the last exit, wherever it runs."""
        if self.place == "mobile":
            require_one_model(site.deployment, self.name)
        tier = 0 if self.place == "mobile" else site.deployment.last
        return OneStep(Go(tier, site.deployment.layers))

    def replay(self, trace: Trace, deployment: Deployment) -> Outcome:
        """The same exit for every sample."""
        if self.place == "mobile":
            require_one_model(deployment, self.name)
            return outcome_of(trace, deployment, [leg(len(trace), 0, deployment.layers)])
        payload = text_bytes(trace.lengths)
        only = leg(len(trace), deployment.last, deployment.layers, payload=payload)
        return outcome_of(trace, deployment, [only])


register_kind(BertPolicy.kind, BertPolicy.made_of)
register(
    System("bert-cloud", _SOURCE, lambda: BertPolicy("cloud"), reads=frozenset()),
    title="BERT in the cloud",
    tags={"whole model", "reference"},
)
register(
    System("bert-mobile", _SOURCE, lambda: BertPolicy("mobile"), reads=frozenset()),
    title="BERT on the mobile",
    tags={"whole model"},
)
