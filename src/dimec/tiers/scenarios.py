"""The ledger in milliseconds, millijoules and money: named scenarios of phone, boxes and link.

What an answer takes is :class:`dimec.tiers.usage.Usage`; a scenario says what that amounts to with
a given phone, edge box, cloud server and link. Usage holds expected values, and everything here is
linear in it. The figures and their sources are in ``scenarios.toml``, which a user may replace.

With T the tokens of a text, F(T) the operations of a layer (:meth:`ModelShape.layer_flops`), n the
layers run somewhere, s the inputs sent and B the payload's bytes:

- computing: t = n·F(T) / rate of the device
- on the link: t = s·round trip + 8·(B + s·up)/R_up + 8·s·down/R_down, where up and down are what a
  request and its answer take beyond the payload; to the cloud the round trip is longer
- milliseconds: the phone's computing + the link + the computing of edge and cloud, in turn
- millijoules, of the phone: power · its computing + radio, where the radio is on from the request
  to the answer: base·(link + remote computing) + α_u·(Mbit up) + α_d·(Mbit down), the model of
  Huang et al., A Close Examination of Performance and Power Characteristics of 4G LTE Networks
  (MobiSys 2012, doi 10.1145/2307636.2307658); and for the share of requests that find the radio
  asleep what waking it and its tail take
- USD: computing at edge and cloud, by the second in which a machine is of use, and mobile data

Left out, everywhere alike: the embedding layer and the classifiers (a fraction of a layer), the
decision itself, queues, TLS handshakes and the phone's screen. Where tiers have models of their
own, t is by their layer profiles, with embedding layers and classifiers
(:class:`dimec.tiers.computing.ByProfiles`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np

from dimec.base.arrays import FloatArray
from dimec.base.errors import DataError
from dimec.tiers.computing import ByOperations, Computing, Lengths
from dimec.tiers.devices import CloudServer, EdgeBox, Link, Overhead, Phone
from dimec.tiers.latency import ModelShape
from dimec.tiers.usage import Usage

__all__ = [
    "ModelShape",
    "Scenario",
    "ScenarioCost",
    "computing_table",
    "scenario_table",
    "summarise",
]


@dataclass(frozen=True, eq=False)
class ScenarioCost:
    """What N answers take. Each is (N,) float64, expected values.

    Attributes:
        milliseconds: from the text to its answer.
        millijoules: of the phone's battery.
        money: USD, of edge, cloud and mobile data.
    """

    milliseconds: FloatArray
    millijoules: FloatArray
    money: FloatArray


class Place(NamedTuple):
    """A place that inputs are sent to."""

    flops_per_second: float
    usd_per_second: float
    round_trip_ms: float


@dataclass(frozen=True)
class Scenario:
    """A phone, an edge box and a cloud server, and the link between them.

    Attributes:
        name: of the scenario.
        phone, edge, cloud, link, overhead: its parts.
        lone_share: share of the offloads that find the radio asleep.
    """

    name: str
    phone: Phone
    edge: EdgeBox
    cloud: CloudServer
    link: Link
    overhead: Overhead
    lone_share: float = 0.0

    @property
    def edge_round_trip_ms(self) -> float:
        """Milliseconds to the edge and back."""
        return self.link.round_trip_ms.value

    @property
    def cloud_round_trip_ms(self) -> float:
        """Milliseconds to the cloud and back."""
        return self.link.round_trip_ms.value + self.cloud.extra_round_trip_ms.value

    def places(self, tiers: int) -> list[Place]:
        """Where each tier behind the first stands, of so many tiers.

        The last is the cloud server. Those between are edge boxes, each reached by the same link;
        that there may be several is dimec's extension.
        """
        edge = Place(
            self.edge.flops_per_second.value, self.edge.usd_per_second, self.edge_round_trip_ms
        )
        cloud = Place(
            self.cloud.flops_per_second.value, self.cloud.usd_per_second, self.cloud_round_trip_ms
        )
        return [edge] * (tiers - 2) + [cloud] * (tiers > 1)

    def megabits(self, sent: FloatArray, payload: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Mbit up and down of so many requests with so many bytes of payload in all."""
        up = payload + self.overhead.up_bytes.value * sent
        return 8e-6 * up, 8e-6 * self.overhead.down_bytes.value * sent

    def link_ms(self, sent: FloatArray, payload: FloatArray, round_trip_ms: float) -> FloatArray:
        """Milliseconds that requests spend on the way, there and back."""
        up, down = self.megabits(sent, payload)
        link = self.link
        moving = up / link.up_mbit_per_second.value + down / link.down_mbit_per_second.value
        return round_trip_ms * sent + 1e3 * moving

    def radio_mj(self, sent: FloatArray, payload: FloatArray, away_ms: FloatArray) -> FloatArray:
        """Millijoules of the radio: on for ``away_ms``, the bits, and waking it where it slept."""
        up, down = self.megabits(sent, payload)
        link = self.link
        return (
            link.base_milliwatts.value * away_ms / 1e3
            + link.send_slope.value * up
            + link.receive_slope.value * down
            + self.lone_share * link.wake_millijoules.value * sent
        )

    def price(self, usage: Usage, lengths: Lengths, model: ModelShape) -> ScenarioCost:
        """What answers take in this scenario, by the formulas of the module's docstring.

        Args:
            usage: of N answers.
            lengths: (N,) tokens of each text.
            model: the shape of a layer.

        Raises:
            DataError: not as many lengths as answers.
        """
        return self.price_of(usage, ByOperations(lengths, model))

    def price_of(self, usage: Usage, computing: Computing) -> ScenarioCost:
        """The same, where tiers may compute differently.

        Args:
            usage: of N answers.
            computing: how long they compute at each tier.

        Raises:
            DataError: it is of other texts.
        """
        places = self.places(usage.layers.shape[1])
        mobile_ms = computing.milliseconds(usage, 0, self.phone.flops_per_second.value)
        away_ms, spent = np.zeros(len(usage)), np.zeros(len(usage))
        for k, place in enumerate(places, start=1):
            away_ms += self.link_ms(usage.sent[:, k], usage.bytes[:, k], place.round_trip_ms)
        for k, place in enumerate(places, start=1):
            there_ms = computing.milliseconds(usage, k, place.flops_per_second)
            away_ms += there_ms
            spent += there_ms * place.usd_per_second
        spent /= 1e3
        up, down = self.megabits(usage.sent.sum(axis=1), usage.bytes.sum(axis=1))
        data = self.link.usd_per_gigabyte.value * (up + down) / 8e3
        return ScenarioCost(
            milliseconds=mobile_ms + away_ms,
            millijoules=self.phone.watts.value * mobile_ms
            + self.radio_mj(usage.sent.sum(axis=1), usage.bytes.sum(axis=1), away_ms),
            money=spent + data,
        )


