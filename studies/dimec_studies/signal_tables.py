"""The tables of the signals and the ablations of the cascade in the documentation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dimec_studies.markdown import MISSING, table

Result = Mapping[str, Any]


def tables(result: Result) -> dict[str, list[str]]:
    """Markdown lines of a stored result, by the name in their marker."""
    return {
        "look-auc": _auc(result["tasks"]).splitlines(),
        "look-ablation": _ablation(result["tasks"]).splitlines(),
    }


def _auc(tasks: list[Result]) -> str:
    """A row a signal, a column a task: AUC for each tier's being right, and for the gain."""
    targets = [*tasks[0]["tiers"][:-1], "gain"]
    header = ["seen", "signal", *(f"{one['task']}: {' / '.join(targets)}" for one in tasks)]
    found = [{(one["point"], one["signal"]): one["auc"] for one in task["auc"]} for task in tasks]
    keys = list(dict.fromkeys(key for one in found for key in one))
    rows = [
        [*key, *(_aucs(one[key], targets) if key in one else MISSING for one in found)]
        for key in keys
    ]
    return table(header, rows, texts=2)


def _aucs(auc: Result, targets: list[str]) -> str:
    """``"0.52 / 0.60 / 0.55"``."""
    told = [auc.get(target) for target in targets]
    return " / ".join("n/a" if one is None else f"{one:.2f}" for one in told)


def _ablation(tasks: list[Result]) -> str:
    """A row a case and task: saving and drop at each allowed drop, and the change in utility."""
    allowed = list(tasks[0]["ablation"][0]["chosen"])
    header = ["task", "cascade", *(f"saved % (drop) at ≤ {one}" for one in allowed)]
    header.append("utility at λ = 0.01, points against the whole")
    rows = [
        [
            task["task"],
            one["case"],
            *(_saving(one["chosen"][drop]) for drop in allowed),
            _difference(one, whole=one is task["ablation"][0]),
        ]
        for task in tasks
        for one in task["ablation"]
    ]
    return table(header, rows, texts=2)


def _saving(chosen: Result | None) -> str:
    """``"52.3 (0.41)"``: percent, and points."""
    if chosen is None:
        return "none"
    return f"{100 * chosen['saving']:.1f} ({100 * chosen['drop']:.2f})"


def _difference(one: Result, *, whole: bool) -> str:
    """``"-0.41 (-0.80 to -0.02)"``, in points."""
    if whole:
        return MISSING
    points = [f"{100 * one[key] + 0.0:.2f}" for key in ("difference", "low", "high")]
    return f"{points[0]} ({points[1]} to {points[2]})"
