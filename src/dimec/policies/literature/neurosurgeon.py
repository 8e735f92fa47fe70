"""Neurosurgeon: the split between mobile and cloud that is predicted to take least time or energy.

Source: Kang et al., Neurosurgeon: Collaborative Intelligence Between the Cloud and Mobile Edge
(ASPLOS 2017, doi 10.1145/3037697.3037698), Algorithm 1. Of the splits i = 0 … l (0 sends the text,
l stays on the mobile) it takes

    latency:  argmin_i  M_i + U_i + C_i
    energy:   argmin_i  P·M_i + R_i

M_i is the mobile's time for what comes before the split (embedding layer and i layers; at l the
classifier too), C_i the cloud's for what comes behind it, U_i the way there and back with the bytes
of split i, P the mobile's power and R_i its radio's energy. The times are predicted by a regression
for each type of layer, measured once (:mod:`dimec.tiers.latency`), before anything runs; link,
rates and powers are a scenario's (:mod:`dimec.tiers.scenarios`). The load of the cloud, which the
authors' prediction also takes, is constant here: a trace has none.

A tie goes to the smaller split. The decision depends on the text's length alone. The last exit
answers, wherever it runs, so that accuracy is always the whole model's.

What it finds for an encoder: every split 1 ≤ i < l ships T·w numbers of 4 bytes in place of T
tokens of 4 bytes, w times the text, and no later split ships fewer, while in the authors'
convolutional networks the data shrink from layer to layer. All layers take the same time, so
between 1 and l - 1 latency is a straight line in i, and the best of them is an end of it. Where the
mobile is slower than the cloud that is 1, and 0 is better: it ships less and runs less on the
mobile. Where the mobile is faster that is l - 1, and l is better: nothing is shipped at all. In
energy the line rises or falls in the same two ways. So it sends the text or keeps it, and never
splits; docs/scenarios.md has figures.

Cost of a sample: λ_m·i, and o_c + γ where i < l (equation 5's prices; γ in full for an offload).
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from dimec.base.arrays import FloatArray, IntArray
from dimec.base.errors import ConfigError, option
from dimec.policies.base import Outcome, no_steps, outcome_of, require_one_model, require_two_tiers
from dimec.policies.registry import System, register
from dimec.policies.step import Site, Steps
from dimec.tiers.deployment import Deployment
from dimec.tiers.latency import LayerProfile, ModelShape
from dimec.tiers.paths import leg
from dimec.tiers.scenario_file import Scenarios
from dimec.tiers.scenarios import Scenario
from dimec.tiers.usage import hidden_bytes, text_bytes
from dimec.traces.trace import Trace

Objective = Literal["latency", "energy"]

_SOURCE = "Kang et al., ASPLOS 2017, doi 10.1145/3037697.3037698"
DEFAULT_SCENARIO = "phone-4g"
DEFAULT_PROFILE = "minilm-l6"


def split_bytes(lengths: npt.NDArray[np.integer], layers: int, width: int) -> FloatArray:
    """(N, l+1) payload of each split: the text at 0, hidden states between, nothing at l."""
    table = np.repeat(hidden_bytes(lengths, width)[:, None], layers + 1, axis=1)
    table[:, 0] = text_bytes(lengths)
    table[:, layers] = 0.0
    return table


def split_costs(
    lengths: npt.NDArray[np.integer],
    layers: int,
    shape: ModelShape,
    profile: LayerProfile,
    scenario: Scenario,
) -> tuple[FloatArray, FloatArray]:
    """Predicted milliseconds and millijoules of every split.

    Args:
        lengths: (N,) tokens of each text.
        layers: l.
        shape: of the encoder that is split.
        profile: measured latencies, of this encoder or of one that stands in for it.
        scenario: phone, cloud and link.

    Returns:
        Two (N, l+1) tables; column i is split i.
    """
    split = np.arange(layers + 1)
    before, behind = split[None, :], (layers - split)[None, :]

    def times(rate: float) -> tuple[FloatArray, FloatArray, FloatArray]:
        embed = profile.seconds("embed", lengths, shape, rate)
        layer = profile.seconds("layer", lengths, shape, rate)
        head = profile.seconds("head", lengths, shape, rate)
        return 1e3 * embed[:, None], 1e3 * layer[:, None], 1e3 * head[:, None]

    embed, layer, head = times(scenario.phone.flops_per_second.value)
    mobile = embed * (split > 0) + layer * before + head * (split == layers)
    embed, layer, head = times(scenario.cloud.flops_per_second.value)
    cloud = embed * (split == 0) + layer * behind + head * (split < layers)
    sent = np.broadcast_to((split < layers).astype(np.float64), mobile.shape)
    payload = split_bytes(lengths, layers, shape.width)
    away = scenario.link_ms(sent, payload, scenario.cloud_round_trip_ms) + cloud
    energy = scenario.phone.watts.value * mobile + scenario.radio_mj(sent, payload, away)
    return mobile + away, energy


class NeurosurgeonPolicy:
    """Splits every text where the prediction is least.

    Args:
        objective: ``"latency"`` or ``"energy"``.
        scenario: name of the scenario.
        profile: a layer profile, or the name of one that comes with dimec. An encoder of another
            shape is predicted from it by the ratio of operations.
        scenarios: the file that the scenario is in; dimec's own by default.

    Raises:
        ConfigError: another objective, no such scenario, or scenarios that cannot be read.
        ArtefactError: no such profile.
    """

    sees_labels = False
    learns_online = False
    replay_only = "it splits between any two layers, and tiers answer at exits only"

    def __init__(
        self,
        objective: Objective = "latency",
        scenario: str = DEFAULT_SCENARIO,
        profile: str | LayerProfile = DEFAULT_PROFILE,
        scenarios: Path | None = None,
    ) -> None:
        if objective not in ("latency", "energy"):
            raise ConfigError(
                f"{option('objective')} must be 'latency' or 'energy', got {objective!r}"
            )
        self.objective = objective
        self.scenario = Scenarios.load(scenarios).scenario(scenario)
        self.profile = LayerProfile.packaged(profile) if isinstance(profile, str) else profile
        self.name = f"neurosurgeon-{objective}"

    def splits(self, lengths: npt.NDArray[np.integer], layers: int, shape: ModelShape) -> IntArray:
        """(N,) the split of each text, from its number of tokens."""
        different, position = np.unique(lengths, return_inverse=True)
        milliseconds, millijoules = split_costs(
            different, layers, shape, self.profile, self.scenario
        )
        table = milliseconds if self.objective == "latency" else millijoules
        chosen: IntArray = table.argmin(axis=1)[position]
        return chosen

    def steps(self, site: Site) -> Steps:
        """There are none."""
        raise no_steps(self)

    def replay(self, trace: Trace, deployment: Deployment) -> Outcome:
        """Decide from the lengths; the embeddings' width tells the shape of the encoder."""
        shape = ModelShape.of_width(trace.embeddings.shape[1])
        require_one_model(deployment, self.name)
        require_two_tiers(deployment)
        layers = deployment.layers
        split = self.splits(trace.lengths, layers, shape)
        away = split < layers
        payload = split_bytes(trace.lengths, layers, shape.width)
        legs = [
            leg(len(trace), 0, split, ends=~away),
            leg(
                len(trace),
                deployment.last,
                layers,
                start=split,
                taken=away,
                payload=payload[np.arange(len(trace)), split],
            ),
        ]
        return outcome_of(trace, deployment, legs)


def _make(objective: Objective) -> System:
    def make(
        scenario: str = DEFAULT_SCENARIO,
        profile: str | LayerProfile = DEFAULT_PROFILE,
        scenarios: Path | None = None,
    ) -> NeurosurgeonPolicy:
        return NeurosurgeonPolicy(objective, scenario, profile, scenarios)

    return System(
        f"neurosurgeon-{objective}", _SOURCE, make, reads=frozenset({"embeddings", "lengths"})
    )


register(_make("latency"), title="Neurosurgeon, latency")
register(_make("energy"), title="Neurosurgeon, energy")
