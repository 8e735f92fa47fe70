"""Compressed models: one small model on the mobile answers everything, in place of splitting.

The paper's introduction sets these against splitting. Sources:

- ``pruned-magnitude``: Zhu and Gupta, To prune, or not to prune (arXiv 1710.01878): weights of
  small magnitude go gradually while the model is trained on.
- ``pruned-heads``: Michel et al., Are Sixteen Heads Really Better than One? (arXiv 1905.10650): the
  heads that the loss depends on least go, without training.
- ``int8-mobile``: the whole model with 8-bit weights, as ``dimec export --int8`` makes it; Jacob et
  al. (arXiv 1712.05877) for the idea, ``training/export/quantise`` for what is done.
- ``distilled-student``: a model of the mobile's size that learnt from the whole one (Sanh et al.,
  DistilBERT, arXiv 1910.01108): the first tier of a run of own tiers.

Each answers from the last exit of its own trace, which ``dimec compress --method …`` records, on
the first tier alone. What sets them apart is how that model was made, and what it is worth.

Cost of a sample: λ_m·(layers that it is worth), the layers of the whole model that take as many
operations at 128 tokens. The trace says how many, in the column ``layers_worth``: a pruned model is
sized to the mobile's m of l layers (heads alone may not suffice, and what is left is charged); the
student's are its own; 8-bit products count a quarter of those in fp32, the most that a processor's
vectors gain. A trace that does not say is of a model that was not compressed, and all l layers are
charged; ``dimec evaluate`` refuses a system whose own traces are not there.
"""

from __future__ import annotations

import numpy as np

from dimec.policies.base import Outcome, no_steps, outcome_of, require_one_model
from dimec.policies.registry import System, register
from dimec.policies.step import Site, Steps
from dimec.tiers.deployment import Deployment
from dimec.tiers.paths import leg
from dimec.traces.trace import Trace

LAYERS_WORTH = "layers_worth"  # the column of a compressed model's trace
COMPRESSED = "compressed"  # the systems' tag


class CompressedPolicy:
    """A compressed model on the first tier answers everything.

    Args:
        name: of its row.
    """

    sees_labels = False
    learns_online = False
    replay_only = "it is a model of its own, of which there is a trace and no tier"

    def __init__(self, name: str = "compressed") -> None:
        self.name = name

    def steps(self, site: Site) -> Steps:
        """There are none."""
        raise no_steps(self)

    def replay(self, trace: Trace, deployment: Deployment) -> Outcome:
        """The last exit for every sample, for the layers that its model is worth.

        Raises:
            ConfigError: the tiers have models of their own, or the trace lacks the last exit.
        """
        require_one_model(deployment, self.name)
        answers = np.zeros((len(trace), len(trace.exits)))
        if LAYERS_WORTH in trace.extra:
            answers[:, -1] = 1.0
            layers = trace.extra[LAYERS_WORTH].astype(np.float64)
        else:
            answers[:, trace.columns((deployment.layers,))[0]] = 1.0
            layers = np.full(len(trace), float(deployment.layers))
        return outcome_of(trace, deployment, [leg(len(trace), 0, layers)], answers)


def _register(name: str, title: str, source: str, method: str) -> None:
    register(
        System(name, source, lambda: CompressedPolicy(name), needs=f"compressed-{method}"),
        title=title,
        tags={COMPRESSED},
    )


_register(
    "pruned-magnitude",
    "Pruned by magnitude",
    "Zhu and Gupta 2017, arXiv 1710.01878",
    "magnitude",
)
_register("pruned-heads", "Pruned heads", "Michel et al. 2019, arXiv 1905.10650", "heads")
_register("int8-mobile", "int8 on the mobile", "Jacob et al. 2018, arXiv 1712.05877", "int8")
_register("distilled-student", "Distilled student", "Sanh et al. 2019, arXiv 1910.01108", "student")
