"""BottleNet++, BottleFit, CDE and HND: a trained narrow bottleneck at the split.

Sources:

- ``bottlenet++``: Shao and Zhang, BottleNet++ (arXiv 1910.14315): encoder and decoder are trained
  on the task's own loss.
- ``bottlefit``: Matsubara et al., BottleFit (arXiv 2201.02693): they are trained to give back the
  full model's hidden states first, then its answers.
- ``cde``: Yao et al., Deep compressive offloading (SenSys 2020): they are trained to give back the
  hidden states at the split, and nothing else.
- ``hnd``: Matsubara et al., Head network distillation (2020, arXiv 2007.15818): the mobile's
  layers are trained with them to give the original hidden states at the split.

The mobile runs the layers up to the split, projects each token's hidden state from D numbers down
to k, quantises them to b bits and sends ⌈k·b/8⌉ bytes a token; the cloud projects up again, runs
the layers that are left, and answers at the last exit. What sets the systems apart is how the
bottleneck was trained, and so which trace they replay (``dimec bottleneck --objective task``,
``distil``, ``reconstruction`` or ``head-distillation``): here they are the same few lines.

None of the papers has an early exit. It is offered beside the papers' own rule, which is
``threshold`` None, because a split with an exit need not send what it is sure of: exit at the split
where max_c p_m(c) ≥ threshold, else send the code. Not with ``hnd``: its altered layers are for the
code alone, and the exit that the trace has at the split is not theirs.

Cost of a sample: λ_m·split, plus o_c + γ where the code is sent.

Traces of ``dimec bottleneck`` carry the columns ``code_bytes``, what each sample's code takes, and
``code_layer``, where the split is; their last exit answers from behind the bottleneck. On any other
trace the answers are the trace's own, as if nothing were lost, the split is the deployment's mobile
exit, and the payload is what a code of the default width and bits takes.
"""

from __future__ import annotations

import math

import numpy as np

from dimec.base.arrays import FloatArray
from dimec.base.errors import ConfigError, MismatchError
from dimec.policies.base import Outcome, no_steps, outcome_of, require_one_model, require_two_tiers
from dimec.policies.registry import System, register
from dimec.policies.step import Site, Steps
from dimec.tiers.deployment import Deployment
from dimec.tiers.paths import leg
from dimec.traces.trace import Trace

CODE_WIDTH, CODE_BITS = 16, 8  # k and b by default
RAW_BITS = 32  # stands for a code that is not quantised: fp32
CODE_BYTES, CODE_LAYER = "code_bytes", "code_layer"  # the columns of a bottleneck's trace
THRESHOLDS = (None, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)