class Replayed(Protocol):
    """What a table needs of a replay; :class:`dimec.evaluation.replay.Replay` has it."""

    @property
    def policy(self) -> str: ...

    @property
    def usage(self) -> Usage: ...


def summarise(cost: ScenarioCost) -> dict[str, float]:
    """Means over the answers: ``milliseconds``, ``millijoules``, and USD for a thousand of them.

    Raises:
        DataError: no answers.
    """
    if len(cost.milliseconds) == 0:
        raise DataError("there is no mean of no answers")
    return {
        "milliseconds": float(cost.milliseconds.mean()),
        "millijoules": float(cost.millijoules.mean()),
        "usd_per_1000": 1000 * float(cost.money.mean()),
    }


def scenario_table(
    replays: Sequence[Replayed],
    lengths: Lengths,
    shape: ModelShape,
    scenarios: Sequence[Scenario],
) -> list[dict[str, Any]]:
    """A row for every policy in every scenario: policy, scenario, and what :func:`summarise` gives.

    Args:
        replays: of the same N samples.
        lengths: (N,) their tokens.
        shape: of the encoder's layers.
        scenarios: in the order of the rows, within each policy.
    """
    return computing_table(replays, ByOperations(lengths, shape), scenarios)


def computing_table(
    replays: Sequence[Replayed], computing: Computing, scenarios: Sequence[Scenario]
) -> list[dict[str, Any]]:
    """As :func:`scenario_table`, where tiers may compute differently."""
    return [
        {
            "policy": one.policy,
            "scenario": scenario.name,
            **summarise(scenario.price_of(one.usage, computing)),
        }
        for one in replays
        for scenario in scenarios
    ]
