"""The numbers of the paper's figures as tables and sentences: pools, exits, cost curves."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from statistics import mean
from typing import Any

import numpy as np

from dimec.cartography import POOL_NAMES
from dimec.cartography.thresholds import PAPER_BETAS
from dimec.report.wording import join, number, percent, setting
from dimec.tiers.names import TIER_NAMES
from dimec_studies.markdown import MISSING, count, table
from dimec_studies.tables import wide_range
from dimec_studies.titles import cost_title, system_title, task_title

Entry = Mapping[str, Any]


def grouped(entries: Iterable[Entry], *keys: str) -> dict[tuple[Any, ...], list[Entry]]:
    """Entries by their values under ``keys``, in the order of first appearance."""
    groups: dict[tuple[Any, ...], list[Entry]] = {}
    for entry in entries:
        groups.setdefault(tuple(entry[key] for key in keys), []).append(entry)
    return groups


def seeds_of(entries: Sequence[Entry]) -> str:
    """``"0, 1, 2"``: the seeds of entries."""
    return ", ".join(str(seed) for seed in sorted({int(entry["seed"]) for entry in entries}))


def maps_table(maps: Sequence[Entry]) -> str:
    """Thresholds and pools of each data map, and how many variances lie above the paper's β."""
    smallest = min(PAPER_BETAS)
    rows = []
    for one in maps:
        pools = np.bincount(np.asarray(one["pools"], np.int64), minlength=3)
        variance = np.asarray(one["variance"], np.float64)
        total = max(1, len(variance))
        rows.append(
            [
                task_title(one["task"]),
                str(one["seed"]),
                str(one["grid"]),
                f"{int(one['samples']):,}",
                f"{len(variance):,}",
                setting(float(one["alpha"])),
                setting(float(one["beta"])),
                *(percent(n / total) for n in pools),
                percent(float((variance > smallest).mean()) if len(variance) else 0.0),
            ]
        )
    header = ["task", "seed", "grid", "samples", "drawn", "α", "β"]
    header += [f"{name} %" for name in POOL_NAMES]
    return table([*header, f"variance above {smallest} %"], rows, texts=3)


def shares_table(shares: Sequence[Entry]) -> str:
    """The pools of the whole validation split, mean over the seeds."""
    rows = []
    for (task, grid), entries in grouped(shares, "task", "grid").items():
        pools = [mean(float(entry["pools"][k]) for entry in entries) for k in range(3)]
        rows.append([task_title(task), grid, seeds_of(entries), *map(percent, pools)])
    header = ["task", "grid", "seeds", *(f"{name} %" for name in POOL_NAMES)]
    return table(header, rows, texts=3)


def exits_table(exits: Sequence[Entry]) -> str:
    """Accuracy of each tier alone and of the routers, mean over the seeds."""
    policies = list(dict.fromkeys(name for entry in exits for name in entry["policies"]))
    rows = []
    for (task,), entries in grouped(exits, "task").items():
        tiers = [mean(tier_accuracy(entry, k) for entry in entries) for k in range(3)]
        routed = [
            percent(mean(float(entry["policies"][name]) for entry in entries))
            if all(name in entry["policies"] for entry in entries)
            else MISSING
            for name in policies
        ]
        rows.append([task_title(task), seeds_of(entries), *map(percent, tiers), *routed])
    header = ["task", "seeds", *(f"{name} alone %" for name in TIER_NAMES)]
    header += [f"{system_title(name)} %" for name in policies]
    return table(header, rows, texts=2)


def tier_accuracy(entry: Entry, tier: int) -> float:
    """Accuracy of the exit at which that tier stands."""
    return float(entry["exit_accuracy"][str(entry["tiers"][tier])])


def tsne_sentence(tsne: Sequence[Entry]) -> str:
    """The silhouettes of the pools, told."""
    told = [
        f"{task_title(one['task'])} {number(float(one['silhouette']))} (seed {one['seed']})"
        for one in tsne
    ]
    return (
        "Silhouette of the pools, from -1 to 1, about 0 where they lie through one another: "
        f"{join(told)}."
    )


def curves_table(curves: Sequence[Entry]) -> str:
    """For each cost and task the ends of the sweep, mean over the seeds."""
    rows = []
    for (policy, cost, task), entries in grouped(curves, "policy", "cost", "task").items():
        points = [sorted(entry["points"], key=lambda p: float(p["value"])) for entry in entries]
        values = [float(point["value"]) for one in points for point in one]
        accuracies = [float(point["accuracy"]) for one in points for point in one]
        first, last = [one[0] for one in points], [one[-1] for one in points]
        rows.append(
            [
                cost_title(cost),
                task_title(task),
                system_title(policy),
                seeds_of(entries),
                wide_range(values),
                wide_range([100 * accuracy for accuracy in accuracies], 1),
                *(_ends(first, last, key) for key in ("accuracy", "reduction")),
                f"{_shares(first)} → {_shares(last)}",
            ]
        )
    header = ["cost varied", "task", "system", "seeds", "from, to, λ", "accuracy % met"]
    header += ["accuracy %, ends", "reduction %, ends", "mobile / edge / cloud %, ends"]
    return table(header, rows, texts=4)


def _ends(first: Sequence[Entry], last: Sequence[Entry], key: str) -> str:
    ends = [percent(mean(float(point[key]) for point in points)) for points in (first, last)]
    return " → ".join(ends)


def _shares(points: Sequence[Entry]) -> str:
    shares = [mean(float(point["shares"][k]) for point in points) for k in range(3)]
    return " / ".join(percent(share, 0) for share in shares)


def curve_findings(curves: Sequence[Entry]) -> list[str]:
    """For each cost, whether accuracy rises or falls from its lowest to its highest value."""
    told = []
    for (cost,), entries in grouped(curves, "cost").items():
        changes = []
        for entry in entries:
            points = sorted(entry["points"], key=lambda p: float(p["value"]))
            changes.append(float(points[-1]["accuracy"]) - float(points[0]["accuracy"]))
        up, down = sum(c > 0 for c in changes), sum(c < 0 for c in changes)
        told.append(
            f"{cost_title(cost)}: accuracy rises on {up} of {count(len(changes), 'curve')} and "
            f"falls on {down}, by {100 * mean(changes):+.2f} points on average."
        )
    return told
