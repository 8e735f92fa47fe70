"""What each policy saves where its knob is set on validation rows alone.

The knob is where the saving is largest among the stands that lose no more than is allowed, both on
the validation split. What the policy then saves and loses is that of the test split, and nothing
holds it to what it promised: that takes a contract.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dimec.base.progress import Progress
from dimec.evaluation.curves import Curve, CurvePoint, Curves
from dimec.report.wording import percent
from dimec_studies.ladders import CASCADE, Ladder, Ladders, Rung, ladders_of
from dimec_studies.look_figures import images
from dimec_studies.markdown import count, table
from dimec_studies.plan import Plan
from dimec_studies.stored import Stored
from dimec_studies.titles import task_title

ALLOWED = (0.005, 0.01)  # drops on validation: the paper's half a point, and a whole one
SINGLE = "single"
_TITLE = "The best single tier"
_FIGURES = (
    *("accuracy", "cost", "drop", "drop_low", "drop_high"),
    *("reduction", "reduction_low", "reduction_high"),
    *("validation_drop", "validation_reduction"),
)
Record = dict[str, Any]


def compute(stored: Sequence[Stored], plan: Plan, progress: Progress) -> Record:
    """Savings of every system on every task.

    Args:
        stored: the traces, one task each.
        plan: λ, seed and draws of the bootstrap.
        progress: of the fits.

    Returns:
        JSON values: ``allowed``, and ``tasks`` by name.
    """
    tasks = {one.name: _task(ladders_of(one, plan, progress), plan) for one in stored}
    return {"allowed": list(ALLOWED), "tasks": tasks}


def chosen(rungs: Sequence[Rung], allowed: float) -> Rung | None:
    """The rung with the largest saving on validation among those that lose no more than allowed.

    Ties go to the earlier. None where all lose more.
    """
    within = [one for one in rungs if one.point.validation_drop <= allowed]
    return max(within, key=lambda one: one.point.validation_reduction, default=None)


def figures(rung: Rung) -> Record:
    """A rung's figures, as fractions; those of the test split but where it is said."""
    return {"policy": rung.told} | {name: getattr(rung.point, name) for name in _FIGURES}


def _task(ladders: Ladders, plan: Plan) -> Record:
    curves = [_curve(one) for one in ladders.systems]
    tiers: tuple[CurvePoint, ...] = tuple(one.point for one in ladders.tiers)
    whole = Curves(tuple(curves), tiers, ladders.oracle.point, plan.draws, plan.seeds[0])
    test = ladders.stored.test
    return {
        "rows": {"validation": len(ladders.stored.validation), "test": len(test)},
        "model": ladders.stored.card.model,
        "tiers": [figures(one) for one in ladders.tiers],
        "oracle": figures(ladders.oracle),
        "systems": [
            _system(Ladder(SINGLE, _TITLE, ladders.tiers), 0.0, list(tiers)),
            *(
                _system(one, whole.area_share(curve), curve.front())
                for one, curve in zip(ladders.systems, curves, strict=True)
            ),
        ],
        "left_out": dict(ladders.left_out),
    }


def _curve(ladder: Ladder) -> Curve:
    return Curve(ladder.system, ladder.title, "", tuple(one.point for one in ladder.rungs))


def _system(ladder: Ladder, area: float | None, front: Sequence[CurvePoint]) -> Record:
    best = [chosen(ladder.rungs, allowed) for allowed in ALLOWED]
    return {
        "system": ladder.system,
        "title": ladder.title,
        "points": len(ladder.rungs),
        "area_share": area,
        "chosen": [None if one is None else figures(one) for one in best],
        "front": [[one.cost, one.accuracy] for one in front],
    }


# --- Tables --------------------------------------------------------------------------------------

_HEADER = (
    *("policy", "knob", "saved, validation %", "drop, validation"),
    *("saved %", "drop, points", "more than allowed", "area, % of the oracle's"),
)


def tables(result: Mapping[str, Any]) -> dict[str, list[str]]:
    """Markdown lines of a stored result by the name in their marker."""
    by_drop: dict[str, list[str]] = {}
    for place, allowed in enumerate(result["allowed"]):
        lines: list[str] = []
        for name, task in result["tasks"].items():
            lines += [f"**{_title(name, task)}**", "", *_table(task, place, allowed), ""]
        by_drop[f"look-savings-{100 * allowed:g}".replace(".", "-")] = lines[:-1]
    told = {"look-savings-told": _told(result), "look-cascade": _cascade(result)}
    return {**by_drop, **told, "look-curves": images(result)}


_SHORT = ("task", "test rows", "last tier right %", "drop, points", "reduction %")


