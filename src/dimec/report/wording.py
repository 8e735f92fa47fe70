"""The report's numbers and sentences, in plain language; shared by the terminal and the page.

All functions are pure. Fractions come in, percent and points go out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dimec.cartography import pool_names
from dimec.tiers.names import TIER_NAMES
from dimec.tiers.pricing import Pricing

if TYPE_CHECKING:
    from dimec.evaluation.ledger import Ledger, LedgerRow

_SAME = 1e-9  # two fractions closer than this are the same value

_PLACES = {"mobile": "on the mobile", "edge": "at the edge", "cloud": "in the cloud"}
METRIC_TITLES = {"matthews": "Matthews", "f1": "F1", "accuracy": "accuracy"}


def percent(fraction: float, digits: int = 1) -> str:
    """``0.3412`` → ``"34.1"``; never ``"-0.0"``; ``"n/a"`` for a value that is not finite."""
    if not math.isfinite(fraction):
        return "n/a"
    return f"{round(100 * fraction, digits) + 0.0:.{digits}f}"


def number(value: float, digits: int = 2) -> str:
    """A cost or a metric with a fixed number of digits; ``"n/a"`` where it is not finite."""
    return f"{round(value, digits) + 0.0:.{digits}f}" if math.isfinite(value) else "n/a"


def interval(low: float, high: float) -> str:
    """A 95 % interval in percent, ``"1.2 to 3.8"``; a dash where no draw changes the value."""
    if not (math.isfinite(low) and math.isfinite(high)):
        return "n/a"
    if abs(high - low) < _SAME:
        return "-"
    return f"{percent(low)} to {percent(high)}"


def minus(text: str) -> str:
    """A hyphen that stands before a digit becomes a proper minus sign."""
    return "".join(
        "\N{MINUS SIGN}" if char == "-" and text[k + 1 : k + 2].isdigit() else char
        for k, char in enumerate(text)
    )


def setting(value: Any) -> str:
    """A setting as a person writes it: short floats, thousands separated, lists with commas."""
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "none"}[value]
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, list | tuple):
        return ", ".join(setting(item) for item in value)
    return str(value)


def join(words: list[str]) -> str:
    """``["a", "b", "c"]`` → ``"a, b and c"``."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 2 else words)


def find_row(ledger: Ledger, policy: str) -> LedgerRow | None:
    """The row of ``policy``, or None where the ledger has none."""
    return next((row for row in ledger.rows if row.policy == policy), None)


def router_names(ledger: Ledger) -> list[str]:
    """The policies that stand beside a random one with the same shares."""
    names = {row.policy for row in ledger.rows}
    return [row.policy for row in ledger.rows if f"random@{row.policy}" in names]


def fitted_names(ledger: Ledger) -> list[str]:
    """The policies that the run is about: its routers, or the system that it was fitted with."""
    own, names = _own_policy(ledger.context), router_names(ledger)
    if own is None or own in names or find_row(ledger, own) is None:
        return names
    return [*names, own]


def _own_policy(context: Mapping[str, Any]) -> str | None:
    """The row of the system that the run was fitted with; None for the paper's router."""
    name: str | None = context.get("policy", context.get("system"))
    return name


def ledger_notes(ledger: Ledger) -> list[str]:
    """What a reader must know to read the ledger: sizes, settings, the charge γ, the intervals."""
    context = ledger.context
    notes = [_sizes(context), _settings(context)]
    costs = context.get("costs", {})  # None where tiers have prices of their own
    charge = context.get("cloud_charge")
    if charge is not None and costs is not None and len(ledger.tiers) > 1:
        was_set = costs.get("cloud_charge") is not None
        whose = "was set for this run" if was_set else "is dimec's choice, not the paper's"
        notes.append(
            f"The {ledger.tiers[-1]} charge γ = {setting(charge)} λ {whose}: the paper gives no "
            "value."
        )
    if pricing := context.get("pricing"):
        notes.append(Pricing.of_json(pricing).told())
    draws = context.get("draws")
    how = f"95 % paired bootstrap intervals{f' over {setting(draws)} draws' if draws else ''}"
    notes.append(
        "Drop (points of accuracy) and reduction (percent of cost) are against "
        f"{ledger.reference}, with {how}; a dash stands where no draw changes the value."
    )
    names = {row.policy for row in ledger.rows}
    if routers := router_names(ledger):
        notes.append(
            f"{join([f'random@{name}' for name in routers])}: random routing with the same tier "
            "shares as the router, as an expected value."
        )
        notes += _gains([row for row in ledger.rows if row.policy in routers])
    if "oracle" in names:
        notes.append("The oracle sees the labels: a bound, not something that can be deployed.")
    return [note for note in notes if note]


