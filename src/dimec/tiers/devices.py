"""Phones, edge boxes, cloud servers and links: their figures, each with its source."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

_SECONDS_PER_HOUR = 3600.0
_HOURS_PER_YEAR = 365.25 * 24


class Figures(BaseModel):
    """Settings that are known by name, and finite."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Amount(Figures):
    """A figure of at least 0, and where it comes from."""

    value: float = Field(ge=0)
    source: str = Field(min_length=1)


class Positive(Amount):
    """A figure above 0: something is divided by it."""

    value: float = Field(gt=0)


class Share(Amount):
    """A figure above 0 and of at most 1."""

    value: float = Field(gt=0, le=1)


class Phone(Figures):
    """The mobile: effective FLOP/s on transformer layers, and watts while it computes."""

    flops_per_second: Positive
    watts: Amount


class EdgeBox(Figures):
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


class CloudServer(Figures):
    """A machine that is hired by the hour; ``extra_round_trip_ms`` is beyond that to the edge."""

    flops_per_second: Positive
    usd_per_hour: Amount
    utilisation: Share
    extra_round_trip_ms: Amount

    @property
    def usd_per_second(self) -> float:
        """Of computing."""
        return self.usd_per_hour.value / _SECONDS_PER_HOUR / self.utilisation.value


class Link(Figures):
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


class Overhead(Figures):
    """Bytes of a request and of its answer beyond the payload."""

    up_bytes: Amount
    down_bytes: Amount
