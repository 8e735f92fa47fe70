"""I-SplitEE: SplitEE with side observations for networks with few exits, under domain change.

Source: D. J. Bajpai, A. Jaiswal and M. K. Hanawal, "I-SplitEE: image classification in split
computing DNNs with early exits", IEEE ICC 2024, arXiv 2401.10541; the authors' code is
github.com/Div290/I-SplitEE.

Made for images whose distortion changes while the model serves. It has no mechanism of its own for
that: it is the online, unsupervised bandit itself that follows the change. Rule and reward are
SplitEE's (:mod:`dimec.policies.literature.splitee`), learning is SplitEE-S's: every exit up to the
split updates its arm. What differs is where the network has exits: not at every layer, but at every
third and at the last (MobileNetV2's 3, 6 … 18, and 19). ``every`` is that spacing: exits whose
layer is a multiple of it are arms, and the last always is. With ``every`` = 1 the policy is
SplitEE-S; both spacings are tried on the validation split. As SplitEE-S, it can be served with
``only_seen`` alone.

The authors' code updates some arms several times for one sample; here each is updated once. It
fixes α = 0.5, for image sets of 10 and 256 classes; with two classes no confidence lies below that,
so α is chosen on the validation split, as for SplitEE.

Cost of a sample: λ_m·split, and o_c + γ beside where it is offloaded.
"""

from __future__ import annotations

import numpy as np

from dimec.base.arrays import BoolArray, IntArray
from dimec.base.errors import ConfigError
from dimec.policies.kinds import register_kind
from dimec.policies.literature.bandit_steps import arm_layers
from dimec.policies.literature.bandits import arm_columns, priced_system
from dimec.policies.literature.splitee import ALPHAS
from dimec.policies.literature.splitee_s import SplitEESPolicy
from dimec.policies.registry import WEIGHTS, register
from dimec.policies.step import Site
from dimec.tiers.deployment import Deployment
from dimec.traces.trace import Trace

SPACING = 3


class ISplitEEPolicy(SplitEESPolicy):
    """A bandit over splits at sparse exits, with side observations.

    Args:
        alpha, weight, mu, c, only_seen: see :class:`SplitEESPolicy`.
        every: layers between two exits that are arms.

    Raises:
        ConfigError: a spacing below 1, or as :class:`SplitEEPolicy`.
    """

    name = "i-splitee"
    kind = "i-splitee"
    stored = (*SplitEESPolicy.stored, "every")

    def __init__(
        self,
        alpha: float = 0.8,
        weight: float = 1.0,
        mu: float = 0.02,
        c: float = 1.0,
        only_seen: bool = False,
        every: int = SPACING,
    ) -> None:
        super().__init__(alpha, weight, mu, c, only_seen)
        if not isinstance(every, int) or every < 1:
            raise ConfigError(f"the spacing of exits must be at least 1 layer, got {every!r}")
        self.every = every

    def splits(self, trace: Trace, deployment: Deployment) -> IntArray:
        """(K,) positions of the exits that are arms: each ``every``-th layer's, and the last."""
        columns = arm_columns(trace, deployment)
        arms = self._spaced(np.asarray(trace.exits)[columns], deployment.layers)
        return columns[np.flatnonzero(arms)]

    def layers(self, site: Site) -> list[int]:
        """Each ``every``-th layer's exit, and the last."""
        layers = np.array(arm_layers(site))
        spaced: list[int] = layers[self._spaced(layers, site.deployment.layers)].tolist()
        return spaced

    def _spaced(self, layers: IntArray, last: int) -> BoolArray:
        spaced: BoolArray = (layers % self.every == 0) | (layers == last)
        return spaced


register_kind(ISplitEEPolicy.kind, ISplitEEPolicy.made_of)
register(
    priced_system(
        "i-splitee",
        "Bajpai, Jaiswal and Hanawal 2024, arXiv 2401.10541",
        ISplitEEPolicy,
        {"alpha": ALPHAS, "weight": WEIGHTS, "every": (SPACING, 1)},
    ),
    title="I-SplitEE",
)
