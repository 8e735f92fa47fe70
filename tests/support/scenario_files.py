"""A scenario of round figures, and scenarios drawn at random."""

from __future__ import annotations

import copy
from typing import Any

import tomli_w
from hypothesis import strategies as st

from dimec.tiers.scenario_file import Scenarios
from dimec.tiers.scenarios import Scenario

PLAIN: dict[str, dict[str, dict[str, float]]] = {
    # 1 Mop a millisecond, 2 W
    "phones": {"phone": {"flops_per_second": 1e9, "watts": 2.0}},
    # (8766 USD over a year of 8766 h + 1 kW at 0.5 USD) = 1.5 USD an hour, half of it used: 3
    "edges": {
        "box": {
            "flops_per_second": 1e10,
            "purchase_usd": 8766.0,
            "lifetime_years": 1.0,
            "watts": 1000.0,
            "usd_per_kwh": 0.5,
            "utilisation": 0.5,
        }
    },
    # 3.6 USD an hour, a quarter of it used: 0.004 USD a second
    "clouds": {
        "server": {
            "flops_per_second": 1e11,
            "usd_per_hour": 3.6,
            "utilisation": 0.25,
            "extra_round_trip_ms": 30.0,
        }
    },
    # 1 byte a microsecond up, 2 down
    "links": {
        "line": {
            "up_mbit_per_second": 8.0,
            "down_mbit_per_second": 16.0,
            "round_trip_ms": 50.0,
            "base_milliwatts": 1000.0,
            "send_slope": 500.0,
            "receive_slope": 250.0,
            "wake_millijoules": 600.0,
            "usd_per_gigabyte": 2.0,
        }
    },
}
OVERHEAD = {"up_bytes": 1000.0, "down_bytes": 500.0}


def contents(lone_share: float = 0.0, **changes: float) -> dict[str, Any]:
    """A file's contents; ``links__line__send_slope=3`` changes a figure."""
    values: dict[str, Any] = copy.deepcopy(PLAIN) | {"protocol": dict(OVERHEAD)}
    for key, value in changes.items():
        *path, last = key.split("__")
        place = values
        for part in path:
            place = place[part]
        assert last in place
        place[last] = value
    filled: dict[str, Any] = {
        kind: {name: _figures(part) for name, part in parts.items()}
        for kind, parts in values.items()
        if kind != "protocol"
    }
    filled["protocol"] = _figures(values["protocol"])
    names = {"phone": "phone", "edge": "box", "cloud": "server", "link": "line"}
    filled["scenarios"] = {"plain": {**names, "lone_share": lone_share}}
    return filled


def _figures(part: dict[str, float]) -> dict[str, Any]:
    return {name: {"value": value, "source": "a test"} for name, value in part.items()}


def plain(lone_share: float = 0.0, **changes: float) -> Scenario:
    """The scenario of those contents."""
    return Scenarios.model_validate(contents(lone_share, **changes)).scenario("plain")


def toml(**changes: float) -> str:
    """The same as the text of a file."""
    return tomli_w.dumps(contents(**changes))


@st.composite
def scenarios(draw: st.DrawFn) -> Scenario:
    """Scenarios with every figure drawn anew, rates over five orders of magnitude."""

    def figure(low: float, high: float) -> float:
        return draw(st.floats(low, high))

    return plain(
        figure(0, 1),
        phones__phone__flops_per_second=10 ** figure(8, 13),
        phones__phone__watts=figure(0, 20),
        edges__box__flops_per_second=10 ** figure(8, 13),
        clouds__server__flops_per_second=10 ** figure(8, 13),
        clouds__server__extra_round_trip_ms=figure(0, 200),
        links__line__up_mbit_per_second=10 ** figure(-2, 4),
        links__line__down_mbit_per_second=10 ** figure(-2, 4),
        links__line__round_trip_ms=figure(0, 500),
        links__line__base_milliwatts=figure(0, 5000),
        links__line__send_slope=figure(0, 1000),
        links__line__receive_slope=figure(0, 1000),
        links__line__wake_millijoules=figure(0, 20000),
        protocol__up_bytes=figure(0, 5000),
        protocol__down_bytes=figure(0, 5000),
    )
