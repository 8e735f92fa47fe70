"""The tables of the simulated fleet in the documentation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dimec_studies.markdown import table

Result = Mapping[str, Any]


def fleet_tables(result: Result) -> dict[str, str]:
    """Markdown tables of a stored result, by the name in their marker."""
    return {
        "fleet-policies": _policies(result),
        "fleet-sharing": _sharing(result),
        "fleet-layers": _layers(result),
    }


def _policies(result: Result) -> str:
    header = [
        *("policy", "accuracy %", "cost, λ", "p50 ms", "p99 ms", "mJ", "USD / 1,000"),
        *("edge busy %", "cloud busy %", "edge servers", "cloud servers"),
    ]
    rows = [
        [
            str(one["policy"]),
            _told(one["accuracy"], 100, 2),
            _told(one["cost"], 1, 3),
            _told(one["latency_p50_ms"], 1, 1),
            _told(one["latency_p99_ms"], 1, 0),
            _told(one["millijoules"], 1, 0),
            _told(one["usd_per_1000"], 1, 3),
            *_servers(one),
        ]
        for one in result["policies"]
    ]
    return table(header, rows)


def _layers(result: Result) -> str:
    header = [
        *("m", "n", "accuracy %", "cost, λ", "reduction %", "p50 ms", "p99 ms", "mJ"),
        *("edge busy %", "cloud busy %", "edge servers", "cloud servers"),
    ]
    rows = [
        [
            str(one["m"]),
            str(one["n"]),
            _told(one["accuracy"], 100, 2),
            _told(one["cost"], 1, 3),
            _told(one["reduction"], 100, 1),
            _told(one["latency_p50_ms"], 1, 1),
            _told(one["latency_p99_ms"], 1, 0),
            _told(one["millijoules"], 1, 0),
            *_servers(one),
        ]
        for one in result["layers"]
    ]
    return table(header, rows, texts=0)


def _servers(one: Result) -> list[str]:
    busy = [_told(one[f"{tier}_utilisation"], 100, 1) for tier in ("edge", "cloud")]
    return busy + [_told(one[f"{tier}_servers_taken"], 1, 1) for tier in ("edge", "cloud")]


def _sharing(result: Result) -> str:
    header = [
        *("mobiles", "centres", "accuracy %", "cost, λ", "apart"),
        *("accuracy over alone, points", "cost over alone", "reward over alone, points"),
        "in the first hour, points",
    ]
    rows = [
        [
            str(one["mobiles"]),
            str(one["way"]),
            _told(one["accuracy"], 100, 2),
            _told(one["cost"], 1, 3),
            _told(one["dispersion"], 1, 3) if "dispersion" in one else "",
            *_gains(one),
        ]
        for one in result["sharing"]
    ]
    return table(header, rows, texts=2)


def _gains(one: Result) -> list[str]:
    if one["way"] == "alone":
        return [""] * 4
    return [
        _told(one["accuracy_gain"], 100, 3, signed=True),
        _told(one["cost_gain"], 1, 4, signed=True),
        _told(one["reward_gain"], 100, 3, signed=True),
        _told(one["reward_first_hour_gain"], 100, 3, signed=True),
    ]


def _told(pair: Sequence[float], scale: float, digits: int, signed: bool = False) -> str:
    """A mean and half the width of its interval."""
    mean, half = (scale * one for one in pair)
    sign = "+" if signed else ""
    return f"{mean:{sign}.{digits}f} ± {half:.{digits}f}"
