"""``fleet.toml``: all that determines a simulation."""

from __future__ import annotations

import math
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Literal, Self, TypeAlias

from pydantic import Field, ValidationError, model_validator

from dimec.base.errors import ConfigError, quoted
from dimec.base.storage import parse_toml
from dimec.fleet.arrivals import DAY
from dimec.settings.base import Settings

Above: TypeAlias = Annotated[float, Field(gt=0)]
AtLeast: TypeAlias = Annotated[float, Field(ge=0)]
Whole: TypeAlias = Annotated[int, Field(ge=1)]
Share: TypeAlias = Annotated[float, Field(ge=0, le=1)]


class Texts(Settings):
    """``[texts]``: how texts arise; see :class:`dimec.fleet.arrivals.Rhythm`."""

    rhythm: Literal["poisson", "diurnal", "bursty"] = "poisson"
    per_hour: Above = 10.0
    spread: AtLeast = 0.0
    day: tuple[AtLeast, ...] = DAY
    starts_at: Annotated[float, Field(ge=0, lt=24)] = 0.0
    busy_share: Annotated[float, Field(gt=0, lt=1)] = 0.1
    busy_times: Annotated[float, Field(ge=1)] = 10.0
    busy_minutes: Above = 10.0
    likeness: Above | None = None  # None: every mobile has the fleet's mixture


class Population(Settings):
    """``[[populations]]``: texts of a kind, and when how many of the fleet's are of it.

    Attributes:
        name: of the population.
        trace: traces of the collection, or a run directory with ``run``.
        run: a run directory that was trained.
        rows: which test rows: all, the shorter or the longer half, or those of one class.
        shares: (hour, share) pairs, linear between; a number holds throughout.
    """

    name: str
    trace: str | None = None
    run: str | None = None
    rows: str = "all"
    shares: tuple[tuple[float, AtLeast], ...] | AtLeast = 1.0

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.trace is None) == (self.run is None):
            raise ValueError('expected trace = "NAME" or run = "FOLDER", one of the two')
        if self.rows not in ("all", "short", "long") and not self.rows.startswith("class:"):
            raise ValueError(
                f"rows must be all, short, long or class:NAME, got {quoted(self.rows)}"
            )
        return self


class Policy(Settings):
    """``[policy]``: the system that decides, fitted to each trace's validation split."""

    system: str = "cascade"
    lam: Annotated[float, Field(ge=0)] = 0.02
    settings: dict[str, bool | int | float | str] = Field(default_factory=dict)


class Links(Settings):
    """``[links]``: scenarios by name with the share of the time on each; ``none`` is no link.

    Attributes:
        measured: a CSV file of recordings (:mod:`dimec.fleet.recordings`) in place of what is
            drawn; ``shares`` names the one scenario whose radio and prices these have.
    """

    shares: dict[str, AtLeast] = Field(default_factory=lambda: {"phone-4g": 1.0})
    measured: str | None = None
    minutes: Above = 20.0
    trip_spread: AtLeast = 0.3
    rate_spread: AtLeast = 0.5
    timeout_seconds: Above = 10.0
    fallback: Literal["accuracy", "cost"] = "accuracy"

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not sum(self.shares.values()) > 0 or set(self.shares) == {"none"}:
            raise ValueError("shares must name a scenario with a share above 0")
        if self.measured is not None and (len(self.shares) != 1 or "none" in self.shares):
            raise ValueError(
                "measured links need shares of one scenario, whose radio and prices are theirs"
            )
        return self


class Outages(Settings):
    """Failures of a station: exponential times between them, and of each."""

    hours_between: Above
    minutes: Above


class AutoScaling(Settings):
    """See :class:`dimec.fleet.stations.Scaling`."""

    least: Whole = 1
    most: Whole = 20
    target: Annotated[float, Field(gt=0, le=1)] = 0.6
    period_seconds: Above = 15.0
    start_seconds: AtLeast = 60.0
    calm_periods: Whole = 20


class TierSettings(Settings):
    """``[tiers.NAME]``: the stations of a tier behind the phone.

    Attributes:
        stations: with a queue each; a mobile is bound to one of them.
        servers: of each station.
        queue: how many may wait at each; none by default stands for no limit.
        speed: of a server, times the scenario's machine; 0.1 is a tenth of it.
        overhead_ms: that an asking takes of a server beside the layers: HTTP, checks, tokens.
        batch: most askings that a server takes in one run.
        row_share: of its work that each further row adds to a run; see dimec.fleet.batches.
        scaling, outages: none by default.
    """

    stations: Whole = 1
    servers: Whole = 1
    queue: Annotated[int, Field(ge=0)] | None = None
    speed: Above = 1.0
    overhead_ms: AtLeast = 0.0
    batch: Whole = 1
    row_share: Share = 1.0
    scaling: AutoScaling | None = None
    outages: Outages | None = None

    @property
    def limit(self) -> float:
        """How many may wait."""
        return math.inf if self.queue is None else self.queue


class Sharing(Settings):
    """``[sharing]``: rounds in which mobiles share their adaptive centres."""

    rounds_per_day: Above = 4.0
    dropout: Share = 0.2
    weight: Literal["counts", "mobiles"] = "counts"


class Sizing(Settings):
    """``[sizing]``: what a tier must be sized for."""

    wait_ms: Above = 50.0
    percentile: Annotated[float, Field(gt=0, lt=100)] = 99.0


class FleetSettings(Settings):
    """A file of a simulation."""

    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    mobiles: Whole = 1000
    hours: Above = 24.0
    scenarios: str | None = None
    texts: Texts = Texts()
    populations: Annotated[tuple[Population, ...], Field(min_length=1)]
    policy: Policy = Policy()
    links: Links = Links()
    tiers: dict[str, TierSettings] = Field(default_factory=dict)
    sharing: Sharing | None = None
    layers: tuple[tuple[Whole, Whole], ...] = ()  # pairs m, n of the sweep
    sizing: Sizing = Sizing()

    def tier(self, name: str) -> TierSettings:
        """Those of a tier behind the phone."""
        return self.tiers.get(name, TierSettings())

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a TOML file.

        Raises:
            ConfigError: no such file, not TOML, or a setting is missing, unknown or out of range.
        """
        try:
            if path.exists() and not path.is_file():
                raise ConfigError(f"cannot read the fleet {path}: it is no regular file")
            content = path.read_bytes()
        except OSError as error:
            raise ConfigError(
                f"cannot read the fleet {path}: {error.strerror}; dimec simulate --example prints "
                "one to begin with"
            ) from None
        return cls.parse(content, str(path))

    @classmethod
    def parse(cls, content: bytes, where: str) -> Self:
        """The same of a file's content; ``where`` names it in an error."""
        try:
            return cls.model_validate(parse_toml(content))
        except ValidationError as error:
            raise ConfigError(f"{where}: {_told(error)}") from None
        except ValueError as error:
            raise ConfigError(f"{where} is not valid TOML: {error}") from None


def example() -> str:
    """A file with every setting, commented."""
    return files("dimec.fleet").joinpath("example.toml").read_text("utf-8")


def _told(error: ValidationError) -> str:
    parts = []
    for item in error.errors():
        where = ".".join(map(str, item["loc"])) or "the file"
        message = item["msg"].removeprefix("Value error, ")
        got = (
            "" if item["type"] in ("missing", "value_error") else f" (got {quoted(item['input'])})"
        )
        parts.append(f"{where}: {message[0].lower()}{message[1:]}{got}")
    return "; ".join(parts[:3])
