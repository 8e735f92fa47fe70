"""The tables of the contract's resplits in the documentation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dimec_studies.contract_tables import TESTS
from dimec_studies.markdown import table

Result = Mapping[str, Any]

_BOUNDS = ("exact", "betting", "clopper-pearson", "disagreement", "hoeffding-bentkus")


def tables(result: Result) -> dict[str, list[str]]:
    """Lines of Markdown tables of a stored result, by the name in their marker."""
    made = {
        "contract-resplits": _resplits(result),
        "contract-bounds": _bounds(result),
        "contract-boundary": _boundary(result),
        "contract-nested": _nested(result),
        "contract-drift": _drift(result),
    }
    return {name: text.splitlines() for name, text in made.items()}


def _by_setting(result: Result) -> dict[tuple[str, float, int], dict[str, Result]]:
    found: dict[tuple[str, float, int], dict[str, Result]] = {}
    for one in result["resplits"]:
        found.setdefault((one["task"], one["max_drop"], one["rows"]), {})[one["test"]] = one
    return dict(sorted(found.items()))


def _resplits(result: Result) -> str:
    header = [
        "task",
        "Δ, points",
        "rows",
        "broken %",
        "accepted %",
        "saved %",
        "broken % without a promise",
        "saved % without a promise",
        "saved % at best",
        "the promise costs, points",
    ]
    rows = []
    for setting, by in _by_setting(result).items():
        promised, nothing, known = by["exact"], by["nothing"], by["known"]
        rows.append(
            [
                *_setting(setting),
                _rate(promised),
                f"{100 * promised['accepted']:.1f}",
                f"{100 * promised['saved']:.1f}",
                f"{100 * nothing['broken'] / nothing['resplits']:.1f}",
                f"{100 * nothing['saved']:.1f}",
                f"{100 * known['saved']:.1f}",
                f"{100 * (known['saved'] - promised['saved']):.1f}",
            ]
        )
    return table(header, rows)


def _setting(setting: tuple[str, float, int]) -> list[str]:
    task, delta, n = setting
    return [task, f"{100 * delta:g}", f"{n:,}"]


def _rate(one: Result) -> str:
    share = one["broken"] / one["resplits"]
    return f"{100 * share:.1f} ({100 * one['low']:.1f} to {100 * one['high']:.1f})"


def _bounds(result: Result) -> str:
    """Saved under each test, and the largest share of broken contracts of each in the last line."""
    settings = _by_setting(result)
    header = ["task", "Δ, points", "rows", *(TESTS[name] for name in _BOUNDS)]
    rows = [
        [*_setting(setting), *(f"{100 * by[name]['saved']:.1f}" for name in _BOUNDS)]
        for setting, by in settings.items()
    ]
    worst = [
        max(by[name]["broken"] / by[name]["resplits"] for by in settings.values())
        for name in _BOUNDS
    ]
    rows.append(["broken % at most", "", "", *(f"{100 * share:.1f}" for share in worst)])
    return table(header, rows)


def _boundary(result: Result) -> str:
    lines: dict[tuple[str, int], dict[str, Result]] = {}
    for one in result["boundary"]:
        lines.setdefault((one["task"], one["rows"]), {})[one["test"]] = one
    names = [name for name in _BOUNDS if name != "disagreement"]
    header = ["task", "rows", "resplits", *(TESTS[name] for name in names), "exact, along the path"]
    rows = [
        [
            task,
            f"{n:,}",
            f"{by['exact']['alone']['resplits']:,}",
            *(_rate(by[name]["alone"]) for name in names),
            _rate(by["exact"]["along"]),
        ]
        for (task, n), by in lines.items()
    ]
    return table(header, rows)


def _nested(result: Result) -> str:
    lines: dict[tuple[int, float, float], dict[str, Result]] = {}
    for one in result["nested"]:
        key = one["rows"], one["max_drop"], one["discordant"]
        lines.setdefault(key, {})[one["test"]] = one
    names = [name for name in TESTS if any(name in by for by in lines.values())]
    header = ["rows", "Δ, points", "discordant %"]
    header += [TESTS[name] for name in names]
    header += ["exact, along the path", "exact, each for itself"]
    rows = [
        [
            f"{n:,}",
            f"{100 * delta:g}",
            f"{100 * share:g}",
            *(_share(by[name], "alone") for name in names),
            _share(by["exact"], "along"),
            _share(by["exact"], "any"),
        ]
        for (n, delta, share), by in lines.items()
    ]
    return table(header, rows, texts=0)


def _share(one: Result, which: str) -> str:
    return f"{100 * one[which] / one['draws']:.1f}"


def _drift(result: Result) -> str:
    audits = result["how"]["audits"]
    header = [
        "task",
        "drift",
        "different %: before, after",
        "drop, points: before, after",
        "in vain %",
        "has spoken %",
        "audited rows until it speaks: 10 %, median, 90 %",
        f"texts at an audit of {100 * audits['share']:g} %, median",
    ]
    rows = [
        [
            one["task"],
            _kind(one),
            _pair(one, "different"),
            _pair(one, "drop"),
            *_either(one["monitors"]["either"], audits, one["kind"] != "none"),
        ]
        for one in result["drift"]
    ]
    return table(header, rows, texts=2)


def _kind(one: Result) -> str:
    strength = one["strength"]
    if one["kind"] == "harder texts":
        return f"harder texts, {strength:g} times"
    return f"worse device, {100 * strength:g} %" if one["kind"] == "worse device" else "none"


def _pair(one: Result, what: str) -> str:
    before, after = (100 * one[f"{what}_{when}"] for when in ("before", "after"))
    return f"{before:.2f}, {after:.2f}" if one["kind"] != "none" else f"{before:.2f}"


def _either(monitor: Result, audits: Result, drifts: bool) -> Sequence[str]:
    vain = f"{100 * monitor['in_vain']:.1f}"
    if not drifts:
        return [vain, "", "", ""]
    over = f"over {audits['audited']:,}"
    delays = [over if delay is None else f"{delay:,}" for delay in monitor["delay"]]
    median = monitor["delay"][1]
    texts = "" if median is None else f"{round(median / audits['share']):,}"
    return [vain, f"{100 * monitor['spoken']:.1f}", ", ".join(delays), texts]