def _gains(rows: Sequence[LedgerRow]) -> list[str]:
    """What each router gains over random routing with its shares, where that is known."""
    told = [
        f"{row.policy} {percent(row.gain)}{_gain_interval(row)[0]}"
        for row in rows
        if row.gain is not None
    ]
    return [f"Points gained over random with the same shares: {join(told)}."] if told else []


def _sizes(context: Mapping[str, Any]) -> str:
    parts = [
        f"{setting(context[key])} {words}"
        for key, words in (("train_rows", "training rows"), ("samples", "test rows"))
        if context.get(key) is not None
    ]
    sizes = f"Sizes: {join(parts)}." if parts else ""
    source = f"Source: {context['source']}." if context.get("source") else ""
    return f"{sizes} {source}".strip()


def _settings(context: Mapping[str, Any]) -> str:
    parts = []
    if exits := context.get("exits"):
        parts.append(f"exits {exits_told(context) or setting(exits)}")
    if prices := context.get("prices"):
        parts.append(f"prices {setting([float(p) for p in prices])} λ")
    parts += [
        f"{words} {setting(context[key])}"
        for key, words in (("alpha", "α"), ("beta", "β"), ("lam", "λ"), ("grid", "grid"))
        if context.get(key) is not None
    ]
    if system := _own_policy(context):
        told = [f"{key} {setting(value)}" for key, value in context.get("settings", {}).items()]
        parts.append(f"fitted policy {system}{f' ({join(told)})' if told else ''}")
    return f"Settings: {'; '.join(parts)}." if parts else ""


def exits_told(context: Mapping[str, Any]) -> str:
    """``phone 2 of minilm-l6, cloud 12 of mpnet-base``; nothing where tiers share one model."""
    models: Mapping[str, str] = context.get("models") or {}
    told = [
        f"{tier['name']} {tier['layer']} of {models[tier['name']]}"
        for tier in context.get("tiers", [])
        if tier["name"] in models
    ]
    return ", ".join(told)


def pool_sentences(pools: NDArray[np.int64], tiers: Sequence[str] = TIER_NAMES) -> list[str]:
    """How the validation samples fall into pools; an empty pool is said in words."""
    counts, names = np.bincount(pools, minlength=len(tiers)), pool_names(tiers)
    sizes = [f"{setting(int(n))} {name}" for n, name in zip(counts, names, strict=True)]
    sentences = [f"The {setting(len(pools))} validation samples are {join(sizes)}."]
    sentences += [
        f"The {pool} pool is empty: the {tier} gets no traffic."
        for pool, tier, n in zip(names, tiers, counts, strict=True)
        if n == 0
    ]
    return sentences


def summary(ledger: Ledger, pools: NDArray[np.int64] | None) -> list[str]:
    """The report's opening paragraphs, computed from the ledger and the pools, if there are any."""
    paragraphs = single_tier_sentences(ledger) + [
        router_paragraph(row, find_row(ledger, f"random@{name}"))
        for name in fitted_names(ledger)
        if (row := find_row(ledger, name))
    ]
    if oracle := find_row(ledger, "oracle"):
        paragraphs.append(
            "An oracle that sees the labels, which no router can reach, "
            f"{_saving(oracle)} and {_drop(oracle)}."
        )
    if pools is None:
        system = _own_policy(ledger.context) or "the fitted policy"
        return [
            *paragraphs,
            f"{system} was not fitted to pools of the data map, so the data map, the embeddings of "
            "the pools and their shares are left out.",
        ]
    return [*paragraphs, " ".join(pool_sentences(pools, ledger.tiers))]


def single_tier_sentences(ledger: Ledger) -> list[str]:
    """What has to be said first: that a single tier is cheaper than a router and at least as good.

    At least as good: in accuracy and in the task's own score. One sentence for each such tier, with
    the routers that it beats; of several tiers that beat a router, the cheapest.
    """
    beaten: dict[str, list[LedgerRow]] = {}
    for router in (find_row(ledger, name) for name in fitted_names(ledger)):
        singles = [row for tier in ledger.tiers if (row := find_row(ledger, f"all-{tier}"))]
        better = [row for row in singles if router is not None and _beats(row, router)]
        if router is not None and better:
            beaten.setdefault(min(better, key=lambda row: row.cost).policy, []).append(router)
    needed = "router" if fitted_names(ledger) == router_names(ledger) else "policy"
    return [_single_tier(ledger.row(name), rows, needed) for name, rows in beaten.items()]


