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
decision itself, queues, TLS handshakes and the phone's screen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, NamedTuple, Protocol, Self

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from dimec.base.arrays import FloatArray
from dimec.base.errors import ConfigError, DataError, quoted
from dimec.base.storage import parse_toml
from dimec.tiers.latency import ModelShape
from dimec.tiers.usage import Usage

__all__ = [
    "ModelShape",
    "Scenario",
    "ScenarioCost",
    "Scenarios",
    "scenario_table",
    "summarise",
]

Lengths = npt.NDArray[np.integer]

_SECONDS_PER_HOUR = 3600.0
_HOURS_PER_YEAR = 365.25 * 24


class _Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Amount(_Settings):
    """A figure of at least 0, and where it comes from."""

    value: float = Field(ge=0)
    source: str = Field(min_length=1)


class Positive(Amount):
    """A figure above 0: something is divided by it."""

    value: float = Field(gt=0)


class Share(Amount):
    """A figure above 0 and of at most 1."""

    value: float = Field(gt=0, le=1)


class Phone(_Settings):
    """The mobile: effective FLOP/s on transformer layers, and watts while it computes."""

    flops_per_second: Positive
    watts: Amount


class EdgeBox(_Settings):
    """A machine that is bought: its price is spread over its lifetime, its power paid by the kWh.

    ``utilisation`` is the share of the time in which it computes answers; the rest is paid too.
    """

    flops_per_second: Positive
    purchase_usd: Amount
    lifetime_years: Positive
    watts: Amount
    usd_per_kwh: Amount
    utilisation: Share

    @property
    def usd_per_second(self) -> float:
        """Of computing."""
        owned = self.purchase_usd.value / (self.lifetime_years.value * _HOURS_PER_YEAR)
        powered = self.watts.value / 1000 * self.usd_per_kwh.value
        return (owned + powered) / _SECONDS_PER_HOUR / self.utilisation.value


class CloudServer(_Settings):
    """A machine that is hired by the hour; ``extra_round_trip_ms`` is beyond that to the edge."""

    flops_per_second: Positive
    usd_per_hour: Amount
    utilisation: Share
    extra_round_trip_ms: Amount

    @property
    def usd_per_second(self) -> float:
        """Of computing."""
        return self.usd_per_hour.value / _SECONDS_PER_HOUR / self.utilisation.value


class Link(_Settings):
    """The phone's link: rates, milliseconds to the edge and back, its radio, the data's price.

    ``send_slope`` and ``receive_slope`` are mW per Mbit/s, that is mJ per Mbit;
    ``wake_millijoules`` is what a request takes beside that finds the radio asleep.
    """

    up_mbit_per_second: Positive
    down_mbit_per_second: Positive
    round_trip_ms: Amount
    base_milliwatts: Amount
    send_slope: Amount
    receive_slope: Amount
    wake_millijoules: Amount
    usd_per_gigabyte: Amount


class Overhead(_Settings):
    """Bytes of a request and of its answer beyond the payload."""

    up_bytes: Amount
    down_bytes: Amount


class _Names(_Settings):
    """A scenario, by the names of its parts."""

    phone: str
    edge: str
    cloud: str
    link: str
    lone_share: Annotated[float, Field(ge=0, le=1)] = 0.0


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
        if np.shape(lengths) != (len(usage),):
            raise DataError(
                f"the usage of {len(usage)} answers needs lengths of the shape ({len(usage)},), "
                f"got {np.shape(lengths)}"
            )
        work = 1e3 * model.layer_flops(lengths)
        places = self.places(usage.layers.shape[1])
        mobile_ms = usage.layers[:, 0] * work / self.phone.flops_per_second.value
        away_ms, computing = np.zeros(len(usage)), np.zeros(len(usage))
        for k, place in enumerate(places, start=1):
            away_ms += self.link_ms(usage.sent[:, k], usage.bytes[:, k], place.round_trip_ms)
        for k, place in enumerate(places, start=1):
            there_ms = usage.layers[:, k] * work / place.flops_per_second
            away_ms += there_ms
            computing += there_ms * place.usd_per_second
        computing /= 1e3
        up, down = self.megabits(usage.sent.sum(axis=1), usage.bytes.sum(axis=1))
        data = self.link.usd_per_gigabyte.value * (up + down) / 8e3
        return ScenarioCost(
            milliseconds=mobile_ms + away_ms,
            millijoules=self.phone.watts.value * mobile_ms
            + self.radio_mj(usage.sent.sum(axis=1), usage.bytes.sum(axis=1), away_ms),
            money=computing + data,
        )


