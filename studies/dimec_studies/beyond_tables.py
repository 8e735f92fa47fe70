"""The tables of docs/beyond.md, from the stored result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dimec.report.wording import join, percent
from dimec_studies.ladders import CASCADE
from dimec_studies.markdown import table
from dimec_studies.paper import load_paper
from dimec_studies.pooled import (
    HALF,
    Pooled,
    area,
    best_rival,
    parts_of,
    pooled,
    rivals,
    tasks_in,
)
from dimec_studies.titles import system_title, task_title
from dimec_studies.ways import ALLOWED, CHARGES

Result = Mapping[str, Any]
GOAL, MORE, OFTEN = 0.43, 0.5, 4  # on every task; and this much on so many of them
_TASKS = 7
_WAYS = {
    "joint": "one model, cut",
    "joint-distilled": "one model, its exits taught by the last",
    "joint+plain": "one model, cut, the plain fine-tuning as cloud",
    "joint-distilled+plain": "exits taught by the last, the plain fine-tuning as cloud",
    "own": "a model each",
    "own-unlabelled": "a model each, texts without labels too",
    "own-twice": "a model each, taught twice",
}
# What each step adds: the way, the system, and what is new.
_STEPS = (
    ("joint", "dimec-fixed-quantile", "the paper's router on one model that is cut"),
    ("joint", "exit-cascade", "a threshold at each exit in its place"),
    ("joint-distilled", "exit-cascade", "exits that learn from the last one"),
    ("joint-distilled+plain", "exit-cascade", "the plain fine-tuning as cloud"),
    ("own", "exit-cascade", "tiers with a model each"),
    ("own", "exit0-cascade", "exit 0"),
    ("own", CASCADE, "looking again (the cascade)"),
    ("own-unlabelled", CASCADE, "texts without labels"),
)


def tables_of(result: Result) -> dict[str, str]:
    """Markdown by the name in its marker."""
    made = {
        "goal": goal(result),
        "told": told(result),
        "savings": savings(result),
        "drops": drops(result),
        "charges": charges(result),
        "scenarios": scenarios(result),
        "area": areas(result),
        "ablation": ablation(result),
        "failures": failures(result),
        "ways": ways(result),
    }
    return {f"beyond-{name}": text for name, text in made.items()}


def cell(one: Pooled | None) -> str:
    """``57.1 (-0.2)``: percent saved, and points lost; a dash where nothing was within the drop."""
    if one is None:
        return ""
    if not one.within:
        return "none"
    return f"{percent(one.saved)} ({percent(one.drop, 2)})"


def bounded(one: Pooled, name: str, digits: int) -> str:
    """``57.1 (52.0 to 61.9)``."""
    low, high = one.interval(name)
    value = percent(getattr(one, name), digits)
    return f"{value} ({percent(low, digits)} to {percent(high, digits)})"


def _ours(result: Result, task: str, **how: Any) -> Pooled:
    found = pooled(parts_of(result, task), CASCADE, **how)
    assert found is not None  # it can be replayed on any way
    return found


def goal(result: Result) -> str:
    """The cascade at half a point on each task, beside the paper's figure and the best rival."""
    paper, rows = _printed(), []
    for task in tasks_in(result):
        ours, rival = _ours(result, task), best_rival(result, task)
        parts = parts_of(result, task)
        router = pooled(parts, "dimec-fixed-quantile")
        rows.append(
            [
                task_title(task),
                str(len(parts)),
                bounded(ours, "saved", 1),
                bounded(ours, "drop", 2),
                "" if task not in paper else percent(paper[task], 0),
                cell(router),
                "" if rival is None else f"{system_title(rival[0])}: {cell(rival[1])}",
            ]
        )
    header = (
        *("task", "seeds", "the cascade saves %", "and loses, points"),
        *("the paper's own figure %", "the paper's router here", "the rival that saves most"),
    )
    return table(header, rows)


def _printed() -> dict[str, float]:
    """What the paper's Table I says that its learning router saves, as shares."""
    printed = load_paper().tables["table1"]
    return {task: printed.systems["Ours-D"][task].reduction for task in printed.tasks}


def told(result: Result) -> str:
    """How far the goal is, in sentences."""
    tasks = tasks_in(result)
    kept, enough, beaten = [], [], []
    for task in tasks:
        ours, rival = _ours(result, task), best_rival(result, task)
        if ours.saved >= GOAL and ours.drop <= float(HALF):
            kept.append(task_title(task))
        if ours.saved >= MORE and ours.drop <= float(HALF):
            enough.append(task_title(task))
        if rival is None or ours.saved > rival[1].saved:
            beaten.append(task_title(task))
    absent = [task_title(one) for one in result["plan"]["tasks"] if one not in tasks]
    lines = [
        f"- Of {_TASKS} tasks {len(tasks)} are in the collection"
        + (f"; not yet: {join(absent)}." if absent else "."),
        f"- At least {percent(GOAL, 0)} % saved at no more than half a point lost on test rows: "
        f"{_named(kept)}. The goal is all {_TASKS}.",
        f"- At least {percent(MORE, 0)} %: {_named(enough)}. The goal is {OFTEN}.",
        f"- More saved than by any rival: {_named(beaten)}. The goal is all {_TASKS}.",
    ]
    for task in tasks:
        ours = _ours(result, task)
        away = GOAL - ours.saved
        if away > 0:
            lines.append(
                f"- {task_title(task)} is {percent(away)} points of cost away from the goal, at a "
                f"drop of {bounded(ours, 'drop', 2)} points."
            )
        elif ours.drop > float(HALF):
            lines.append(
                f"- {task_title(task)} saves enough and loses {bounded(ours, 'drop', 2)} points, "
                "more than the half that was allowed on validation rows."
            )
    return "\n".join(lines)