def token_code_bytes(width: int, bits: int) -> int:
    """Bytes of one token's code, filled up to whole bytes: ⌈width·bits/8⌉.

    Nothing else is sent: the quantiser's ranges are weights, which both sides have, and the number
    of tokens follows from the size of the message.

    Args:
        width: k, numbers in the code of a token.
        bits: of each number; 1 to 16, or 32 for fp32.

    Raises:
        ConfigError: out of range.
    """
    if width < 1:
        raise ConfigError(f"a code needs a width of at least 1, got {width}")
    if not (1 <= bits <= 16 or bits == RAW_BITS):
        raise ConfigError(
            f"a code's numbers have 1 to 16 bits, or {RAW_BITS} for fp32 as it is, got {bits}"
        )
    return -(-width * bits // 8)


class BottleneckPolicy:
    """Sends the bottleneck's code to the cloud, but for what the split's exit is sure of.

    Args:
        threshold: exit at the split where the largest probability is at least this; None sends
            every sample, as in the papers.
        layer: of the split; None: what the trace says, or else the deployment's mobile exit.
        name: of its row.

    Raises:
        ConfigError: a threshold outside 0 … 1, or a layer below 1.
    """

    sees_labels = False
    learns_online = False
    replay_only = "its code is made and read by graphs of its own, which no tier serves"

    def __init__(
        self,
        threshold: float | None = None,
        layer: int | None = None,
        *,
        name: str = "bottleneck",
    ) -> None:
        if threshold is not None and not (math.isfinite(threshold) and 0 <= threshold <= 1):
            raise ConfigError(f"the threshold must lie from 0 to 1, or be None, got {threshold!r}")
        if layer is not None and layer < 1:
            raise ConfigError(f"the split must lie behind layer 1 or a later one, got {layer}")
        self.threshold = threshold
        self.layer = layer
        self.name = name

    def steps(self, site: Site) -> Steps:
        """There are none."""
        raise no_steps(self)

    def replay(self, trace: Trace, deployment: Deployment) -> Outcome:
        """Exit at the split, or answer at the last exit from what the code kept.

        Raises:
            MismatchError: the trace was made behind a bottleneck at another layer.
            ConfigError: a threshold is set and the split has no exit, or the split lies behind
                the last layer.
        """
        require_one_model(deployment, self.name)
        layer = split_layer(trace, deployment, self.layer)
        if layer > deployment.layers:
            raise ConfigError(
                f"the split lies behind layer {layer}, the model has {deployment.layers}"
            )
        require_two_tiers(deployment)
        sent = np.ones(len(trace), bool)
        if self.threshold is not None:
            sent = trace.confidences[:, trace.columns((layer,))[0]] < self.threshold
        legs = [
            leg(len(trace), 0, layer, ends=~sent),
            leg(
                len(trace),
                deployment.last,
                deployment.layers,
                start=layer,
                taken=sent,
                payload=code_payload(trace),
            ),
        ]
        return outcome_of(trace, deployment, legs)


def split_layer(trace: Trace, deployment: Deployment, layer: int | None = None) -> int:
    """The layer of the split: as asked for, or as the trace says, or the mobile's exit.

    Raises:
        MismatchError: what was asked for is not what the trace was made with, or the trace has
            several.
    """
    made = np.unique(trace.extra.get(CODE_LAYER, np.empty(0)))
    if len(made) > 1:
        raise MismatchError(
            f"the {trace.split} trace mixes splits at the layers {made.astype(int).tolist()}; "
            "take one that dimec bottleneck made"
        )
    if len(made) and layer is not None and layer != made[0]:
        raise MismatchError(
            f"the {trace.split} trace was made behind a bottleneck at layer {made[0]:g}, and the "
            f"policy is to split at layer {layer}; make a trace with: dimec bottleneck --layer "
            f"{layer}"
        )
    if len(made):
        return int(made[0])
    return deployment.exits[0] if layer is None else layer


def code_payload(trace: Trace) -> FloatArray:
    """(N,) bytes of each sample's code: the trace's own, or those of the default width and bits."""
    if CODE_BYTES in trace.extra:
        return trace.extra[CODE_BYTES].astype(np.float64)
    return token_code_bytes(CODE_WIDTH, CODE_BITS) * trace.lengths.astype(np.float64)


def _system(name: str, source: str, needs: str, exits: bool = True) -> System:
    def make(threshold: float | None = None, layer: int | None = None) -> BottleneckPolicy:
        return BottleneckPolicy(threshold, layer, name=name)

    tried = THRESHOLDS if exits else THRESHOLDS[:1]
    return System(name, source, make, grid={"threshold": tried}, needs=needs)


register(
    _system("bottlenet++", "Shao and Zhang 2020, arXiv 1910.14315", "bottleneck-task"),
    title="BottleNet++",
)
register(
    _system("bottlefit", "Matsubara et al. 2022, arXiv 2201.02693", "bottleneck-distil"),
    title="BottleFit",
)
register(
    _system(
        "cde",
        "Yao et al., ACM SenSys 2020, doi 10.1145/3384419.3430898",
        "bottleneck-reconstruction",
    ),
    title="CDE",
)
register(
    _system(
        "hnd",
        "Matsubara et al. 2020, arXiv 2007.15818",
        "bottleneck-head-distillation",
        exits=False,
    ),
    title="HND",
)