def _beats(single: LedgerRow, router: LedgerRow) -> bool:
    return (
        single.cost < router.cost - _SAME
        and single.drop <= router.drop + _SAME
        and single.metric >= router.metric - _SAME
    )


def _single_tier(single: LedgerRow, routers: Sequence[LedgerRow], needed: str) -> str:
    tier = single.policy.removeprefix("all-")
    names = join([row.policy for row in routers])
    costs = join(list(dict.fromkeys(number(row.cost) for row in routers)))
    return (
        f"No {needed} is needed on these test rows: the {tier} alone ({single.policy}) is cheaper "
        f"than {names} and at least as good. It costs {number(single.cost)} λ an answer in place "
        f"of {costs} λ, and {_drop(single)}."
    )


def router_paragraph(row: LedgerRow, matched: LedgerRow | None = None) -> str:
    """What one policy saves and loses, and whether a router beats random with the same shares.

    Args:
        row: of the policy.
        matched: of random routing with its shares; None where it is no router, which may visit
            several tiers before it answers, so that random routing has other costs.
    """
    shares = [(share, _PLACES.get(t, f"on the {t}")) for t, share in row.shares.items()]
    everywhere = [where for share, where in shares if abs(share - 1) < _SAME]
    text = f"{row.policy} {_saving(row, of_what=True)} and {_drop(row)}"
    if row.drop_low <= 0 <= row.drop_high and row.drop_high - row.drop_low > _SAME:
        text += "; the interval includes 0, so these test rows do not show that accuracy changes"
    if everywhere and matched is None:
        return f"{text}. It answers every input {everywhere[0]}."
    if everywhere:
        return (
            f"{text}. It answers every input {everywhere[0]}, and random routing with the same "
            "shares does exactly that too: nothing is routed."
        )
    answered = join([f"{percent(share)} % {where}" for share, where in shares])
    against = "" if matched is None else f" {_against_random(row, matched)}"
    return f"{text}. Of the inputs, it answers {answered}.{against}"


def _saving(row: LedgerRow, *, of_what: bool = False) -> str:
    amount = percent(abs(row.reduction))
    last = list(row.shares)[-1]
    everything = f" sending everything to the {last}" if of_what else f" all-{last}"
    if amount in ("0.0", "n/a"):
        return f"costs as much as{everything}" if amount == "0.0" else "has no known cost"
    if row.reduction > 0:
        return f"saves {amount} % of the cost of{everything}"
    return f"costs {amount} % more than{everything}"


def _drop(row: LedgerRow) -> str:
    amount = percent(abs(row.drop))
    if amount == "n/a":
        return "has no known accuracy"
    low, high = row.drop_low, row.drop_high
    if row.drop < 0:
        low, high = -high, -low  # a gain is told as a gain, its interval too
    bounds = interval(low, high)
    told = f" (95 % interval {bounds})" if bounds not in ("-", "n/a") else ""
    if amount == "0.0":
        return f"neither loses nor gains accuracy{told}"
    return f"{'gains' if row.drop < 0 else 'loses'} {amount} points of accuracy{told}"


def _against_random(row: LedgerRow, matched: LedgerRow) -> str:
    """Compare with the expected drop of random routing, by the paired interval of the gain."""
    better = matched.drop - row.drop
    if not math.isfinite(better):
        return ""
    amount = percent(abs(matched.drop))
    lost = "nothing" if amount == "0.0" else f"{amount} points"
    verb = "gains" if matched.drop < 0 and amount != "0.0" else "loses"
    random = f"random routing with the same shares {verb} {lost}"
    bounds, includes_zero = _gain_interval(row, turned=better < 0)
    if percent(abs(better)) == "0.0":
        return f"It does no better than random: {random}{bounds}."
    if better < 0:
        told = f"{percent(-better)} points better than the router{bounds}"
        return f"It does worse than random: {random}, {told}."
    told = f"R{random[1:]}, {percent(better)} points worse than the router{bounds}"
    chance = "; the interval includes 0, so the advantage may be chance" if includes_zero else ""
    return f"{told}{chance}."


def _gain_interval(row: LedgerRow, *, turned: bool = False) -> tuple[str, bool]:
    """The interval of the gain over random in brackets, and whether it includes 0.

    Args:
        row: of the router.
        turned: of what random gains over it.
    """
    if row.gain is None or row.gain_low is None or row.gain_high is None:
        return "", False
    low, high = (row.gain_low, row.gain_high)
    if turned:
        low, high = -high, -low
    return f" (95 % interval {interval(low, high)})", low <= 0 <= high