class Scenarios(_Settings):
    """A file of scenarios: parts by name, and scenarios made of them.

    Example:
        >>> Scenarios.load().scenario("phone-4g").cloud_round_trip_ms
        90.0
    """

    phones: Mapping[str, Phone]
    edges: Mapping[str, EdgeBox]
    clouds: Mapping[str, CloudServer]
    links: Mapping[str, Link]
    protocol: Overhead
    scenarios: Mapping[str, _Names] = Field(min_length=1)

    @model_validator(mode="after")
    def _parts_exist(self) -> Self:
        for name, parts in self.scenarios.items():
            for kind in ("phone", "edge", "cloud", "link"):
                chosen, known = getattr(parts, kind), getattr(self, f"{kind}s")
                if chosen not in known:
                    raise ValueError(
                        f"scenarios.{name}.{kind}: there is no [{kind}s.{chosen}]; "
                        f"there are {', '.join(known) or 'none'}"
                    )
        return self

    @classmethod
    def load(cls, path: Path | None = None) -> Self:
        """Read a TOML file; the one that comes with dimec by default.

        Raises:
            ConfigError: no such file, not TOML, or a setting is missing, unknown or out of range;
                the message names it.
        """
        if path is None:
            content, where = (
                files("dimec.tiers").joinpath("scenarios.toml").read_bytes(),
                "scenarios",
            )
        else:
            where = str(path)
            try:
                content = Path(path).read_text("utf-8").encode()
            except (OSError, UnicodeDecodeError) as error:
                raise ConfigError(
                    f"cannot read the scenarios {path}: {error}; give a copy of dimec's "
                    "scenarios.toml, edited"
                ) from None
        try:
            values = parse_toml(content)
        except ValueError as error:
            raise ConfigError(f"{where} is not valid TOML: {error}") from None
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise ConfigError(f"{where}: {_one_line(error)}") from None

    @property
    def names(self) -> tuple[str, ...]:
        """Of the scenarios, in the file's order."""
        return tuple(self.scenarios)

    def scenario(self, name: str) -> Scenario:
        """The scenario of that name.

        Raises:
            ConfigError: there is none; says which there are.
        """
        if name not in self.scenarios:
            raise ConfigError(f"no scenario is named {name!r}; there are {', '.join(self.names)}")
        parts = self.scenarios[name]
        return Scenario(
            name,
            self.phones[parts.phone],
            self.edges[parts.edge],
            self.clouds[parts.cloud],
            self.links[parts.link],
            self.protocol,
            parts.lone_share,
        )

    def all(self) -> tuple[Scenario, ...]:
        """Every scenario, in the file's order."""
        return tuple(self.scenario(name) for name in self.names)


def _one_line(error: ValidationError) -> str:
    """``links.4g.round_trip_ms.value: input should … (got -1)`` for each wrong setting."""
    parts = []
    for item in error.errors():
        where = ".".join(str(part) for part in item["loc"])
        message = item["msg"].removeprefix("Value error, ")
        if not where:  # of the whole file; the message says where
            parts.append(message)
        else:
            got = "" if item["type"] == "missing" else f" (got {quoted(item['input'], 100)})"
            parts.append(f"{where}: {message[0].lower()}{message[1:]}{got}")
    return "; ".join(parts)


class Replayed(Protocol):
    """What a table needs of a replay; :class:`dimec.evaluation.evaluate.Replay` has it."""

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
    return [
        {
            "policy": one.policy,
            "scenario": scenario.name,
            **summarise(scenario.price(one.usage, lengths, shape)),
        }
        for one in replays
        for scenario in scenarios
    ]
