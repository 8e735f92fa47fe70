"""BERT, the paper's reference: the whole model for every input, in the cloud or on the mobile.

Source: Devlin et al., BERT (arXiv 1810.04805), as the baseline of the paper, section V-B 1, where
it is deployed on the mobile, and Table I, where it is deployed in the cloud.
"""

from __future__ import annotations

import numpy as np

from dimec.base.errors import ConfigError
from dimec.policies.base import Outcome, exit_outcome
from dimec.policies.registry import System, register
from dimec.tiers.costs import CLOUD, MOBILE
from dimec.tiers.usage import Deployment, Usage, text_bytes
from dimec.traces.trace import Trace

_SOURCE = "Devlin et al. 2019, arXiv 1810.04805; the paper, section V-B 1"


class BertPolicy:
    """The last exit answers everything.

    Cost of a sample: in the cloud o_c + γ; on the mobile λ_m·l. With the default γ = λ_m·l - o_c
    the two are the same.

    Args:
        place: ``"cloud"`` or ``"mobile"``.
    """

    sees_labels = False
    learns_online = False

    def __init__(self, place: str = "cloud") -> None:
        if place not in ("cloud", "mobile"):
            raise ConfigError(f"the whole model runs in the cloud or on the mobile, got {place!r}")
        self.place = place
        self.name = f"bert-{place}"

    def replay(self, trace: Trace, deployment: Deployment) -> Outcome:
        """The same exit for every sample."""
        last = np.full(len(trace), trace.columns((deployment.layers,))[0])
        if self.place == "mobile":
            usage = Usage.of(len(trace), mobile_layers=deployment.layers)
            return exit_outcome(trace, last, MOBILE, usage)
        usage = Usage.of(
            len(trace),
            cloud_layers=deployment.layers,
            cloud_offloads=1,
            cloud_charges=1,
            cloud_bytes=text_bytes(trace.lengths),
        )
        return exit_outcome(trace, last, CLOUD, usage)


register(
    System("bert-cloud", _SOURCE, lambda: BertPolicy("cloud")),
    title="BERT in the cloud",
    tags={"whole model", "reference"},
)
register(
    System("bert-mobile", _SOURCE, lambda: BertPolicy("mobile")),
    title="BERT on the mobile",
    tags={"whole model"},
)
