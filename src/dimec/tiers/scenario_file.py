"""Scenarios as a file has them: figures with their sources, parts by name, scenarios of parts."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, ValidationError, model_validator

from dimec.base.errors import ConfigError, quoted
from dimec.base.storage import parse_toml
from dimec.tiers.devices import CloudServer, EdgeBox, Figures, Link, Overhead, Phone
from dimec.tiers.scenarios import Scenario


class _Names(Figures):
    """A scenario, by the names of its parts."""

    phone: str
    edge: str
    cloud: str
    link: str
    lone_share: Annotated[float, Field(ge=0, le=1)] = 0.0


class Scenarios(Figures):
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
                if Path(path).exists() and not Path(path).is_file():  # a device has no end
                    raise ConfigError(f"cannot read the scenarios {path}: it is no regular file")
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