def _named(titles: Sequence[str]) -> str:
    return f"{len(titles)} ({join(list(titles))})" if titles else "none"


def savings(result: Result) -> str:
    """Every system on every task at half a point."""
    tasks = tasks_in(result)
    rows = []
    for name in (*rivals(result), CASCADE):
        found = [pooled(parts_of(result, task), name) for task in tasks]
        if any(one is not None for one in found):
            rows.append([system_title(name), *map(cell, found)])
    return table(("system", *map(task_title, tasks)), rows)


def drops(result: Result) -> str:
    """The cascade and the rival that saves most, by what may be lost."""
    rows = []
    for task in tasks_in(result):
        ours, theirs = [], []
        for allowed in (f"{one:g}" for one in ALLOWED):
            ours.append(cell(_ours(result, task, allowed=allowed)))
            rival = best_rival(result, task, allowed=allowed)
            theirs.append(
                "none" if rival is None else f"{system_title(rival[0])}: {cell(rival[1])}"
            )
        rows.append([task_title(task), system_title(CASCADE), *ours])
        rows.append(["", "the rival that saves most", *theirs])
    allowed_told = [f"at most {percent(one)} points" for one in ALLOWED]
    return table(("task", "policy", *allowed_told), rows, texts=2)


def charges(result: Result) -> str:
    """Half a point at each γ."""
    rows = []
    for task in tasks_in(result):
        cells = []
        for charge in (f"{one:g}" for one in CHARGES):
            rival = best_rival(result, task, charge=charge)
            cells.append(cell(_ours(result, task, charge=charge)))
            cells.append("none" if rival is None else f"{system_title(rival[0])}: {cell(rival[1])}")
        rows.append([task_title(task), *cells])
    header = [
        part for one in CHARGES for part in (f"γ = {one:g}, the cascade", f"γ = {one:g}, a rival")
    ]
    return table(("task", *header), rows)


def scenarios(result: Result) -> str:
    """Milliseconds and millijoules saved by the cascade at half a point."""
    names = list(result["plan"]["scenarios"])
    rows = []
    for task in tasks_in(result):
        ours = _ours(result, task)
        timed = [_both(ours.scenarios.get(name, {})) for name in names]
        rows.append([task_title(task), percent(ours.saved), *timed])
    return table(("task", "λ", *names), rows)


def _both(found: Mapping[str, float]) -> str:
    return " / ".join(percent(found[unit]) for unit in ("milliseconds", "millijoules") if found)


def areas(result: Result) -> str:
    """The area of each system's curve, as a share of the oracle's."""
    tasks = tasks_in(result)
    rows = []
    for name in (*rivals(result), CASCADE):
        found = [area(parts_of(result, task), name) for task in tasks]
        if any(one is not None for one in found):
            rows.append([system_title(name), *("" if v is None else percent(v) for v in found)])
    return table(("system", *map(task_title, tasks)), rows)


def ablation(result: Result) -> str:
    """What each step adds, at half a point."""
    tasks = tasks_in(result)
    rows = []
    for recipe, name, new in _STEPS:
        found = [pooled(parts_of(result, task), name, recipe=recipe) for task in tasks]
        if any(one is not None for one in found):
            rows.append([new, _WAYS[recipe], *map(cell, found)])
    return table(("with", "tiers", *map(task_title, tasks)), rows, texts=2)


def failures(result: Result) -> str:
    """How often each system found nothing, or lost more on test rows than was allowed."""
    tasks, limit = tasks_in(result), float(HALF)
    rows = []
    for name in (*rivals(result), CASCADE):
        every = {task: pooled(parts_of(result, task), name) for task in tasks}
        found = {task: one for task, one in every.items() if one is not None}
        if not found:
            continue
        within = {task: one for task, one in found.items() if one.within and one.saved > 0}
        more = [task for task, one in within.items() if one.drop > limit]
        beyond = [task for task in more if within[task].interval("drop")[0] > limit]
        less = [task for task in found if found[task].saved < _ours(result, task).saved]
        cells = [str(len(found)), str(len(found) - len(within)), str(len(more)), str(len(beyond))]
        rows.append([system_title(name), *cells, "" if name == CASCADE else str(len(less))])
    header = (
        *("system", "tasks", "nothing saved within it", "more lost on test"),
        *("beyond noise", "saves less than the cascade"),
    )
    return table(header, rows)


def ways(result: Result) -> str:
    """Each training: how right its tiers are, and what its policies are held against."""
    rows = []
    for name, part in result["parts"].items():
        reference = part["reference"]["test"]
        rows.append(
            [
                name,
                f"{part['rows']['validation']:,}",
                f"{part['rows']['test']:,}",
                " / ".join(percent(tier["right"]) for tier in part["tiers"]),
                f"{percent(reference['right'])} ({reference['is']})",
                cell(pooled({0: [part]}, CASCADE)),
            ]
        )
    header = ("traces", "rows to choose on", "test rows", "tiers right %", "held against %")
    return table((*header, "the cascade saves % (points lost)"), rows)
