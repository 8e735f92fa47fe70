"""Whether the cascade loses to what it contains, or to the anchors of the literature.

At each of some budgets every system shows the policy that its validation rows speak for: of those
whose cost there is within the budget, the most accurate one there. Policies are not mixed by lot.
The two are then compared on the same test rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dimec.base.arrays import FloatArray
from dimec.base.progress import Progress
from dimec.policies import tagged
from dimec.report.wording import number, percent
from dimec_studies.ladders import CASCADE, Ladder, Ladders, Rung, judged, ladders_of
from dimec_studies.markdown import count, table
from dimec_studies.plan import Plan
from dimec_studies.stored import Stored
from dimec_studies.titles import task_title

BUDGETS = 12
# The anchors of the literature; every other system, and every tier, is what the cascade contains.
ANCHORS = ("dimee", "cats", "calm", "fast-yet-safe")
_SAME = 1e-9  # λ, by which a sum of prices may be off
Record = dict[str, Any]


def compute(stored: Sequence[Stored], plan: Plan, progress: Progress) -> Record:
    """The cascade against every other system and every tier, on every task.

    Args:
        stored: the traces, one task each.
        plan: λ, seed and draws of the bootstrap.
        progress: of the fits.

    Returns:
        JSON values: ``tasks`` by name. A difference is the cascade's less the rival's: of accuracy
        as a fraction, of cost in λ.
    """
    tasks = {one.name: _task(ladders_of(one, plan, progress), plan) for one in stored}
    return {"tasks": tasks}


def within(rungs: Sequence[Rung], labels: Any, budget: float) -> Rung | None:
    """The policy that is most often right on validation rows among those within a budget there.

    Args:
        rungs: of a system.
        labels: (N,) of the validation rows.
        budget: mean cost of an answer, λ.

    Returns:
        Of equals the cheapest; None where all are dearer.
    """
    able = [one for one in rungs if one.seen.cost.mean() <= budget + _SAME]
    return max(
        able,
        key=lambda one: (int((one.seen.classes == labels).sum()), -float(one.seen.cost.mean())),
        default=None,
    )


def budgets_of(ladders: Ladders) -> FloatArray:
    """(B,) budgets at equal steps, from the cheapest tier's price to the last one's, λ."""
    prices = [one.point.cost for one in ladders.tiers]
    return np.linspace(min(prices), prices[-1], BUDGETS)


def _task(ladders: Ladders, plan: Plan) -> Record:
    (own,) = (one for one in ladders.systems if one.system == CASCADE)
    singles = [Ladder(one.told, one.told, (one,)) for one in ladders.tiers]
    whole = {one.name for one in tagged("whole model")}  # a tier each, and those are there
    others = [one for one in ladders.systems if one is not own and one.system not in whole]
    return {
        "rows": {"validation": len(ladders.stored.validation), "test": len(ladders.stored.test)},
        "model": ladders.stored.card.model,
        "budgets": budgets_of(ladders).tolist(),
        "rivals": [_rival(own, one, ladders, plan) for one in (*singles, *others)],
    }


def _rival(own: Ladder, rival: Ladder, ladders: Ladders, plan: Plan) -> Record:
    labels = ladders.stored.validation.labels
    compared: list[Record] = []
    alone = 0
    for budget in budgets_of(ladders).tolist():
        theirs = within(rival.rungs, labels, budget)
        if theirs is None:
            continue
        ours = within(own.rungs, labels, budget)
        if ours is None:
            alone += 1
        else:
            compared.append({"budget": budget} | _difference(ours, theirs, plan))
    return {
        "system": rival.system,
        "title": rival.title,
        "anchor": rival.system in ANCHORS,
        "compared": compared,
        "alone": alone,  # budgets that the rival can keep and the cascade cannot
        "worse": sum(one["high"] < 0 for one in compared),
        "better": sum(one["low"] > 0 for one in compared),
    }


def _difference(ours: Rung, theirs: Rung, plan: Plan) -> Record:
    mean, low, high = judged(ours.right, theirs.right, plan.draws, plan.seeds[0])
    return {
        "difference": mean,
        "low": low,
        "high": high,
        "cost_difference": ours.point.cost - theirs.point.cost,
        "cascade": ours.told,
        "rival": theirs.told,
    }


# --- Tables --------------------------------------------------------------------------------------

_HEADER = (
    *("rival", "budgets", "cascade worse", "cascade better", "cascade cannot"),
    *("worst difference, points", "at budget, λ", "cost there, λ"),
)


def tables(result: Mapping[str, Any]) -> dict[str, list[str]]:
    """Markdown lines of a stored result by the name in their marker."""
    lines: list[str] = []
    for name, task in result["tasks"].items():
        rows = [_row(one) for one in task["rivals"]]
        lines += [f"**{task_title(name)}**", "", *table(_HEADER, rows).splitlines(), ""]
    return {"look-contained": lines[:-1], "look-contained-told": _told(result)}


def _row(one: Mapping[str, Any]) -> list[str]:
    title = f"{one['title']} (anchor)" if one["anchor"] else one["title"]
    counts = [str(one[key]) for key in ("worse", "better", "alone")]
    row = [title, str(len(one["compared"])), *counts]
    if not one["compared"]:
        return [*row, "", "", ""]
    worst = _worst(one)
    return [
        *row,
        f"{percent(worst['difference'], 2)} ({percent(worst['low'], 2)} to "
        f"{percent(worst['high'], 2)})",
        number(worst["budget"]),
        number(worst["cost_difference"]),
    ]


def _worst(one: Mapping[str, Any]) -> Mapping[str, Any]:
    worst: Mapping[str, Any] = min(one["compared"], key=lambda each: float(each["difference"]))
    return worst


def _told(result: Mapping[str, Any]) -> list[str]:
    """What the tables say, a sentence a task."""
    return [f"- {task_title(name)}: {_sentence(task)}" for name, task in result["tasks"].items()]


def _sentence(task: Mapping[str, Any]) -> str:
    rivals = task["rivals"]
    compared = sum(len(one["compared"]) for one in rivals)
    worse = {one["title"]: one["worse"] for one in rivals if one["worse"]}
    better, alone = (sum(one[key] for one in rivals) for key in ("better", "alone"))
    told = (
        f"of {count(compared, 'comparison')}, the cascade is more accurate beyond noise in "
        f"{better}, and less accurate beyond noise in {sum(worse.values())}"
    )
    if worse:
        told += f" ({', '.join(f'{title} {times}' for title, times in worse.items())})"
    some = [one for one in rivals if one["compared"]]
    if some:
        rival = min(some, key=lambda one: float(_worst(one)["difference"]))
        worst = _worst(rival)
        told += (
            f". The worst difference is {percent(worst['difference'], 2)} points "
            f"({percent(worst['low'], 2)} to {percent(worst['high'], 2)}), against "
            f"{rival['title']} at {number(worst['budget'])} λ"
        )
    if alone:
        told += f"; in {alone} more cases the rival has a policy so cheap and the cascade has none"
    return f"{told}."