def _cascade(result: Mapping[str, Any]) -> list[str]:
    """The cascade alone at the first drop that is allowed, a row a task."""
    rows = []
    for name, task in result["tasks"].items():
        (own,) = (one for one in task["systems"] if one["system"] == CASCADE)
        if (best := own["chosen"][0]) is None:
            rows.append([task_title(name), f"{task['rows']['test']:,}", "none within it", "", ""])
            continue
        accuracy = percent(task["tiers"][-1]["accuracy"])
        drop, reduction = (
            f"{percent(best[key], digits)} ({percent(best[f'{key}_low'], digits)} to "
            f"{percent(best[f'{key}_high'], digits)})"
            for key, digits in (("drop", 2), ("reduction", 1))
        )
        rows.append([task_title(name), f"{task['rows']['test']:,}", accuracy, drop, reduction])
    return table(_SHORT, rows).splitlines()


def _title(name: str, task: Mapping[str, Any]) -> str:
    rows = task["rows"]
    return (
        f"{task_title(name)}, {rows['validation']:,} rows of validation and {rows['test']:,} of "
        f"test; {percent(task['tiers'][-1]['accuracy'])} % of the test rows right by the last tier"
    )


def _table(task: Mapping[str, Any], place: int, allowed: float) -> list[str]:
    rows = []
    for one in task["systems"]:
        if (best := one["chosen"][place]) is None:
            rows.append([one["title"], "none within it", *[""] * 5, _area(one)])
        else:
            rows.append([one["title"], _knob(one, best), *_cells(best, allowed), _area(one)])
    rows.append(["Oracle (sees the labels)", "", *_cells(task["oracle"], allowed), "100.0"])
    return table(_HEADER, rows, texts=2).splitlines()


def _knob(one: Mapping[str, Any], best: Mapping[str, Any]) -> str:
    """What tells the point from the system's others; the policy's name where nothing else does."""
    told: str = best["policy"]
    for word in (f"{one['system']} at ", f"{one['system']} with "):
        told = told.removeprefix(word)
    return told.replace("lambda", "λ").replace(f"{one['system']}", "")


def _cells(best: Mapping[str, Any], allowed: float) -> list[str]:
    interval = f"({percent(best['drop_low'], 2)} to {percent(best['drop_high'], 2)})"
    return [
        percent(best["validation_reduction"]),
        percent(best["validation_drop"], 2),
        percent(best["reduction"]),
        f"{percent(best['drop'], 2)} {interval}",
        _verdict(best, allowed),
    ]


def _verdict(best: Mapping[str, Any], allowed: float) -> str:
    if best["drop"] <= allowed:
        return "no"
    return "yes" if best["drop_low"] > allowed else "yes, within noise"


def _area(one: Mapping[str, Any]) -> str:
    return "" if one["area_share"] is None else percent(one["area_share"])


def _told(result: Mapping[str, Any]) -> list[str]:
    """What the tables say, a sentence a task and drop."""
    return [
        f"- {task_title(name)}, {_sentence(task, place, allowed)}"
        for name, task in result["tasks"].items()
        for place, allowed in enumerate(result["allowed"])
    ]


def _sentence(task: Mapping[str, Any], place: int, allowed: float) -> str:
    # The rows that can be told from the reference; the best single tier often is the reference.
    named = {
        one["title"]: one["chosen"][place]
        for one in task["systems"]
        if one["chosen"][place] is not None and one["chosen"][place]["validation_reduction"] > 0
    }
    unit = "point" if allowed == 0.01 else "points"
    bound = f"at most {100 * allowed:g} {unit} on validation: "
    own = next((one["title"] for one in task["systems"] if one["system"] == CASCADE), "")
    if own not in named:
        return f"{bound}the cascade has no such point."
    best, others = named[own], {name: one for name, one in named.items() if name != own}
    told = (
        f"{bound}the cascade saves {percent(best['reduction'])} % of the cost on test at a drop of "
        f"{percent(best['drop'], 2)} ({percent(best['drop_low'], 2)} to "
        f"{percent(best['drop_high'], 2)}) points"
    )
    if others:
        next_one = max(others, key=lambda name: float(others[name]["reduction"]))
        there = others[next_one]
        told += (
            f"; of the others {next_one} saves most, {percent(there['reduction'])} % at "
            f"{percent(there['drop'], 2)} points"
        )
    more = [one for one in named.values() if one["drop"] > allowed]
    beyond = sum(one["drop_low"] > allowed for one in more)
    return (
        f"{told}. Of {count(len(named), 'policy that saves', 'policies that save')} anything, "
        f"{len(more)} lose more than allowed on test, {beyond} of them beyond noise."
    )
