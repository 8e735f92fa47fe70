"""The tables of the contract's simulations in the documentation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dimec_studies.markdown import table

Result = Mapping[str, Any]

TESTS = {
    "exact": "exact",
    "betting": "betting",
    "clopper-pearson": "Clopper-Pearson pair",
    "disagreement": "different answers",
    "hoeffding-bentkus": "Hoeffding-Bentkus",
    "normal": "normal interval (not valid)",
}


def contract_tables(result: Result) -> dict[str, str]:
    """Markdown tables of a stored result, by the name in their marker."""
    return {
        "contract-power": _power(result),
        "contract-violations": _violations(result),
        "contract-monitor": _monitor(result),
    }


def _power(result: Result) -> str:
    header = ["rows", "Δ, points", "discordant %", "true drop, points", *TESTS.values()]
    rows = [
        [*_setting(one), f"{100 * one['true_drop']:g}", *_accepted(one)]
        for one in result["tests"]
        if one["true_drop"] < one["max_drop"]
    ]
    return table(header, rows, texts=0)


def _violations(result: Result) -> str:
    header = ["rows", "Δ, points", "discordant %", *TESTS.values()]
    rows = [
        [*_setting(one), *_accepted(one)]
        for one in result["tests"]
        if one["true_drop"] == one["max_drop"]
    ]
    return table(header, rows, texts=0)


def _setting(one: Result) -> list[str]:
    share = one["discordant"]
    worst = "the worst" if share is None else f"{100 * share:g}"
    return [f"{one['rows']:,}", f"{100 * one['max_drop']:g}", worst]


def _accepted(one: Result) -> list[str]:
    return [
        "" if (share := one["accepted"].get(name)) is None else f"{100 * share:.1f}"
        for name in TESTS
    ]


def _monitor(result: Result) -> str:
    header = [
        "watched",
        "bound %",
        "before %",
        "after %",
        "rows before",
        "false alarms %",
        "has spoken %",
        "rows until it speaks: 10 %, median, 90 %",
    ]
    most = result["plan"]["audited"]
    rows = []
    for one in result["monitors"]:
        drifts = one["before"] != one["after"]
        delays = [f"{delay:,}" if delay is not None else f"over {most:,}" for delay in one["delay"]]
        rows.append(
            [
                one["what"],
                *(f"{100 * one[key]:.3g}" for key in ("bound", "before", "after")),
                f"{one['peace']:,}",
                f"{100 * one['false_alarms']:.1f}",
                f"{100 * one['spoken']:.1f}" if drifts else "",
                ", ".join(delays) if drifts else "",
            ]
        )
    return table(header, rows)
